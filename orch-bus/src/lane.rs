//! The lanes of one mailbox, each a list that any number of senders push to, and that receivers take
//! from in turns.
//!
//! ```text
//! first ──▶ oldest ──newer──▶ second ──newer──▶ … ──newer──▶ newest ◀── head
//!            mark ◀──older── oldest ◀──older── second ◀──older── … newest
//! ```
//!
//! - **Push**: one compare-exchange of `head`, from the newest node to the new one, whose `older`
//!   says what it was pushed on. That alone makes the message visible. Then the sender writes a short
//!   cut for the receiver: `newer` in the node below, and `first`, if that one is the oldest.
//! - **Pop**: takes the node at `first`, and moves `first` on to its `newer`. If the node is the
//!   newest too, a compare-exchange of `head` makes the lane empty.
//! - **A short cut is missing** while a sender is stopped between its two steps. Then the receiver
//!   walks from `head` down the `older` links, over what was pushed since. Nobody waits for the
//!   sender, and nothing that was sent is hidden.
//! - **Memory**: the receiver frees a node that it took out of `head`, as nobody can be pushed on it
//!   any more, or whose `newer` it has seen, as that is the last thing that a sender does with it. A
//!   node that it had to walk around stays as an empty shell until its sender has come to that.
//! - **Empty** is no null but a mark, a new one whenever the lane had two nodes since the last: a sender
//!   that was stopped before it set `first` does not find its mark there any more, and leaves it alone.
//!   That the lane is closed is a bit of `head`, beside the node or the mark.
//!
//! So a receive is O(1), but for a sender that the system stopped between two instructions: its message
//! costs the receiver one walk. A message that is sent and received before the next one comes costs one
//! read-modify-write to each side.

#![expect(unsafe_code, reason = "a list with two kinds of writers: one allocation a message")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::PoisonError;

use crate::places::Places;
use crate::sync::{
    AtomicPtr, Life, Mutex, MutexGuard, Ordering, Point, SPINS, free, pass, spin, touch,
};

/// How many lanes a mailbox has.
pub(crate) const LANES: usize = 4;

struct Node<T> {
    /// What `head` was when this node was pushed: the next older node, or the mark of an empty lane.
    /// Never changes once the node is pushed.
    older: *mut Self,
    /// Null until the sender of the next newer node has written it.
    newer: AtomicPtr<Self>,
    /// Counts the takings from 1; 0 before this one was taken.
    number: u64,
    life: Life,
    /// Taken out of a shell; there in any other node.
    value: MaybeUninit<T>,
}

/// One lane. What needs the turn is unsafe here, and done by [`Turn`].
struct Lane<T> {
    /// The newest node, or the mark of an empty lane; with [`CLOSED`] in it once the lane is closed.
    head: AtomicPtr<Node<T>>,
    /// The oldest node, or the mark that the oldest node was pushed on, or will be: then nobody has
    /// said yet. Changed by the receiver, and from each mark once at most by the sender of the second
    /// node above it.
    first: AtomicPtr<Node<T>>,
    /// Not our business, but every send and every receive touches both: so they lie in one cache line.
    places: Places,
}

/// A node that was taken out of its lane by a receiver.
enum Popped<T> {
    /// Nobody else uses it any more: no other was pushed on it, or the sender of that one is done.
    Ours(*mut Node<T>),
    /// The sender of the node that was pushed on it has not linked that one yet.
    NotLinked(*mut Node<T>),
}

/// In the address of `head`: no node is pushed any more.
const CLOSED: usize = 0b01;
/// In an address: this is a mark and no node.
const EMPTY: usize = 0b10;

/// A mark of an empty lane. No two numbers give the same one (but where an address has 32 bits: there,
/// 2^30 takings would have to go by while a sender is stopped).
fn empty<T>(number: u64) -> *mut Node<T> {
    const { assert!(align_of::<Node<T>>() > CLOSED | EMPTY) };
    ptr::without_provenance_mut((number as usize) << 2 | EMPTY)
}

fn is_empty<T>(node: *mut Node<T>) -> bool {
    node.addr() & EMPTY != 0
}

fn is_closed<T>(head: *mut Node<T>) -> bool {
    head.addr() & CLOSED != 0
}

fn without_closed<T>(head: *mut Node<T>) -> *mut Node<T> {
    head.map_addr(|it| it & !CLOSED)
}

/// The node that now has this address. A sender may have read it while a former node had it, and
/// have pushed on the present one: the right address, from a pointer whose node is gone. `push` exposed
/// the present node, so take the pointer from there. No code is made for it.
fn present<T>(node: *mut Node<T>) -> *mut Node<T> {
    ptr::with_exposed_provenance_mut(node.addr())
}

impl<T: 'static> Node<T> {
    fn new(value: T) -> Box<Self> {
        Box::new(Self {
            older: ptr::null_mut(),
            newer: AtomicPtr::new(ptr::null_mut()),
            number: 0,
            life: Life::new(),
            value: MaybeUninit::new(value),
        })
    }

    /// Moves the value out, and frees the node.
    ///
    /// # Safety
    ///
    /// The node came from `Box::into_raw` with its value in it, and nobody else uses it or ever will.
    unsafe fn take_apart(node: *mut Self) -> T {
        // SAFETY: as the caller says; the value is read once, since the box does not drop it.
        let node = unsafe { Box::from_raw(node) };
        node.life.alone();
        let value = unsafe { node.value.assume_init_read() };
        free(node);
        value
    }

    /// What it was pushed on, for a receiver.
    ///
    /// # Safety
    ///
    /// The node was pushed and is alive.
    unsafe fn older(node: *mut Self) -> *mut Self {
        touch();
        // SAFETY: as the caller says; nobody writes it any more.
        unsafe {
            (*node).life.shared();
            (*node).older
        }
    }
}

impl<T: 'static> Lane<T> {
    fn new() -> Self {
        let [head, first] = [(); 2].map(|()| AtomicPtr::new(empty(0)));
        Self { head, first, places: Places::new() }
    }

    fn is_empty(&self) -> bool {
        // Acquire: pairs with the Release in `push`. Whoever sees a message sees what its sender did
        // before. SeqCst, as the push: for the meeting of `Signal`.
        is_empty(self.head.load(Ordering::SeqCst))
    }

    fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        is_closed(self.head.load(Ordering::Acquire))
    }

    fn push(&self, value: T) -> Result<(), T> {
        let node = Box::into_raw(Node::new(value));
        node.expose_provenance(); // For `present`.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if is_closed(head) {
                // SAFETY: made above and not published.
                return Err(unsafe { Node::take_apart(node) });
            }
            pass(Point::LookedNotPushed);
            // SAFETY: `node` is ours alone until the compare-exchange publishes it.
            unsafe { (*node).older = head };
            // AcqRel: Release publishes the node to the Acquire in `first` and `look`. Acquire,
            // because we read the node below, and because the order promise counts sends: a sender
            // that saw this one return comes after it. SeqCst beyond that: for the meeting of `Signal`.
            match self.head.compare_exchange_weak(head, node, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(below) => {
                    pass(Point::PushedNotLinked);
                    if !is_empty(below) {
                        // SAFETY: we pushed `node` on `below`, just now.
                        unsafe { self.link(present(below), node) };
                    }
                    return Ok(());
                }
                Err(newer) => head = newer,
            }
        }
    }

    /// Tells the receiver of `node`.
    ///
    /// # Safety
    ///
    /// The caller has pushed `node` on `below`, and calls this once.
    unsafe fn link(&self, below: *mut Node<T>, node: *mut Node<T>) {
        // SAFETY: `below` was in `head` when `node` was pushed on it. So the receiver cannot take it
        // out of `head`, and frees it only after it has seen the store at the end, our last access.
        let mark = unsafe {
            (*below).life.shared();
            (*below).older
        };
        if is_empty(mark) {
            // Nobody else says what lies above this mark. It fails if the receiver has found out by
            // itself. Release: pairs with the Acquire in `first`.
            let _ = self.first.compare_exchange(mark, below, Ordering::Release, Ordering::Relaxed);
        }
        // SAFETY: as above. Release: pairs with the Acquire in `pop_first` and `Shell::is_linked`; it
        // hands `node` to the former, and tells the latter that we are done with `below`.
        unsafe {
            (*below).life.shared();
            (*below).newer.store(node, Ordering::Release);
        }
    }

    /// Takes the oldest node out of the lane. `number` was never given to this lane before.
    ///
    /// # Safety
    ///
    /// The caller has the turn.
    unsafe fn pop(&self, number: u64) -> Option<Popped<T>> {
        // SAFETY: the caller has the turn.
        match self.first() {
            Some(oldest) => Some(unsafe { self.pop_first(oldest, number) }),
            None => unsafe { self.pop_unknown(number) },
        }
    }

    /// As [`pop`](Self::pop), while `first` does not say which node is the oldest.
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn pop_unknown(&self, number: u64) -> Option<Popped<T>> {
        let head = self.look()?;
        let newest = without_closed(head);
        // SAFETY: every node from `head` down to the mark is alive, as the caller has the turn, and
        // nobody has taken any: `first` would not be the mark any more.
        let mark = unsafe { Node::older(newest) };
        let oldest = if is_empty(mark) {
            // The mark can be used again: no sender of a second node has ever seen it.
            if self.try_empty(head, mark) {
                return Some(Popped::Ours(newest));
            }
            newest
        } else {
            // The sender of the second node is about to say.
            let first = look_again(|| self.first());
            // SAFETY: as above, and the lowest node was pushed on the mark.
            first.unwrap_or_else(|| unsafe { self.walk(is_empty) })
        };
        // A read-modify-write, as that of the sender in `link`: one is before the other. If ours is, then
        // the mark is gone, and the sender leaves `first` alone for good.
        self.first.swap(oldest, Ordering::Relaxed);
        // SAFETY: as the caller says.
        Some(unsafe { self.pop_first(oldest, number) })
    }

    /// As [`pop`](Self::pop), for the node at `first`.
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn pop_first(&self, oldest: *mut Node<T>, number: u64) -> Popped<T> {
        let linked = || {
            // SAFETY: with the turn, it is alive. Acquire: pairs with the Release in `link`.
            let newer = unsafe { (*oldest).newer.load(Ordering::Acquire) };
            (!newer.is_null()).then_some(newer)
        };
        let mut newer = linked();
        if newer.is_none() {
            let head = self.head.load(Ordering::Relaxed);
            if without_closed(head) == oldest {
                // A new mark, as senders may still know the former one. In `first` before it is in
                // `head`, or this would undo what the sender of a second node writes.
                let mark = empty(number);
                self.first.store(mark, Ordering::Relaxed);
                if self.try_empty(head, mark) {
                    return Popped::Ours(oldest);
                }
            }
            // Another was pushed on it, and its sender is about to link it.
            newer = look_again(linked);
        }
        // SAFETY: there is a node that was pushed on `oldest`, which was not taken before.
        let next = newer.unwrap_or_else(|| unsafe { self.walk(|older| older == oldest) });
        // Relaxed: for the next receiver, who comes after the unlock. No sender looks for a node here.
        self.first.store(next, Ordering::Relaxed);
        if newer.is_some() { Popped::Ours(oldest) } else { Popped::NotLinked(oldest) }
    }

    /// The oldest node, if somebody has said which it is.
    fn first(&self) -> Option<*mut Node<T>> {
        // Acquire: pairs with the Release in `link`.
        let first = self.first.load(Ordering::Acquire);
        (!is_empty(first)).then_some(first)
    }

    /// What `head` is, unless the lane is empty.
    fn look(&self) -> Option<*mut Node<T>> {
        // Acquire: pairs with the Release of each push; of those below the newest too, since `head`
        // is only changed by read-modify-writes, which continue the release sequence.
        let head = self.head.load(Ordering::Acquire);
        (!is_empty(head)).then_some(head)
    }

    /// Puts `mark` where the only node is, unless `head` is another by now.
    fn try_empty(&self, head: *mut Node<T>, mark: *mut Node<T>) -> bool {
        let mark = mark.map_addr(|it| it | head.addr() & CLOSED);
        // Release: hands on the mark in `first`. Nothing is read by it.
        self.head.compare_exchange(head, mark, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Finds a node from the newest on downwards, by what it was pushed on.
    ///
    /// # Safety
    ///
    /// The caller has the turn, and there is such a node, and none below it is looked at.
    unsafe fn walk(&self, is_it: impl Fn(*mut Node<T>) -> bool) -> *mut Node<T> {
        let mut node = without_closed(self.look().expect("there is such a node"));
        loop {
            // SAFETY: not taken, or there would be no such node, and only the caller takes.
            let older = unsafe { Node::older(node) };
            if is_it(older) {
                return node;
            }
            node = present(older);
        }
    }

    /// One caller at a time.
    fn close(&self) {
        let mut head = self.head.load(Ordering::Relaxed);
        while !is_closed(head) {
            let closed = head.map_addr(|it| it | CLOSED);
            // Release: whoever sees the lane closed sees what was done before.
            let done =
                self.head.compare_exchange(head, closed, Ordering::Release, Ordering::Relaxed);
            head = done.map_or_else(|newer| newer, |_| closed);
        }
    }
}

/// Looks a few times, since the sender who is about to write is nearly always awake.
fn look_again<R>(look: impl Fn() -> Option<R>) -> Option<R> {
    (0..SPINS).find_map(|_| {
        spin();
        look()
    })
}

/// All lanes of a mailbox, and the lock by which its receivers take turns.
pub(crate) struct Lanes<T: 'static> {
    lanes: [Lane<T>; LANES],
    receiving: Mutex<Receiving<T>>,
}

/// What the receivers share, one at a time.
struct Receiving<T: 'static> {
    /// How many were taken out of the lanes.
    n_taken: u64,
    rare: Option<Box<Rare<T>>>,
}

/// What few mailboxes have, and seldom.
struct Rare<T: 'static> {
    /// By lane, by the number of the first taking. Goes before what is in the lane.
    put_back: [BTreeMap<u64, Taken<T>>; LANES],
    shells: VecDeque<Shell<T>>,
}

impl<T: Send + 'static> Lanes<T> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Lane::new()),
            receiving: Mutex::new(Receiving { n_taken: 0, rare: None }),
        }
    }

    /// Puts `value` behind all that is in the lane; gives it back if the lane is closed.
    pub(crate) fn push(&self, lane: usize, value: T) -> Result<(), T> {
        self.lanes[lane].push(value)
    }

    pub(crate) fn is_closed(&self, lane: usize) -> bool {
        self.lanes[lane].is_closed()
    }

    pub(crate) fn places(&self, lane: usize) -> &Places {
        &self.lanes[lane].places
    }

    /// Whether nothing can be taken, as far as that can be said without the turn: false if a send or a
    /// put-back is under way.
    pub(crate) fn look_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.is_empty() && lane.places.none_waits())
    }
}

impl<T: 'static> Lanes<T> {
    /// Waits for the receiver whose turn it is.
    pub(crate) fn take_turn(&self) -> Turn<'_, T> {
        let receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        Turn { lanes: &self.lanes, receiving }
    }
}

/// The right to receive from these lanes, which one has at a time.
pub(crate) struct Turn<'a, T: 'static> {
    lanes: &'a [Lane<T>; LANES],
    receiving: MutexGuard<'a, Receiving<T>>,
}

impl<T: 'static> Turn<'_, T> {
    /// Takes the next value of a lane: what was put back, by the order of the first taking, then what
    /// was never taken, by the order of pushing.
    #[inline]
    pub(crate) fn take(&mut self, lane: usize) -> Option<Taken<T>> {
        if self.receiving.rare.is_some() {
            return self.take_put_back(lane).or_else(|| self.pop(lane));
        }
        // Most lanes are empty at most looks.
        if self.lanes[lane].is_empty() { None } else { self.pop(lane) }
    }

    #[cold]
    fn take_put_back(&mut self, lane: usize) -> Option<Taken<T>> {
        let put_back = &mut self.receiving.rare.as_mut()?.put_back[lane];
        put_back.pop_first().map(|(_, taken)| taken)
    }

    /// Puts a value back to where it was in its lane.
    pub(crate) fn put_back(&mut self, lane: usize, taken: Taken<T>) {
        let there = self.receiving.rare_mut().put_back[lane].insert(taken.number(), taken);
        debug_assert!(there.is_none(), "every taking has its own number");
    }

    pub(crate) fn is_empty(&self, lane: usize) -> bool {
        let put_back = self.receiving.rare.as_ref().map(|rare| &rare.put_back[lane]);
        put_back.is_none_or(BTreeMap::is_empty) && self.lanes[lane].is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.iter().all(Lane::is_closed)
    }

    /// Refuses pushes to all lanes from now on. What is in them stays.
    pub(crate) fn close(&mut self) {
        self.lanes.iter().for_each(Lane::close);
    }

    fn pop(&mut self, lane: usize) -> Option<Taken<T>> {
        let lane = &self.lanes[lane];
        let receiving = &mut *self.receiving;
        let number = receiving.n_taken + 1;
        // SAFETY: the turn is ours, by `self`.
        let popped = unsafe { lane.pop(number) }?;
        touch();
        receiving.n_taken = number;
        receiving.reap();
        let node = match popped {
            Popped::Ours(node) => node,
            Popped::NotLinked(node) => {
                // SAFETY: in no list any more, and nobody but its linker uses it.
                let (value, shell) = unsafe { Shell::of(node) };
                receiving.rare_mut().shells.push_back(shell);
                Box::into_raw(Node::new(value))
            }
        };
        // SAFETY: ours alone, from the lane or made just now.
        Some(unsafe { Taken::own(node, number) })
    }
}

impl<T: 'static> Receiving<T> {
    fn rare_mut(&mut self) -> &mut Rare<T> {
        self.rare.get_or_insert_with(|| {
            let put_back = std::array::from_fn(|_| BTreeMap::new());
            Box::new(Rare { put_back, shells: VecDeque::new() })
        })
    }

    /// Looks after one shell, and after the box. One a taking is enough, since no more come.
    #[inline]
    fn reap(&mut self) {
        if self.rare.is_some() {
            self.reap_one();
        }
    }

    #[cold]
    fn reap_one(&mut self) {
        let Some(rare) = &mut self.rare else { return };
        match rare.shells.pop_front() {
            Some(shell) if !shell.is_linked() => rare.shells.push_back(shell),
            _ if rare.shells.is_empty() && rare.put_back.iter().all(BTreeMap::is_empty) => {
                self.rare = None;
            }
            _ => {}
        }
    }
}

impl<T: 'static> Drop for Lanes<T> {
    fn drop(&mut self) {
        let mut turn = self.take_turn();
        for lane in 0..LANES {
            while turn.pop(lane).is_some() {}
        }
    }
}

/// A value that was taken from its lane, still in the memory that it was sent in.
pub(crate) struct Taken<T: 'static> {
    /// Invariant: from `Box::into_raw`, ours alone, with the value in it.
    node: NonNull<Node<T>>,
}

// SAFETY: it owns its node, and so the value; the addresses in the node are not used any more.
unsafe impl<T: Send> Send for Taken<T> {}
// SAFETY: as above; a shared one gives shared access to the value and the number alone.
unsafe impl<T: Sync> Sync for Taken<T> {}

impl<T: 'static> Taken<T> {
    /// # Safety
    ///
    /// The node came from `Box::into_raw`, has its value, and nobody else uses it or ever will.
    unsafe fn own(node: *mut Node<T>, number: u64) -> Self {
        // SAFETY: as the caller says.
        unsafe {
            (*node).life.alone();
            (*node).number = number;
            Self { node: NonNull::new_unchecked(node) }
        }
    }

    fn number(&self) -> u64 {
        // SAFETY: by the invariant.
        unsafe { self.node.as_ref() }.number
    }

    pub(crate) fn into_value(self) -> T {
        // SAFETY: by the invariant; the drop, which would free it again, is left out.
        unsafe { Node::take_apart(ManuallyDrop::new(self).node.as_ptr()) }
    }
}

impl<T: 'static> Deref for Taken<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: by the invariant.
        unsafe { self.node.as_ref().value.assume_init_ref() }
    }
}

impl<T: 'static> DerefMut for Taken<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant.
        unsafe { self.node.as_mut().value.assume_init_mut() }
    }
}

impl<T: 'static> Drop for Taken<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant. In place, since moving a value out only to drop it costs a copy.
        let node = unsafe {
            self.node.as_mut().value.assume_init_drop();
            Box::from_raw(self.node.as_ptr())
        };
        node.life.alone();
        free(node);
    }
}

/// A node that was taken before the sender of the next one had linked it, without its value. Dropped
/// only when it [is linked](Self::is_linked), or when there are no senders any more.
struct Shell<T: 'static>(NonNull<Node<T>>);

// SAFETY: there is no value in it, and its `newer` is atomic.
unsafe impl<T> Send for Shell<T> {}

impl<T: 'static> Shell<T> {
    /// Moves the value out of a node.
    ///
    /// # Safety
    ///
    /// The node came from `Box::into_raw`, has its value, and nobody but its linker uses it.
    unsafe fn of(node: *mut Node<T>) -> (T, Self) {
        // SAFETY: as the caller says; a linker does not look at the value.
        unsafe { ((*node).value.assume_init_read(), Self(NonNull::new_unchecked(node))) }
    }

    /// Whether its linker is done with it.
    fn is_linked(&self) -> bool {
        touch();
        // SAFETY: alive until we are dropped. Acquire: pairs with the Release in `link`.
        !unsafe { self.0.as_ref() }.newer.load(Ordering::Acquire).is_null()
    }
}

impl<T: 'static> Drop for Shell<T> {
    fn drop(&mut self) {
        // SAFETY: its linker is done with it, or gone. The box does not drop the value.
        let node = unsafe { Box::from_raw(self.0.as_ptr()) };
        node.life.alone();
        free(node);
    }
}

impl<T: 'static> fmt::Debug for Lanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lanes")
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for Taken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
pub(crate) const fn node_bytes<T>() -> usize {
    size_of::<Node<T>>()
}

#[cfg(all(test, not(any(orch_loom, orch_shuttle))))]
#[path = "lane/tests.rs"]
mod tests;
