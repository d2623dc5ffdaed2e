//! Where ids and timestamps come from: the only file of this crate that reads a clock or draws
//! randomness.
//!
//! An id is a UUID of version 7: 48 bits of milliseconds, then a 30-bit counter of this thread, then
//! 44 random bits that the thread drew once. Minting costs a clock read (no system call on Linux)
//! and an addition, where a random UUID costs a system call. Ids minted by one thread are strictly
//! ascending, even if the clock steps back; ids of several threads are ordered by their millisecond.
//!
//! A test that wants the same ids and times at every run replaces the [`Source`] of its thread:
//!
//! ```
//! use orch_core::{mint, AgentId, Timestamp};
//!
//! struct Fixed;
//! impl mint::Source for Fixed {
//!     fn now_ms(&mut self) -> u64 { 1_000 }
//!     fn random(&mut self) -> u64 { 7 }
//! }
//!
//! let first = { let _replaced = mint::replace(Fixed); AgentId::new() };
//! let again = { let _replaced = mint::replace(Fixed); AgentId::new() };
//! assert_eq!(first, again);
//! ```

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::Timestamp;

/// Gives the time and the random bits that ids are made of.
pub trait Source {
    /// Milliseconds since the Unix epoch. May step back; minted ids ascend all the same.
    fn now_ms(&mut self) -> u64;

    /// 64 random bits. Asked once for each thread and replacement; the low 44 are used.
    fn random(&mut self) -> u64;
}

/// Replaces this thread's source until the answer is dropped, which brings the former one back.
#[must_use = "the former source comes back when this is dropped"]
pub fn replace(source: impl Source + 'static) -> Replaced {
    let minter = Minter::new(Box::new(source));
    let former = MINTER.with(|cell| cell.replace(minter));
    Replaced { former: Some(former), _not_send: PhantomData }
}

/// Keeps a replaced [`Source`] in place; see [`replace`].
#[derive(Debug)]
pub struct Replaced {
    former: Option<Minter>,
    /// The source is one thread's; giving it back on another would mix them up.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Replaced {
    fn drop(&mut self) {
        if let Some(former) = self.former.take() {
            MINTER.with(|cell| cell.replace(former));
        }
    }
}

/// A new id, and the time at which it was minted.
pub(crate) fn id() -> (Uuid, Timestamp) {
    MINTER.with(|cell| cell.borrow_mut().mint())
}

pub(crate) fn now() -> Timestamp {
    MINTER.with(|cell| Timestamp::from_millis(cell.borrow_mut().source.now_ms()))
}

thread_local! {
    static MINTER: RefCell<Minter> = RefCell::new(Minter::new(Box::new(System)));
}

const COUNTER_BITS: u32 = 30;
const TAG_BITS: u32 = 44;

struct Minter {
    source: Box<dyn Source>,
    /// What tells this thread's ids from those that others mint in the same millisecond.
    tag: u64,
    /// Invariant: (`last_ms`, `counter`) ascends strictly with every id.
    last_ms: u64,
    counter: u64,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").field("last_ms", &self.last_ms).finish_non_exhaustive()
    }
}

impl Minter {
    fn new(mut source: Box<dyn Source>) -> Self {
        let tag = source.random() & ((1 << TAG_BITS) - 1);
        Self { source, tag, last_ms: 0, counter: 0 }
    }

    fn mint(&mut self) -> (Uuid, Timestamp) {
        let now = self.source.now_ms();
        if now > self.last_ms {
            self.last_ms = now;
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.last_ms += 1;
                self.counter = 0;
            }
        }
        (version_7(self.last_ms, self.counter, self.tag), Timestamp::from_millis(now))
    }
}

/// Lays the fields out as RFC 9562 §5.7 does, with the counter in front of the random bits.
fn version_7(ms: u64, counter: u64, tag: u64) -> Uuid {
    let high = (ms & ((1 << 48) - 1)) << 16 | 0x7 << 12 | (counter >> 18);
    let low = 0b10 << 62 | (counter & ((1 << 18) - 1)) << TAG_BITS | tag;
    Uuid::from_u64_pair(high, low)
}

struct System;

impl Source for System {
    #[expect(clippy::disallowed_methods, reason = "this file owns the wall clock")]
    fn now_ms(&mut self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::disallowed_methods, reason = "once for each thread, not for each id")]
    fn random(&mut self) -> u64 {
        Uuid::new_v4().as_u64_pair().0 ^ Uuid::new_v4().as_u64_pair().1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    struct Steps(Vec<u64>);
    impl Source for Steps {
        fn now_ms(&mut self) -> u64 {
            self.0.pop().unwrap_or(5)
        }
        fn random(&mut self) -> u64 {
            u64::MAX
        }
    }

    #[test]
    fn ids_ascend_even_when_the_clock_steps_back() {
        let _replaced = replace(Steps(vec![3, 9, 4, 4, 8]));
        let ids: Vec<Uuid> = (0..8).map(|_| id().0).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    }

    #[test]
    fn an_exhausted_counter_borrows_the_next_millisecond() {
        let mut minter = Minter::new(Box::new(Steps(vec![])));
        minter.mint();
        minter.counter = (1 << COUNTER_BITS) - 1;
        let (last, _) = minter.mint();
        let (next, _) = minter.mint();
        assert!(last < next);
    }

    #[test]
    fn ids_are_version_7_and_differ_across_threads() {
        let mint_many = || (0..10_000).map(|_| id().0).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(mint_many)).collect();
        let ids: Vec<Uuid> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }
}
