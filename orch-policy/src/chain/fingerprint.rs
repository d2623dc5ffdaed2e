//! What a message says, and to whom, as one number.
//!
//! Not a cryptographic hash, and the same in every process. Two contents that happen to have one
//! number are taken for the same once in 2^64; who makes them on purpose only gets itself stopped.

use orch_core::AgentId;

/// Odd, with as many ones as zeros, and unlike each other.
const KEYS: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0xa076_1d64_78bd_642f];

/// All of a content: a text that differs in one byte has another number.
pub(super) fn fingerprint(content: &str) -> u64 {
    let bytes = content.as_bytes();
    let (chunks, rest) = bytes.as_chunks::<16>();
    let hash = chunks.iter().fold(bytes.len() as u64, add);
    match bytes.last_chunk::<16>() {
        // Some of it again: cheaper than to copy what is left.
        Some(last) => add(hash, last),
        None => add(hash, &padded(rest)),
    }
}

/// Out of line: what agents say is seldom that short.
#[inline(never)]
fn padded(rest: &[u8]) -> [u8; 16] {
    let mut padded = [0; 16];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// One message: to whom, and what. From whom it is, is to whom the one before it was.
pub(super) fn mix(to: AgentId, fingerprint: u64) -> u64 {
    add(fingerprint, to.as_uuid().as_bytes())
}

fn add(hash: u64, chunk: &[u8; 16]) -> u64 {
    let number = u128::from_le_bytes(*chunk);
    let (low, high) = (number as u64, (number >> 64) as u64);
    // Each half meets a key and the hash so far, so that no half alone makes the product zero.
    fold(low ^ KEYS[0] ^ hash, high ^ KEYS[1] ^ hash.rotate_left(32)).wrapping_add(hash ^ KEYS[2])
}

/// Both halves of the product.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_that_differ_anywhere_differ() {
        let text = "x".repeat(40);
        let mut seen = HashSet::from([fingerprint(&text)]);
        for at in 0..40 {
            for other in ["a", "b", "\0"] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                assert!(seen.insert(fingerprint(&changed)), "{changed}");
            }
        }
        assert!(seen.insert(fingerprint("")));
        for length in 1..40 {
            assert!(seen.insert(fingerprint(&"x".repeat(length))), "{length}");
            assert!(seen.insert(fingerprint(&"\0".repeat(length))), "{length}");
        }
    }

    #[test]
    fn a_hundred_thousand_texts_have_as_many_numbers() {
        let all: HashSet<u64> = (0..100_000).map(|n| fingerprint(&format!("draft {n}"))).collect();
        assert_eq!(all.len(), 100_000);
    }

    #[test]
    fn the_same_to_another_is_another_message() {
        let [a, b] = [AgentId::new(), AgentId::new()];
        let of_text = fingerprint("hello");
        assert_ne!(mix(a, of_text), mix(b, of_text));
        assert_ne!(mix(a, of_text), mix(a, fingerprint("hello!")));
    }
}
