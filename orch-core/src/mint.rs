//! Where ids and timestamps come from: the only file of this crate that reads a clock or draws
//! randomness.
//!
//! An id is a UUID of version 7: 48 bits of milliseconds, then a 30-bit counter of this thread, then
//! 44 random bits that the thread drew once. Minting costs a clock read (no system call on Linux)
//! and an addition, where a random UUID costs a system call. Ids minted by one thread are strictly
//! ascending, even if the clock steps back; ids of several threads are ordered by their millisecond.
//!
//! The clock read is by far the larger part: some 24 ns of 26, and a coarse clock would still cost 8
//! and be up to 4 ms late. Whoever mints many ids in a row [holds](hold) the time of the first, as a
//! scheduler does for a batch of messages:
//!
//! ```
//! use orch_core::{mint, AgentId, AgentMessage, Timestamp};
//!
//! let batch = Timestamp::now();
//! let _held = mint::hold(batch);
//! let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "no clock was read for this");
//! assert_eq!(message.created_at(), batch);
//! ```
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

use std::cell::{Cell, RefCell};
use std::fmt;
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
pub fn replace(mut source: impl Source + 'static) -> Replaced {
    let last = Last::begin(source.random());
    let former = MINTER.with(|minter| minter.exchange(last, Some(Box::new(source))));
    Replaced { former: Some(former), _not_send: PhantomData }
}

/// Keeps a replaced [`Source`] in place; see [`replace`].
pub struct Replaced {
    former: Option<(Last, Option<Box<dyn Source>>)>,
    /// The source is one thread's; giving it back on another would mix them up.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Replaced {
    fn drop(&mut self) {
        if let Some((last, source)) = self.former.take() {
            MINTER.with(|minter| minter.exchange(last, source));
        }
    }
}

impl fmt::Debug for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaced").finish_non_exhaustive()
    }
}

/// Holds the time of this thread: until the answer is dropped, the ids that this thread mints and
/// the messages that it makes are of time `now`, whatever its [`Source`] says, and no clock is read.
/// [`Timestamp::now`] stays exact.
///
/// Ids stay unique and ascending, wherever `now` lies: behind the last id's time they count on from
/// that; ahead of the clock, the ids that follow the hold count on from `now` until the clock has
/// come that far.
///
/// Holds nest: the innermost wins, and the former time comes back when it is dropped. Dropped in
/// another order, the newest time stays until the last of them is gone.
#[must_use = "the time is held until this is dropped"]
#[inline]
pub fn hold(now: Timestamp) -> Held {
    MINTER.with(|minter| {
        let depth = minter.n_holds.get() + 1;
        minter.n_holds.set(depth);
        Held { former: minter.held.replace(now), depth, _not_send: PhantomData }
    })
}

/// Keeps the time of a thread; see [`hold`].
#[derive(Debug)]
pub struct Held {
    /// What was held before, if anything was.
    former: Timestamp,
    /// How many holds there were on this thread, this one included.
    depth: u64,
    /// It is the time of one thread.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        MINTER.with(|minter| {
            let n_holds = minter.n_holds.get();
            minter.n_holds.set(n_holds - 1);
            if n_holds == self.depth {
                minter.held.set(self.former);
            }
        });
    }
}

/// A new id, and the time at which it was minted.
#[inline]
pub(crate) fn id() -> (Uuid, Timestamp) {
    MINTER.with(|minter| {
        let now = if minter.n_holds.get() == 0 { minter.now() } else { minter.held.get() };
        (minter.next(now), now)
    })
}

/// The time of this thread's source, held or not.
pub(crate) fn now() -> Timestamp {
    MINTER.with(Minter::now)
}

/// 64 bits that nobody outside of this process can guess; not the thread's source, as what depends
/// on them must not change what a test replays. Two system calls.
#[expect(clippy::disallowed_methods, reason = "once for each process and thread, not for each id")]
pub(crate) fn random() -> u64 {
    // The bits that one UUID has fixed are random in the other's half.
    Uuid::new_v4().as_u64_pair().0 ^ Uuid::new_v4().as_u64_pair().1
}

thread_local! {
    /// Without a destructor, so that reaching it takes no look at whether it is still there.
    static MINTER: Minter = const { Minter::new() };
    /// Looked at only while the minter says that its source is replaced.
    static REPLACEMENT: RefCell<Option<Box<dyn Source>>> = const { RefCell::new(None) };
}

/// What one thread mints with. A cell for each word: a wider copy that is read after the words of it
/// were written one by one waits until they have left the processor's store buffer.
struct Minter {
    /// The last id.
    high: Cell<u64>,
    low: Cell<u64>,
    /// What was held last; holds while `n_holds` is not 0.
    held: Cell<Timestamp>,
    n_holds: Cell<u64>,
    is_replaced: Cell<bool>,
}

impl Minter {
    const fn new() -> Self {
        Self {
            high: Cell::new(0),
            low: Cell::new(0),
            held: Cell::new(Timestamp::NEVER),
            n_holds: Cell::new(0),
            is_replaced: Cell::new(false),
        }
    }

    fn now(&self) -> Timestamp {
        let replaced = if self.is_replaced.get() { replaced_now() } else { None };
        Timestamp::from_millis(replaced.unwrap_or_else(|| System.now_ms()))
    }

    #[inline]
    fn next(&self, now: Timestamp) -> Uuid {
        let mut last = Last { high: self.high.get(), low: self.low.get() };
        if last.low == 0 {
            last = Last::begin(System.random());
        }
        let next = last.next(now);
        self.high.set(next.high);
        self.low.set(next.low);
        Uuid::from_u64_pair(next.high, next.low)
    }

    fn exchange(
        &self,
        last: Last,
        source: Option<Box<dyn Source>>,
    ) -> (Last, Option<Box<dyn Source>>) {
        let former = Last { high: self.high.replace(last.high), low: self.low.replace(last.low) };
        self.is_replaced.set(source.is_some());
        (former, REPLACEMENT.replace(source))
    }
}

#[cold]
fn replaced_now() -> Option<u64> {
    REPLACEMENT.with_borrow_mut(|source| source.as_mut().map(|source| source.now_ms()))
}

const MS_MAX: u64 = (1 << 48) - 1;
const VERSION: u64 = 0x7 << 12;
const VARIANT: u64 = 0b10 << 62;
const TAG_BITS: u32 = 44;
const TAG: u64 = (1 << TAG_BITS) - 1;

/// The last id of one thread and source, as RFC 9562 §5.7 lays it out, with the counter in front of
/// the random bits.
///
/// ```text
/// high  48 bits of milliseconds   0111   12 bits of the counter
/// low   10   18 bits of the counter   44 bits: the tag
/// ```
///
/// The tag tells this thread's ids from those that others mint in the same millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    high: u64,
    /// 0 before the tag was drawn.
    low: u64,
}

impl Last {
    #[cold]
    const fn begin(random: u64) -> Self {
        Self { high: VERSION, low: VARIANT | random & TAG }
    }

    /// Invariant: the answer is larger than this one. (In the year 10889 the milliseconds are used
    /// up, and begin again.)
    #[inline]
    const fn next(self, now: Timestamp) -> Self {
        let now_ms = now.as_millis();
        // Cut before it is compared, or a time that does not fit would begin its count anew each
        // time.
        let now_ms = if now_ms > MS_MAX { MS_MAX } else { now_ms };
        if now_ms > self.high >> 16 {
            return Self { high: now_ms << 16 | VERSION, low: VARIANT | self.low & TAG };
        }
        let low = self.low.wrapping_add(1 << TAG_BITS);
        if low >> 62 == VARIANT >> 62 {
            return Self { high: self.high, low };
        }
        self.carry()
    }

    /// The next id after the lower 18 bits of the counter are used up. After the upper 12 too, it
    /// borrows the next millisecond.
    #[cold]
    const fn carry(self) -> Self {
        let next = self.high.wrapping_add(1);
        let is_same_ms = next & 0xf000 == VERSION;
        let high = if is_same_ms { next } else { ((self.high >> 16) + 1) << 16 | VERSION };
        Self { high, low: VARIANT | self.low & TAG }
    }
}

struct System;

impl Source for System {
    #[expect(clippy::disallowed_methods, reason = "this file owns the wall clock")]
    fn now_ms(&mut self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let of_seconds = since_epoch.as_secs().saturating_mul(1_000);
        of_seconds.saturating_add(u64::from(since_epoch.subsec_millis()))
    }

    fn random(&mut self) -> u64 {
        random()
    }
}

#[cfg(test)]
mod tests;
