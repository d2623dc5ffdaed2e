//! Which page listens to which events, so that listening ends with its page.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;

use crate::answer::{Answer, EventFrame};
use crate::event_log::EventReader;

/// The least time between two frames: what happens meanwhile travels together.
const FRAME_PAUSE: Duration = Duration::from_millis(16);

/// The tasks that pass events on to pages, one for each page and `run_id`.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    tasks: Mutex<HashMap<(String, String), JoinHandle<()>>>,
}

impl Subscriptions {
    /// Passes events on to a channel of a page. Ends the page's former subscription to the same
    /// orchestrator.
    pub(crate) fn add(
        &self,
        page: String,
        run_id: String,
        reader: EventReader,
        channel: Channel<Answer<EventFrame>>,
    ) {
        let task = tauri::async_runtime::spawn(pass_on(reader, channel));
        if let Some(former) = self.lock().insert((page, run_id), task) {
            former.abort();
        }
    }

    /// Ends what a page listens to: it was loaded anew, left, or closed.
    pub(crate) fn end(&self, page: &str) {
        self.lock().retain(|(of, _), task| {
            let stays = of != page;
            if !stays {
                task.abort();
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.lock().values().for_each(JoinHandle::abort);
    }
}

async fn pass_on(mut reader: EventReader, channel: Channel<Answer<EventFrame>>) {
    while let Some(frame) = reader.next().await {
        if channel.send(Answer(frame)).is_err() {
            break; // The window is gone.
        }
        tokio::time::sleep(FRAME_PAUSE).await;
    }
}
