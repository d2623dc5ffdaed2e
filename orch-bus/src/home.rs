//! What the mailboxes of one bus share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orch_core::{AgentId, DeadLetter, EventHub, EventKind, Severity};

use crate::admission::Admission;
use crate::counter::Counter;
use crate::dead_letters::DeadLetters;
use crate::ready::Ready;

/// The bounds of a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusLimits {
    /// Messages in one lane of one mailbox, those that are being handled included; the maximum of
    /// the type means no limit. A count: no memory is taken in advance. Default 65,536.
    pub lane_capacity: u32,
    /// Bytes that a content may have. Default 16 MiB.
    pub content_bytes_max: usize,
    /// How long `send` waits for room. Default 30 s.
    pub send_wait: Duration,
    /// After how long a send that waits says so, once. Default 1 s.
    pub send_warning: Duration,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self {
            lane_capacity: 65_536,
            content_bytes_max: 16 * 1024 * 1024,
            send_wait: Duration::from_secs(30),
            send_warning: Duration::from_secs(1),
        }
    }
}

impl BusLimits {
    /// Sets the messages of one lane; 0 is taken as 1, `u32::MAX` as no limit.
    #[must_use]
    pub fn with_lane_capacity(mut self, messages: u32) -> Self {
        self.lane_capacity = messages.max(1);
        self
    }

    /// Sets the bytes that a content may have.
    #[must_use]
    pub fn with_content_bytes_max(mut self, bytes: usize) -> Self {
        self.content_bytes_max = bytes;
        self
    }

    /// Sets how long `send` waits for room.
    #[must_use]
    pub fn with_send_wait(mut self, wait: Duration) -> Self {
        self.send_wait = wait;
        self
    }
}

#[derive(Default)]
pub(crate) struct Home {
    pub(crate) limits: BusLimits,
    pub(crate) admission: OnceLock<Arc<dyn Admission>>,
    pub(crate) ready: Ready,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) events: EventHub,
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
}

impl Home {
    /// Keeps a dead letter of a message that `agent` was to handle, and tells so, as nobody else
    /// knows of it.
    pub(crate) fn give_up(&self, agent: AgentId, letter: DeadLetter) {
        let (message, reason) = (letter.message.id(), letter.reason.clone());
        let attempts = u32::try_from(letter.attempts.len()).unwrap_or(u32::MAX);
        let error = letter.attempts.last().map(|attempt| attempt.error.clone());
        if let Some(admission) = self.admission.get() {
            admission.given_up(&letter);
        }
        self.dead_letters.add(letter);
        self.events.emit(Severity::Warn, || EventKind::DeadLettered {
            agent,
            message,
            reason,
            attempts,
            error,
        });
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("limits", &self.limits).finish_non_exhaustive()
    }
}
