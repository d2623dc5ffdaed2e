//! What the writer does after an error: try again by itself, or stop until the next start.

use std::time::{Duration, Instant};

use crate::store::{Store, StoreError};
use crate::writer::CommitError;

/// The first pause before the store is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether the store may be used.
#[derive(Debug, Default)]
pub(crate) enum Health {
    #[default]
    Good,
    /// Nothing was written; tried again at the first commit after the pause.
    Pausing { why: Trouble, until: Instant, pause: Duration },
    /// Open again after a pause; only a commit shows that it is good, and until then the pause grows.
    Trying { pause: Duration },
    /// Not used again. A sync that failed may have thrown away what it was to write, and a second
    /// one would not say so.
    Stopped(String),
}

/// Why a group was not written.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Full(String),
    Uncertain(String),
    Stopped(String),
    Failed(String),
}

impl Trouble {
    pub(crate) fn error(&self) -> CommitError {
        match self.clone() {
            Self::Full(error) => CommitError::Full(error),
            Self::Uncertain(error) => CommitError::Uncertain(error),
            Self::Stopped(error) => CommitError::Stopped(error),
            Self::Failed(error) => CommitError::Failed(error),
        }
    }
}

impl Health {
    pub(crate) const fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    /// Makes the store ready for a commit or a question, if it may have one.
    pub(crate) fn prepare(&mut self, store: &mut dyn Store) -> Result<(), Trouble> {
        match self {
            Self::Good | Self::Trying { .. } => Ok(()),
            Self::Stopped(why) => Err(Trouble::Stopped(why.clone())),
            Self::Pausing { why, until, .. } if now() < *until => Err(why.clone()),
            Self::Pausing { pause, .. } => {
                let pause = *pause;
                store.reopen().or_else(|error| self.note(Err(error)))?;
                *self = Self::Trying { pause };
                Ok(())
            }
        }
    }

    /// Takes note of how the store fared.
    pub(crate) fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, Trouble> {
        let error = match result {
            Ok(value) => {
                *self = Self::Good;
                return Ok(value);
            }
            Err(error) => error,
        };
        tracing::error!(target: "orch", %error, "the journal failed");
        match error {
            StoreError::Uncertain(why) => {
                *self = Self::Stopped(why.clone());
                Err(Trouble::Uncertain(why))
            }
            StoreError::Damaged { .. } => {
                *self = Self::Stopped(error.to_string());
                Err(Trouble::Stopped(error.to_string()))
            }
            StoreError::Full(why) => Err(self.pause(Trouble::Full(why))),
            StoreError::Failed(why) => Err(self.pause(Trouble::Failed(why))),
        }
    }

    fn pause(&mut self, why: Trouble) -> Trouble {
        let pause = match self {
            Self::Pausing { pause, .. } | Self::Trying { pause } => (*pause * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        *self = Self::Pausing { why: why.clone(), until: now() + pause, pause };
        why
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause between two tries at a full disk is real")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stays_full_is_tried_less_and_less_often() {
        let mut health = Health::default();
        let mut store = crate::memory::MemoryStore::new();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let full: Result<(), StoreError> = Err(StoreError::Full("no room".to_owned()));
            health.note(full).expect_err("there is no room");
            let Health::Pausing { pause, until, .. } = &mut health else { panic!("{health:?}") };
            pauses.push(pause.as_millis());
            *until = now();
            // It opens, as a full disk can be read.
            health.prepare(&mut store).expect("the pause is over");
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        health.note(Ok(())).expect("there is room");
        assert!(health.is_good());
    }
}
