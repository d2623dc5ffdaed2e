//! Where one delivery stands, and the one function that moves it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where one delivery stands.
///
/// ```text
///            ┌────────────put back────────────┐
///            ▼                                │
///   ┌──▶ Queued ──start──▶ Running ──ack──▶ Acked
///   │     ▲ │                 │
///   │     │ │                 ├──nack, attempts left──▶ Queued
///   │     │ └──give up──┐     │
///   │     │             ▼     ▼ nack, none left
///   └──requeue──── DeadLettered
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeliveryState {
    /// Waiting in a mailbox, not before `ready_at`.
    Queued {
        /// The number that its next attempt will have, counted from 1.
        attempt: u32,
        /// When the next attempt may begin.
        ready_at: Timestamp,
    },
    /// Handed to a connector, which must settle it before `deadline`.
    Running {
        /// The number of this attempt, counted from 1.
        attempt: u32,
        /// When the attempt times out.
        deadline: Timestamp,
    },
    /// Handled.
    Acked {
        /// The attempts that it took.
        attempts: u32,
    },
    /// Given up; an operator may requeue it.
    DeadLettered {
        /// The attempts that were made; 0 if it never ran.
        attempts: u32,
    },
}

/// What can happen to a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeliveryEvent {
    /// An attempt begins at `now` and must end before `deadline`.
    Start {
        /// When the attempt begins.
        now: Timestamp,
        /// When it times out.
        deadline: Timestamp,
    },
    /// The attempt ended well.
    Ack,
    /// The attempt ended badly, and may be tried again at `retry_at`.
    Nack {
        /// When the next attempt may begin.
        retry_at: Timestamp,
    },
    /// A stop or a deadline of the run cut the attempt off; it does not count.
    PutBack,
    /// No further attempt will be made.
    GiveUp,
    /// An operator wants it tried again, with all its attempts.
    Requeue {
        /// When the next attempt may begin.
        ready_at: Timestamp,
    },
}

/// An event that cannot happen to a delivery where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a delivery that is {state:?}")]
pub struct IllegalTransition {
    /// Where the delivery stood.
    pub state: DeliveryState,
    /// What was to happen.
    pub event: DeliveryEvent,
}

impl DeliveryState {
    /// A delivery that was just accepted.
    #[must_use]
    pub const fn accepted(now: Timestamp) -> Self {
        Self::Queued { attempt: 1, ready_at: now }
    }

    /// The only place where a delivery changes state; recovery and tests go through it too.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] for any event that the picture above has no arrow for, and for a start
    /// before `ready_at`.
    pub fn apply(self, event: DeliveryEvent) -> Result<Self, IllegalTransition> {
        use DeliveryEvent as E;
        match (&self, &event) {
            (&Self::Queued { attempt, ready_at }, &E::Start { now, deadline })
                if ready_at <= now =>
            {
                Ok(Self::Running { attempt, deadline })
            }
            (&Self::Queued { attempt, .. }, E::GiveUp) => {
                Ok(Self::DeadLettered { attempts: attempt - 1 })
            }
            (&Self::Running { attempt, .. }, E::Ack) => Ok(Self::Acked { attempts: attempt }),
            (&Self::Running { attempt, .. }, &E::Nack { retry_at }) => {
                Ok(Self::Queued { attempt: attempt.saturating_add(1), ready_at: retry_at })
            }
            (&Self::Running { attempt, .. }, E::PutBack) => {
                Ok(Self::Queued { attempt, ready_at: Timestamp::default() })
            }
            (&Self::Running { attempt, .. }, E::GiveUp) => {
                Ok(Self::DeadLettered { attempts: attempt })
            }
            (Self::DeadLettered { .. }, &E::Requeue { ready_at }) => {
                Ok(Self::Queued { attempt: 1, ready_at })
            }
            _ => Err(IllegalTransition { state: self, event }),
        }
    }

    /// Whether nothing more will happen to it by itself.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Acked { .. } | Self::DeadLettered { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = DeliveryEvent> {
        let time = (0_u64..50).prop_map(Timestamp::from_millis);
        prop_oneof![
            (time.clone(), time.clone())
                .prop_map(|(now, deadline)| DeliveryEvent::Start { now, deadline }),
            Just(DeliveryEvent::Ack),
            time.clone().prop_map(|retry_at| DeliveryEvent::Nack { retry_at }),
            Just(DeliveryEvent::PutBack),
            Just(DeliveryEvent::GiveUp),
            time.prop_map(|ready_at| DeliveryEvent::Requeue { ready_at }),
        ]
    }

    /// The picture as plain counters: what a delivery has been through since it was (re)queued.
    #[derive(Default)]
    struct Model {
        starts: u32,
        put_backs: u32,
        running: bool,
        acked: bool,
        dead: bool,
        ready_at: u64,
    }

    impl Model {
        fn accepts(&self, event: &DeliveryEvent) -> bool {
            match event {
                DeliveryEvent::Start { now, .. } => {
                    !self.running && !self.acked && !self.dead && self.ready_at <= now.as_millis()
                }
                DeliveryEvent::Ack | DeliveryEvent::Nack { .. } | DeliveryEvent::PutBack => {
                    self.running
                }
                DeliveryEvent::GiveUp => !self.acked && !self.dead,
                DeliveryEvent::Requeue { .. } => self.dead,
            }
        }

        fn take(&mut self, event: &DeliveryEvent) {
            match event {
                DeliveryEvent::Start { .. } => {
                    (self.running, self.starts) = (true, self.starts + 1);
                }
                DeliveryEvent::Ack => (self.running, self.acked) = (false, true),
                DeliveryEvent::Nack { retry_at } => {
                    (self.running, self.ready_at) = (false, retry_at.as_millis());
                }
                DeliveryEvent::PutBack => {
                    (self.running, self.ready_at) = (false, 0);
                    self.put_backs += 1;
                }
                DeliveryEvent::GiveUp => (self.running, self.dead) = (false, true),
                DeliveryEvent::Requeue { ready_at } => {
                    *self = Self { ready_at: ready_at.as_millis(), ..Self::default() };
                }
            }
        }

        fn attempts(&self) -> u32 {
            self.starts - self.put_backs
        }
    }

    proptest! {
        #[test]
        fn a_delivery_follows_the_model(events in prop::collection::vec(event(), 0..60)) {
            let mut model = Model::default();
            let mut state = DeliveryState::accepted(Timestamp::default());
            for event in events {
                let accepted = state.clone().apply(event.clone());
                prop_assert_eq!(accepted.is_ok(), model.accepts(&event), "{:?} {:?}", state, event);
                let Ok(next) = accepted else { continue };
                model.take(&event);
                match &next {
                    DeliveryState::Queued { attempt, .. } => prop_assert_eq!(*attempt, model.attempts() + 1),
                    DeliveryState::Running { attempt, .. } => prop_assert_eq!(*attempt, model.attempts()),
                    DeliveryState::Acked { attempts } | DeliveryState::DeadLettered { attempts } => {
                        prop_assert_eq!(*attempts, model.attempts());
                    }
                }
                state = next;
            }
        }
    }

    #[test]
    fn a_delivery_that_was_acked_is_never_handled_again() {
        let acked = DeliveryState::Acked { attempts: 1 };
        let start = DeliveryEvent::Start { now: Timestamp::NEVER, deadline: Timestamp::NEVER };
        for event in
            [start, DeliveryEvent::PutBack, DeliveryEvent::Requeue { ready_at: Timestamp::NEVER }]
        {
            assert!(acked.clone().apply(event).is_err());
        }
    }
}
