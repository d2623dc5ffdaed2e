//! Tells when all work is done, at a price that no contender feels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Stamp;

/// A latch. Agents count for themselves, and arrive here once in a while.
#[derive(Debug, Default)]
pub(crate) struct Done {
    left: AtomicU64,
    finished: Mutex<Option<Stamp>>,
    wake: Notify,
}

impl Done {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Closes the latch until so many arrivals.
    pub(crate) fn expect(&self, arrivals: u64) {
        let before = self.left.swap(arrivals, Ordering::AcqRel);
        assert_eq!(before, 0, "the phase before is not done");
        *self.finished.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn arrive(&self) {
        let before = self.left.fetch_sub(1, Ordering::AcqRel);
        assert_ne!(before, 0, "more messages were handled than sent");
        if before == 1 {
            *self.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stamp::now());
            self.wake.notify_one();
        }
    }

    /// Waits for the last arrival, and answers when it was: waking whoever waits is not part of it.
    pub(crate) async fn wait(&self) -> Stamp {
        loop {
            let finished = *self.finished.lock().unwrap_or_else(PoisonError::into_inner);
            match finished {
                Some(stamp) => return stamp,
                None => self.wake.notified().await,
            }
        }
    }
}
