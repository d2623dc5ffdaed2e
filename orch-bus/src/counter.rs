//! A counter that many threads bump without fighting over one cache line.

use std::cell::Cell;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

const SHARDS: usize = 8;

/// Counts; a read sums the shards up and may miss bumps that are under way.
#[derive(Debug, Default)]
pub(crate) struct Counter([CachePadded<AtomicU64>; SHARDS]);

impl Counter {
    pub(crate) fn bump(&self) {
        // Relaxed: a count orders nothing.
        self.0[shard()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}

fn shard() -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static SHARD: Cell<Option<usize>> = const { Cell::new(None) });
    SHARD.with(|shard| {
        shard.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Ordering::Relaxed) as usize % SHARDS;
            shard.set(Some(mine));
            mine
        })
    })
}
