//! A hash for maps whose keys are ids.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mint;

/// A map by id.
pub type IdMap<K, V> = HashMap<K, V, IdState>;

/// Makes the hashers of one map by [`AgentId`](crate::AgentId), [`MessageId`](crate::MessageId) or
/// another id, in place of the standard library's, which costs several times as much.
///
/// Ids may come from outside, so the hash has a secret: 128 bits that are drawn once for each
/// process, and differ from map to map. Whoever chooses ids without knowing them cannot choose ids
/// that collide. That is all: it is no cryptographic hash, and whoever can watch the hashes, or time
/// look-ups finely enough to see single collisions, may learn the secret.
///
/// Two runs of a program iterate over such a map in different orders, as with the standard
/// library's: what a seed must repeat sorts first.
///
/// ```
/// use orch_core::{AgentId, IdMap};
///
/// let mut names = IdMap::default();
/// names.insert(AgentId::OUTSIDE, "outside");
/// assert_eq!(names[&AgentId::OUTSIDE], "outside");
/// ```
#[derive(Clone)]
pub struct IdState {
    secret: [u64; 2],
}

/// The hasher of an [`IdState`]. Made for one id or one `u64`; what else is written is hashed as well,
/// slower.
#[derive(Clone)]
pub struct IdHasher {
    hash: u64,
    secret: u64,
}

impl Default for IdState {
    fn default() -> Self {
        static SECRET: LazyLock<[u64; 2]> = LazyLock::new(|| [mint::random(), mint::random()]);
        static MAPS: AtomicU64 = AtomicU64::new(0);
        // Its own for each map: copying one into another in the order of a common hash would fill
        // that unevenly.
        let map = MAPS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { secret: [SECRET[0] ^ map, SECRET[1]] }
    }
}

impl BuildHasher for IdState {
    type Hasher = IdHasher;

    #[inline]
    fn build_hasher(&self) -> IdHasher {
        IdHasher { hash: self.secret[0], secret: self.secret[1] }
    }
}

impl Hasher for IdHasher {
    #[inline]
    fn write_u128(&mut self, id: u128) {
        self.hash = fold(id as u64 ^ self.hash, (id >> 64) as u64 ^ self.secret);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.write_u128(u128::from(number));
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(number));
        }
        self.write_u128(bytes.len() as u128);
    }

    /// Folds once more: ids of one thread and time differ in 18 bits only, and after one product alone
    /// an unlucky secret lays them a third too thick into some shards, or threefold into some places
    /// of a table.
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.hash, self.secret)
    }
}

/// Multiplies, and lays the upper half of the product over the lower one, so that each bit reaches
/// the upper bits of a hash, by which a sharded map picks the shard, and the lower ones, by which a
/// table picks the place.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Without the secret.
impl fmt::Debug for IdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdState").finish_non_exhaustive()
    }
}

/// Without the secret.
impl fmt::Debug for IdHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::{MessageId, Timestamp};

    const IDS: usize = 1 << 17;

    /// As many ids as all of `threads` mint, each in an order of its own: what one of them adds to a
    /// map comes in a row.
    fn minted_by(threads: usize, held: bool) -> Vec<MessageId> {
        let mint = move || {
            let _held = held.then(|| mint::hold(Timestamp::now()));
            (0..IDS / threads).map(|_| MessageId::new()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..threads).map(|_| std::thread::spawn(mint)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }

    /// How many more than its share the fullest of 64 shards has, picked as dashmap picks them.
    fn fullest_shard(hashes: &[u64]) -> f64 {
        let mut shards = [0_u32; 64];
        hashes.iter().for_each(|hash| shards[(hash << 7 >> 58) as usize] += 1);
        f64::from(*shards.iter().max().unwrap()) * 64.0 / IDS as f64
    }

    /// How many groups of 16 places an insertion looks at, in a table that is half full at the end.
    fn groups_probed(hashes: &[u64]) -> f64 {
        let mask = 2 * IDS - 1;
        let mut taken = vec![false; 2 * IDS];
        let mut n_groups = 0;
        for hash in hashes {
            let (mut group, mut stride) = (*hash as usize & mask, 0);
            loop {
                n_groups += 1;
                let mut places = (0..16).map(|i| (group + i) & mask);
                if let Some(free) = places.find(|place| !taken[*place]) {
                    taken[free] = true;
                    break;
                }
                stride += 16;
                group = (group + stride) & mask;
            }
        }
        f64::from(n_groups) / IDS as f64
    }

    fn check(hasher: &impl BuildHasher, ids: &[MessageId], about: &str) {
        let hashes: Vec<u64> = ids.iter().map(|id| hasher.hash_one(id)).collect();
        let (fullest, probed) = (fullest_shard(&hashes), groups_probed(&hashes));
        // A random function gives about 1.05 and 1.0002; 1.15 is nearly seven standard deviations.
        assert!(fullest < 1.15, "{about}: the fullest shard has {fullest} times its share");
        assert!(probed < 1.005, "{about}: an insertion looks at {probed} groups");
    }

    #[test]
    fn ids_spread_over_shards_and_tables_as_those_of_the_standard_hasher() {
        for threads in [1, 2, 8] {
            for held in [false, true] {
                let ids = minted_by(threads, held);
                let about = format!("{threads} threads, held: {held}");
                check(&RandomState::new(), &ids, &about);
                // Many secrets: an unlucky one must be no worse.
                (0..16).for_each(|_| check(&IdState::default(), &ids, &about));
            }
        }
    }

    #[test]
    fn a_clone_hashes_alike_and_another_map_does_not() {
        let (state, id) = (IdState::default(), MessageId::new());
        assert_eq!(state.clone().hash_one(id), state.hash_one(id));
        assert_ne!(IdState::default().hash_one(id), state.hash_one(id));
    }

    #[test]
    fn what_is_no_id_is_hashed_whole() {
        let state = IdState::default();
        let hash_of = |bytes: &[u8]| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        let texts = ["", "a", "a\0", "12345678", "12345678\0", "123456789"];
        let hashes: std::collections::HashSet<u64> =
            texts.iter().map(|text| hash_of(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
