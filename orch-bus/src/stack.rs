//! A stack that any number of senders push to, turned round by the one who receives: for what is
//! taken all at once, as announcements are. For what is taken one by one see `lane.rs`.
//!
//! ```text
//! senders ──push (one compare-exchange)──▶ head ─▶ newest ─▶ … ─▶ oldest
//!                                           │
//! receiver ◀── Chain, oldest first ◀── take: one exchange, then the links are turned round
//! ```
//!
//! A push becomes visible in a single atomic step, so a sender that is stopped at any instruction
//! either has not pushed or has pushed completely: nobody waits for it, and nothing hides behind it.
//! A receiver only ever takes the whole stack, so a compare-exchange that succeeds against a
//! recycled address still links to the current top (no ABA; for the compiler, see `turn_round`).
//!
//! The price is the turn: taking `n` values costs `n` steps at once.

#![expect(
    unsafe_code,
    reason = "an intrusive stack: one allocation an announcement, none in advance"
)]

use std::fmt;
use std::marker::PhantomData;
use std::ptr;

use crate::sync::{AtomicPtr, Life, Ordering};

struct Node<T> {
    next: *mut Self,
    life: Life,
    value: T,
}

/// Where senders push.
pub(crate) struct Stack<T> {
    /// Null: empty. [`closed`]: empty for good. Else the newest node, which this stack owns together
    /// with all that follow it.
    head: AtomicPtr<Node<T>>,
    _owns: PhantomData<T>,
}

/// The address that marks a closed stack; no node can have it, as nodes are aligned.
const fn closed<T>() -> *mut Node<T> {
    const { assert!(align_of::<Node<T>>() > 1) };
    ptr::without_provenance_mut(1)
}

impl<T: Send> Stack<T> {
    /// A stack that refuses pushes until it is opened.
    pub(crate) fn new_closed() -> Self {
        Self { head: AtomicPtr::new(closed()), _owns: PhantomData }
    }

    /// Pushes `value`; gives it back if the stack is closed.
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        let node =
            Box::into_raw(Box::new(Node { next: ptr::null_mut(), life: Life::new(), value }));
        node.expose_provenance(); // For `turn_round`.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                // SAFETY: `node` came from `Box::into_raw` above and was not published.
                return Err(unsafe { Box::from_raw(node) }.value);
            }
            // SAFETY: `node` is ours alone until the compare-exchange below publishes it.
            unsafe { (*node).next = head };
            // AcqRel: Release publishes the node to the Acquire in `take` and `close`. Acquire, because
            // the order promise counts sends: a sender that saw this one return comes after it.
            match self.head.compare_exchange_weak(head, node, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(newer) => head = newer,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        head.is_null() || head == closed()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire) == closed()
    }

    /// Takes everything, oldest first. A closed stack stays closed.
    pub(crate) fn take(&self) -> Chain<T> {
        let mut newest = self.head.load(Ordering::Acquire);
        while !newest.is_null() && newest != closed() {
            // Acquire: pairs with the Release of each push. The pushes below the top are covered
            // too, since every push is a read-modify-write and continues the release sequence.
            // Not a swap, which would open a stack that was closed since the look.
            let null = ptr::null_mut();
            let took =
                self.head.compare_exchange(newest, null, Ordering::AcqRel, Ordering::Acquire);
            match took {
                Ok(newest) => return Chain::turn_round(newest),
                Err(newer) => newest = newer,
            }
        }
        Chain::new()
    }

    /// Refuses pushes from now on, and takes everything, oldest first.
    pub(crate) fn close(&self) -> Chain<T> {
        // Acquire: as in `take`.
        let newest = self.head.swap(closed(), Ordering::AcqRel);
        if newest == closed() { Chain::new() } else { Chain::turn_round(newest) }
    }

    /// Takes pushes again. Whoever closes and opens a stack is one at a time.
    pub(crate) fn open(&self) {
        debug_assert!(self.is_closed(), "opening a stack that is in use would lose what is in it");
        self.head.store(ptr::null_mut(), Ordering::Release);
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        let newest = self.head.swap(closed(), Ordering::Acquire);
        if newest != closed() {
            drop(Chain::turn_round(newest));
        }
    }
}

impl<T> fmt::Debug for Stack<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stack")
    }
}

/// A list in one hand, first in front.
pub(crate) struct Chain<T> {
    /// Invariant: null, or a node that this chain owns together with all that follow it.
    first: *mut Node<T>,
    _owns: PhantomData<T>,
}

// SAFETY: a chain owns its nodes, so sending it sends the values in them and nothing else.
unsafe impl<T: Send> Send for Chain<T> {}

impl<T> Chain<T> {
    pub(crate) const fn new() -> Self {
        Self { first: ptr::null_mut(), _owns: PhantomData }
    }

    /// Owns the nodes from `newest` on, and reverses their links.
    fn turn_round(newest: *mut Node<T>) -> Self {
        let mut turned = ptr::null_mut();
        let mut node = newest;
        while !node.is_null() {
            // SAFETY: the caller gives up the nodes from `newest` on, so each is alive and ours.
            let next = unsafe {
                (*node).life.alone();
                std::mem::replace(&mut (*node).next, turned)
            };
            turned = node;
            // A sender may have read this link while a former node had the address, and linked to
            // the present one: the right address, from a pointer whose node is gone. `push` exposed
            // the present node, so take the pointer from there. No code is made for it.
            node = ptr::with_exposed_provenance_mut(next.addr());
        }
        Self { first: turned, _owns: PhantomData }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: not null, so by the invariant a node that we own; `first` moves on from it.
        let node = unsafe { Box::from_raw(self.first) };
        self.first = node.next;
        Some(node.value)
    }
}

impl<T> Iterator for Chain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.pop_front()
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        // One by one: the recursion of a derived drop would overflow the stack at a long backlog.
        while self.pop_front().is_some() {}
    }
}

impl<T> fmt::Debug for Chain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

#[cfg(all(test, not(any(orch_loom, orch_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn stack() -> Stack<u64> {
        let stack = Stack::new_closed();
        stack.open();
        stack
    }

    fn all(chain: Chain<u64>) -> Vec<u64> {
        chain.collect()
    }

    #[test]
    fn values_come_out_in_the_order_of_pushing() {
        let stack = stack();
        (1..=5).for_each(|n| stack.push(n).unwrap());
        assert_eq!(all(stack.take()), [1, 2, 3, 4, 5]);
        assert!(stack.is_empty());
    }

    #[test]
    fn a_closed_stack_gives_the_value_back_and_stays_closed() {
        let stack = stack();
        stack.push(1).unwrap();
        assert_eq!(all(stack.close()), [1]);
        assert!(all(stack.take()).is_empty());
        assert_eq!(stack.push(2), Err(2));
        assert!(stack.is_closed() && stack.is_empty());
    }

    #[test]
    fn a_stack_that_began_closed_takes_pushes_once_it_is_open() {
        let stack = Stack::new_closed();
        assert_eq!(stack.push(1), Err(1));
        stack.open();
        stack.push(2).unwrap();
        assert_eq!(all(stack.take()), [2]);
    }

    #[test]
    fn a_chain_of_a_million_drops_without_recursion() {
        let stack = stack();
        (0..1_000_000).for_each(|n| stack.push(n).unwrap());
        drop(stack.take());
        (0..1_000_000).for_each(|n| stack.push(n).unwrap());
        drop(stack);
    }

    #[test]
    fn nothing_is_lost_or_reordered_between_threads() {
        const EACH: u64 = 20_000;
        let stack = Arc::new(stack());
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let stack = stack.clone();
                thread::spawn(move || {
                    (0..EACH).for_each(|n| stack.push(sender * EACH + n).unwrap());
                })
            })
            .collect();
        let mut last = [None; 4];
        let mut seen = 0;
        while seen < 4 * EACH {
            for value in stack.take() {
                let sender = (value / EACH) as usize;
                assert!(last[sender] < Some(value), "sender {sender} was reordered");
                last[sender] = Some(value);
                seen += 1;
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
}
