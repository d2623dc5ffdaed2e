//! Everything observable, as one type, and the hub that passes it on.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, AgentMessage, AgentStatus, ApprovalId, Content, DeadLetterReason, Decision,
    LimitReached, MessageId, MessagePriority, Resources, StopReason, Timestamp, ToolCall, Usage,
    event_log,
};

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[non_exhaustive]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. In JSON, `"event"` has the variant's name in snake case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// An agent was registered.
    Registered {
        /// Which agent.
        agent: AgentId,
        /// Its name.
        name: String,
        /// What drives it.
        connector_type: String,
        /// Who spawned it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<AgentId>,
    },
    /// An agent was unregistered.
    Unregistered {
        /// Which agent.
        agent: AgentId,
    },
    /// An agent changed its status.
    StatusChanged {
        /// Which agent.
        agent: AgentId,
        /// Where it stands now.
        status: AgentStatus,
    },
    /// A run began.
    RunStarted {
        /// The number of the run, counted from 1.
        run: u64,
    },
    /// A message was accepted by its mailbox.
    Accepted {
        /// The message.
        message: AgentMessage,
    },
    /// An attempt began.
    Started {
        /// Who handles it.
        agent: AgentId,
        /// What is handled.
        message: MessageId,
        /// Its priority.
        priority: MessagePriority,
        /// The number of the attempt, counted from 1.
        attempt: u32,
        /// The round of the hand-out.
        round: u64,
    },
    /// An attempt ended well.
    Settled {
        /// Who handled it.
        agent: AgentId,
        /// What was handled.
        message: MessageId,
        /// The number of the attempt.
        attempt: u32,
        /// What answers the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Content>,
        /// What the attempt used.
        usage: Usage,
        /// How long the attempt took, in milliseconds.
        handling_ms: u64,
    },
    /// An attempt ended badly and will be tried again.
    RetryScheduled {
        /// Who tried.
        agent: AgentId,
        /// What was tried.
        message: MessageId,
        /// The number of the attempt that failed.
        attempt: u32,
        /// What went wrong.
        error: String,
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// A stop cut an attempt off; the message is back in its mailbox.
    PutBack {
        /// Who handled it.
        agent: AgentId,
        /// What went back.
        message: MessageId,
    },
    /// A message was given up.
    DeadLettered {
        /// Whose message it was.
        agent: AgentId,
        /// Which message.
        message: MessageId,
        /// Why.
        reason: DeadLetterReason,
        /// How many attempts were made.
        attempts: u32,
        /// The last attempt's error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// An agent failed.
    AgentFailed {
        /// Which agent.
        agent: AgentId,
        /// Why.
        error: String,
    },
    /// A supervisor reopened an agent's session.
    Restarted {
        /// Which agent.
        agent: AgentId,
        /// Restarts within the window of the intensity, this one included.
        restarts: u32,
    },
    /// A tool call was decided.
    ToolDecided {
        /// Who wants to call.
        agent: AgentId,
        /// The call.
        call: ToolCall,
        /// What was decided.
        decision: Decision,
    },
    /// A person is asked about a tool call.
    ApprovalAsked {
        /// The question.
        approval: ApprovalId,
        /// Who wants to call.
        agent: AgentId,
        /// The call.
        call: ToolCall,
    },
    /// An agent reported what it used.
    UsageReported {
        /// Which agent.
        agent: AgentId,
        /// What it used since its last report.
        usage: Usage,
    },
    /// What the processes of an attempt used of the machine. Told when they have ended, or, where they
    /// live as long as their session, at the end of the turn.
    ResourcesUsed {
        /// Which agent.
        agent: AgentId,
        /// What it handled.
        message: MessageId,
        /// The number of the attempt.
        attempt: u32,
        /// What was used.
        resources: Resources,
        /// The limit that stopped them, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reached: Option<LimitReached>,
    },
    /// An agent said something beside its answer.
    Said {
        /// Which agent.
        agent: AgentId,
        /// What it said.
        text: String,
    },
    /// A guard stopped the run.
    GuardTripped {
        /// The guard's name: a field of `LoopGuard`.
        guard: String,
        /// The figure that would have passed the limit.
        figure: u64,
        /// The limit.
        limit: u64,
        /// Whose figure it is, if it is an agent's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<AgentId>,
    },
    /// A send has waited for room for a second.
    SendWaiting {
        /// Whose mailbox is full.
        to: AgentId,
        /// Which lane is full.
        priority: MessagePriority,
    },
    /// A run ended.
    Stopped {
        /// The number of the run.
        run: u64,
        /// Why it ended.
        reason: StopReason,
    },
}

/// How loud an event is; the levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Message processing, queue operations.
    Debug,
    /// Lifecycle of agents and runs.
    Info,
    /// Guards that tripped, retries.
    Warn,
    /// Failures of agents, critical errors.
    Error,
}

/// Is told every event, on the thread on which it happens.
pub trait Observer: Send + Sync {
    /// Takes note of `event`. Must not block, panic, or call whoever told it: dispatch waits for
    /// it. A channel to a thread or task of its own is the usual way.
    fn on_event(&self, event: &Event);
}

/// Passes events on to the log and to observers. An event is built only when one of them listens.
#[derive(Default)]
pub struct EventHub {
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    /// Invariant: false only while `observers` is empty. Spares the lock when nobody listens.
    listening: AtomicBool,
}

impl EventHub {
    /// A hub that nobody listens to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells `observer` every event from now on.
    pub fn add(&self, observer: Arc<dyn Observer>) {
        let mut observers = self.observers.write().unwrap_or_else(PoisonError::into_inner);
        observers.push(observer);
        self.listening.store(true, Ordering::Relaxed);
    }

    /// Stops telling `observer`.
    pub fn remove(&self, observer: &Arc<dyn Observer>) {
        let mut observers = self.observers.write().unwrap_or_else(PoisonError::into_inner);
        observers.retain(|known| !Arc::ptr_eq(known, observer));
        self.listening.store(!observers.is_empty(), Ordering::Relaxed);
    }

    /// Whether an event of this severity would reach anybody. Two loads where nobody listens.
    #[must_use]
    #[inline]
    pub fn wants(&self, severity: Severity) -> bool {
        self.listening.load(Ordering::Relaxed)
            || (event_log::may_be_enabled(severity) && event_log::enabled(severity))
    }

    /// Builds an event with `make` if anybody listens, and passes it on.
    #[inline]
    pub fn emit(&self, severity: Severity, make: impl FnOnce() -> EventKind) {
        if self.wants(severity) {
            self.tell(severity, make);
        }
    }

    /// Out of line, so that what builds the event does not lie in the way of those who emit it to
    /// nobody.
    #[cold]
    #[inline(never)]
    fn tell(&self, severity: Severity, make: impl FnOnce() -> EventKind) {
        self.publish(severity, &Event { at: Timestamp::now(), kind: make() });
    }

    fn publish(&self, severity: Severity, event: &Event) {
        if event_log::enabled(severity) {
            event_log::write(severity, event);
        }
        if self.listening.load(Ordering::Relaxed) {
            // Called without the lock, so that an observer may add or remove observers.
            let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner).clone();
            for observer in &observers {
                observer.on_event(event);
            }
        }
    }
}

impl fmt::Debug for EventHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHub").field("listening", &self.listening).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Keep(Mutex<Vec<Event>>);
    impl Observer for Keep {
        fn on_event(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn an_event_is_built_only_when_somebody_listens() {
        let hub = EventHub::new();
        hub.emit(Severity::Debug, || unreachable!("nobody listens"));
        let keep = Arc::new(Keep::default());
        let observer: Arc<dyn Observer> = keep.clone();
        hub.add(observer.clone());
        hub.emit(Severity::Debug, || EventKind::RunStarted { run: 1 });
        hub.remove(&observer);
        hub.emit(Severity::Debug, || unreachable!("nobody listens any more"));
        assert_eq!(keep.0.lock().unwrap().len(), 1);
    }
}
