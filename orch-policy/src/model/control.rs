//! Mistakes that were planted, and that the checker must find: else it finds nothing in the others
//! either.

use std::sync::Arc;

use super::{check, spawn};
use crate::sync::{Mutex, lock};

/// An account as a number and its limit.
struct Naive {
    spent: Mutex<u64>,
    limit: u64,
}

impl Naive {
    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { spent: Mutex::new(0), limit })
    }

    /// Looks, lets go, and spends.
    fn look_and_spend(&self) -> bool {
        let fits = *lock(&self.spent) < self.limit;
        if fits {
            *lock(&self.spent) += 1;
        }
        fits
    }

    fn spend(&self) -> bool {
        let mut spent = lock(&self.spent);
        let fits = *spent < self.limit;
        *spent += u64::from(fits);
        fits
    }

    fn take_back(&self) {
        *lock(&self.spent) -= 1;
    }
}

#[test]
#[should_panic(expected = "overshoot")]
fn a_look_before_the_spend_is_found() {
    check("control: checks, and spends later", || {
        let account = Naive::new(1);
        let other = account.clone();
        let spender = spawn(move || other.look_and_spend());
        account.look_and_spend();
        spender.join().unwrap();
        assert!(*lock(&account.spent) <= 1, "overshoot");
    });
}

#[test]
#[should_panic(expected = "refused for nothing")]
fn a_spend_that_is_taken_back_is_found() {
    check("control: one account after the other", || {
        let [first, second] = [1, 0].map(Naive::new);
        let both = first.clone();
        let spender = spawn(move || {
            if both.spend() && !second.spend() {
                both.take_back();
            }
        });
        assert!(first.spend(), "refused for nothing");
        spender.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn locks_in_any_order_are_found() {
    check("control: two accounts in two orders", || {
        let [a, b] = [1, 1].map(Naive::new);
        let (other_a, other_b) = (a.clone(), b.clone());
        let spender = spawn(move || {
            let _held = lock(&other_b.spent);
            *lock(&other_a.spent) += 1;
        });
        let held = lock(&a.spent);
        *lock(&b.spent) += 1;
        drop(held);
        spender.join().unwrap();
    });
}
