//! Dice that fall the same way for the same seed.

use orch_core::MessagePriority;

/// SplitMix64: a small generator whose whole state is one number, so that a stream of its own can
/// be derived for everything that is drawn.
#[derive(Clone, Debug)]
pub struct Random(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream that belongs to these numbers; what is drawn elsewhere changes nothing in it.
    #[must_use]
    pub fn of(numbers: &[u64]) -> Self {
        Self(numbers.iter().fold(0, |sum, n| mix(sum.wrapping_add(GAMMA) ^ mix(*n))))
    }

    /// 64 uniform bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        let bound = u128::from(most.saturating_sub(least)) + 1;
        let high = (u128::from(self.bits()) * bound) >> 64;
        least + u64::try_from(high).unwrap_or(0)
    }

    /// True in so many of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several; each weighs as much as its number says.
    ///
    /// # Panics
    ///
    /// If there is nothing to choose from.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self.between(1, choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left <= *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the number is at most the sum of the weights")
    }

    /// Any priority.
    pub fn priority(&mut self) -> MessagePriority {
        use MessagePriority::{Critical, High, Low, Normal};
        self.weighted(&[(1, Critical), (2, High), (4, Normal), (2, Low)])
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_lies_between_its_bounds_and_reaches_both() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..200).map(|_| random.between(3, 6)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&6));
        assert_eq!(random.between(5, 5), 5);
    }

    #[test]
    fn the_same_numbers_give_the_same_stream() {
        assert_eq!(Random::of(&[1, 2]).bits(), Random::of(&[1, 2]).bits());
        assert_ne!(Random::of(&[1, 2]).bits(), Random::of(&[2, 1]).bits());
    }

    #[test]
    fn what_weighs_nothing_is_never_chosen() {
        let mut random = Random::new(1);
        assert!((0..200).all(|_| random.weighted(&[(0, 'a'), (1, 'b')]) == 'b'));
    }
}
