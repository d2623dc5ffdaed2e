//! How a message gets into a mailbox.

use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentMessage, EventKind, MessageId, MessagePriority, Severity, Timestamp};
use tokio::time::{Instant, timeout_at};

use crate::admission::{Admission, Refusal};
use crate::error::SendError;
use crate::mailbox::Mailbox;
use crate::reserved::Reserved;
use crate::sync::{Point, pass};

impl Mailbox {
    /// Sends a message to this mailbox, whatever its `to` says; waits for room, by default at most
    /// 30 s, with a warning after one second.
    ///
    /// # Ordering
    ///
    /// Sends that wait for room are let in as places become free; which of them goes first is not
    /// promised, as they overlap.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready accepts nothing. On a bus whose acceptance
    /// waits for a commit, a commit that began goes on, and the message may be accepted: to send the
    /// same id again is safe.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    ///
    /// # Panics
    ///
    /// If it has to wait for room outside of a tokio runtime with time enabled.
    pub async fn send(self: &Arc<Self>, message: AgentMessage) -> Result<MessageId, SendError> {
        match self.check(&message) {
            Ok(()) => self.enter(message).await,
            Err(reject) => Err(reject.of(message)),
        }
    }

    /// Sends a message that was checked.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        message: AgentMessage,
    ) -> Result<MessageId, SendError> {
        match self.commits().cloned() {
            None => {
                let message = self.wait_for_place(message).await?;
                Place { mailbox: self, priority: Some(message.priority()) }.fill(message)
            }
            Some(admission) => {
                let reserved = self.reserve_checked(message).await?;
                let commit = admission.commit(reserved.message().clone());
                reserved.enter_after(commit).await
            }
        }
    }

    /// Checks a message, waits for room as [`send`](Self::send) does, and reserves its place.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready reserves nothing.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub async fn reserve(self: &Arc<Self>, message: AgentMessage) -> Result<Reserved, SendError> {
        match self.check(&message) {
            Ok(()) => self.reserve_checked(message).await,
            Err(reject) => Err(reject.of(message)),
        }
    }

    /// As [`reserve`](Self::reserve), but never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it: `Full` at once.
    pub fn try_reserve_for(self: &Arc<Self>, message: AgentMessage) -> Result<Reserved, SendError> {
        match self.check(&message) {
            Ok(()) if self.try_reserve(message.priority()) => {
                Ok(Reserved::new(self.clone(), message))
            }
            Ok(()) => Err(SendError::full(message, self.lane_capacity(), Duration::ZERO)),
            Err(reject) => Err(reject.of(message)),
        }
    }

    /// As [`reserve`](Self::reserve), of a message that was checked.
    pub(crate) async fn reserve_checked(
        self: &Arc<Self>,
        message: AgentMessage,
    ) -> Result<Reserved, SendError> {
        let message = self.wait_for_place(message).await?;
        Ok(Reserved::new(self.clone(), message))
    }

    /// Reserves a place for a message that was checked, and answers the message.
    async fn wait_for_place(&self, message: AgentMessage) -> Result<AgentMessage, SendError> {
        let priority = message.priority();
        if !self.try_reserve(priority) {
            let started = Instant::now();
            match self.wait_for_room(priority, started).await {
                Room::Reserved => {}
                Room::Closed => return Err(SendError::Closed(Box::new(message))),
                Room::None => {
                    return Err(SendError::full(message, self.lane_capacity(), started.elapsed()));
                }
            }
        }
        Ok(message)
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it: `Full` at once, and `WouldWait` where acceptance
    /// means waiting for a commit.
    pub fn try_send(self: &Arc<Self>, message: AgentMessage) -> Result<MessageId, SendError> {
        // Before the check, which may count the message against a limit.
        if self.commits().is_some() {
            return Err(SendError::WouldWait(Box::new(message)));
        }
        match self.check(&message) {
            Ok(()) => self.try_enter(message),
            Err(reject) => Err(reject.of(message)),
        }
    }

    /// As [`enter`](Self::enter), but never waits.
    pub(crate) fn try_enter(
        self: &Arc<Self>,
        message: AgentMessage,
    ) -> Result<MessageId, SendError> {
        if self.commits().is_some() {
            return Err(SendError::WouldWait(Box::new(message)));
        }
        let priority = message.priority();
        if !self.try_reserve(priority) {
            return Err(SendError::full(message, self.lane_capacity(), Duration::ZERO));
        }
        Place { mailbox: self, priority: Some(priority) }.fill(message)
    }

    /// The hook, if acceptance must wait for it.
    fn commits(&self) -> Option<&Arc<dyn Admission>> {
        self.home.admission.get().filter(|hook| hook.has_commit())
    }

    /// What can be said without a place in the lane.
    pub(crate) fn check(&self, message: &AgentMessage) -> Result<(), Reject> {
        let limit = self.home.limits.content_bytes_max;
        if message.content().len() > limit {
            return Err(Reject::TooLarge { limit });
        }
        if message.deadline().is_some() && message.is_expired(Timestamp::now()) {
            return Err(Reject::Expired);
        }
        match self.home.admission.get() {
            Some(admission) => admission.check(message).map_err(Reject::Refused),
            None => Ok(()),
        }
    }

    /// Waits for a place and reserves it.
    async fn wait_for_room(&self, priority: MessagePriority, started: Instant) -> Room {
        let limits = &self.home.limits;
        let give_up = end_of(started, limits.send_wait);
        let warn = end_of(started, limits.send_warning);
        let room = self.room(priority);
        let mut warned = false;
        loop {
            let mut freed = std::pin::pin!(room.notified());
            // Register before looking, or a place that is freed in between is slept through.
            freed.as_mut().enable();
            if self.lane_is_closed(priority) {
                return Room::Closed;
            }
            if self.try_reserve(priority) {
                return Room::Reserved;
            }
            pass(Point::FoundNoRoom);
            let until = if warned { give_up } else { warn.min(give_up) };
            if timeout_at(until, freed).await.is_err() {
                if warned || give_up <= warn {
                    return Room::None;
                }
                warned = true;
                self.home
                    .events
                    .emit(Severity::Warn, || EventKind::SendWaiting { to: self.agent(), priority });
            }
        }
    }
}

/// The end of a wait; one that would end after the end of time ends with the program.
fn end_of(started: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365 * 30);
    started.checked_add(wait).unwrap_or_else(|| started + FAR)
}

/// Why a message is not even looked at by its lane.
#[derive(Debug)]
pub(crate) enum Reject {
    TooLarge { limit: usize },
    Expired,
    Refused(Refusal),
}

impl Reject {
    #[cold]
    pub(crate) fn of(self, message: AgentMessage) -> SendError {
        let message = Box::new(message);
        match self {
            Self::TooLarge { limit } => SendError::TooLarge { message, limit },
            Self::Expired => SendError::Expired(message),
            Self::Refused(Refusal { reason }) => SendError::Refused { message, reason },
        }
    }
}

/// How a wait for room ended.
enum Room {
    Reserved,
    Closed,
    None,
}

/// A reserved place, given back if the send is dropped before it fills it.
struct Place<'a> {
    mailbox: &'a Arc<Mailbox>,
    priority: Option<MessagePriority>,
}

impl Place<'_> {
    fn fill(mut self, message: AgentMessage) -> Result<MessageId, SendError> {
        self.priority = None;
        let id = message.id();
        match self.mailbox.put_in(message) {
            Ok(()) => Ok(id),
            Err(message) => Err(SendError::Closed(Box::new(message))),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(priority) = self.priority {
            self.mailbox.free_place(priority);
        }
    }
}
