//! The clocks of a cell, and the one that stands still for those who mint ids.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use orch_core::mint;

/// An instant, in wall time and in CPU time of the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    wall: Instant,
    /// User and system time of all threads, as `getrusage` counts it, but in nanoseconds.
    cpu: Duration,
}

/// What passed between two stamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Stamp {
    pub(crate) fn now() -> Self {
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        let cpu = cpu.expect("every Unix has this clock");
        Self { wall: instant(), cpu: cpu.into() }
    }

    pub(crate) fn until(self, later: Self) -> Span {
        Span { wall: later.wall - self.wall, cpu: later.cpu.saturating_sub(self.cpu) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this file owns the clocks of a benchmark")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Makes this thread's messages cost no clock read, for as long as it lives. Each thread that makes
/// messages calls it first, whoever's thread it is: reading the clock would cost all contenders the
/// same, and so hide how they differ.
pub(crate) fn stop_for_mint() {
    std::mem::forget(mint::replace(Standing));
}

struct Standing;

impl mint::Source for Standing {
    fn now_ms(&mut self) -> u64 {
        1_800_000_000_000
    }

    fn random(&mut self) -> u64 {
        static THREADS: AtomicU64 = AtomicU64::new(1);
        THREADS.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use orch_core::{AgentId, AgentMessage};

    use super::*;

    #[test]
    fn messages_of_all_threads_have_one_time_and_ids_of_their_own() {
        let mint = || {
            stop_for_mint();
            AgentMessage::new(AgentId::OUTSIDE, AgentId::OUTSIDE, "x")
        };
        let [one, other] = [std::thread::spawn(mint), std::thread::spawn(mint)];
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        assert_eq!(one.created_at(), other.created_at());
        assert_ne!(one.id(), other.id());
    }
}
