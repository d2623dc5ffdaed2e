//! Where workers find ready agents, and the slots without which none of them is run.
//!
//! ```text
//!  announced stack ─┐        worker 0: desk (one fresh agent) + queue ─┐
//!  (sends elsewhere)├─▶ drained by whoever looks, into its own queue   ├─▶ an activation
//!                   ┘        worker 1: desk + queue ◀── half is stolen ┘
//! ```
//!
//! As long as slots are free, a worker takes what is fresh on its desk (at most `FRESH_IN_A_ROW`
//! times, so two agents that talk to each other starve nobody), then the most urgent of its own
//! queue, then steals. Once slots are scarce, all of that is collected under one lock into one order:
//! the most urgent first, equals in the order in which they became ready. So the promise about
//! scarce slots is exact, and costs nothing while slots are free.
//!
//! This file decides who is next, and knows nothing of what is done with a message.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use orch_bus::{Attachment, Desk, Mailbox};
use orch_core::MessagePriority;

use crate::ready::{Place, ReadySet};
use crate::slot::SlotHolder;

const FRESH_IN_A_ROW: u32 = 16;

/// The scheduling state that the workers of one run share.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) attachment: Attachment,
    shards: Box<[CachePadded<Shard>]>,
    slots: Mutex<Slots>,
    /// Whether slots are scarce: none is free, or something waits for one. Changed under the lock of
    /// `slots`.
    scarce: AtomicBool,
}

/// What one worker has to do. Others steal from it.
#[derive(Debug, Default)]
struct Shard {
    desk: Arc<Desk>,
    queue: Mutex<Queue>,
    /// As long as the queue, for those who only look whether it is empty.
    len: AtomicUsize,
    /// Whether the worker is running an activation.
    is_busy: AtomicBool,
}

/// Ready agents, by the urgency with which they became ready.
#[derive(Debug, Default)]
struct Queue([VecDeque<Arc<Mailbox>>; 4]);

#[derive(Debug)]
struct Slots {
    free: usize,
    /// In the order in which they get slots. Empty while slots are not scarce.
    waiting: ReadySet<Waiter>,
}

#[derive(Debug)]
enum Waiter {
    /// An agent that may take a message.
    Agent(Arc<Mailbox>),
    /// A handler that has waited and wants to go on.
    Handler(Arc<SlotHolder>),
}

/// One of `max_concurrency` rights to run a handler, given back when it is dropped.
#[must_use]
pub(crate) struct Slot {
    pool: Option<Arc<Pool>>,
}

impl Slot {
    /// Drops it without giving it back: whoever waits through a context has done so.
    pub(crate) fn forget(mut self) {
        self.pool = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back();
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// Says where agents stand in the order of those who wait for a slot.
pub(crate) trait Order {
    /// Puts an agent where it belongs among those who wait, if it can take a message.
    fn place(&self, mailbox: &Arc<Mailbox>, waiting: &mut Waiting<'_>);

    /// Notes that it waits no longer.
    fn unplace(&self, mailbox: &Arc<Mailbox>);
}

/// Those who wait for a slot, as [`Order`] sees them.
pub(crate) struct Waiting<'a>(&'a mut ReadySet<Waiter>);

impl Waiting<'_> {
    /// Where an agent stands that is as urgent as this, and stood at `place` before. What becomes
    /// more urgent keeps its place among its new equals.
    pub(crate) fn place(
        &mut self,
        mailbox: &Arc<Mailbox>,
        place: Option<Place>,
        urgency: MessagePriority,
    ) -> Option<Place> {
        match place {
            None => Some(self.0.add(urgency, Waiter::Agent(mailbox.clone()))),
            Some(place) if place.urgency() == urgency => Some(place),
            Some(place) => self.0.change(place, urgency),
        }
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.0.remove(place);
    }
}

/// What one worker keeps for itself.
#[derive(Debug)]
pub(crate) struct Seat {
    index: usize,
    pub(crate) slot: Option<Slot>,
    /// How often in a row it took what was fresh.
    n_fresh: u32,
    /// Whether it was woken and has found nothing yet.
    pub(crate) is_searching: bool,
    /// The agent that it has run last, if that became ready again while slots are scarce: behind all
    /// that became ready before. Nobody else sees it here, so it is here from one look to the next.
    again: Option<(Arc<Mailbox>, MessagePriority)>,
}

impl Seat {
    pub(crate) fn new(index: usize) -> Self {
        Self { index, slot: None, n_fresh: 0, is_searching: false, again: None }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl Pool {
    pub(crate) fn new(attachment: Attachment, n_workers: usize, max_concurrency: usize) -> Self {
        let shards = (0..n_workers).map(|_| CachePadded::default()).collect();
        let slots = Slots { free: max_concurrency, waiting: ReadySet::default() };
        Self { attachment, shards, slots: Mutex::new(slots), scarce: AtomicBool::new(false) }
    }

    pub(crate) fn n_workers(&self) -> usize {
        self.shards.len()
    }

    /// Workers that are running an activation.
    pub(crate) fn n_busy(&self) -> usize {
        self.shards.iter().filter(|shard| shard.is_busy.load(Ordering::Relaxed)).count()
    }

    pub(crate) fn set_busy(&self, seat: &Seat, is_busy: bool) {
        self.shards[seat.index].is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// Whether every worker sleeps, or is about to and has found nothing.
    pub(crate) fn all_asleep(&self) -> bool {
        self.attachment.n_asleep() == self.n_workers()
    }

    /// Whether slots are scarce, so that whoever has one lets go of it between two messages.
    pub(crate) fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Acquire)
    }

    pub(crate) fn desk(&self, seat: &Seat) -> &Arc<Desk> {
        &self.shards[seat.index].desk
    }

    /// The next agent to run, for a worker that then has a slot for it.
    pub(crate) fn next(
        self: &Arc<Self>,
        seat: &mut Seat,
        order: &impl Order,
    ) -> Option<Arc<Mailbox>> {
        let found = if seat.slot.is_some() && !self.is_scarce() {
            self.next_of_free(seat)
        } else {
            self.next_of_scarce(seat, order)
        };
        if found.is_some() && seat.is_searching {
            seat.is_searching = false;
            self.attachment.searched();
            // The search is handed on, one worker at a time.
            if self.has_work() {
                self.attachment.wake();
            }
        }
        found
    }

    /// Whether a worker that sleeps would find something, and a slot for it. Before it sleeps, a
    /// worker calls this while it counts as asleep.
    pub(crate) fn has_work(&self) -> bool {
        let slots = self.lock();
        let is_ready = || {
            self.attachment.has_announced()
                || self.shards.iter().any(|shard| shard.len.load(Ordering::Acquire) > 0)
        };
        slots.free > 0 && (!slots.waiting.is_empty() || is_ready())
    }

    fn next_of_free(&self, seat: &mut Seat) -> Option<Arc<Mailbox>> {
        self.queue_again(seat);
        let shard = &self.shards[seat.index];
        if self.attachment.has_announced() {
            self.drain_announced(shard);
        }
        if seat.n_fresh < FRESH_IN_A_ROW
            && let Some(fresh) = shard.desk.take()
        {
            seat.n_fresh += 1;
            return Some(fresh);
        }
        seat.n_fresh = 0;
        shard.pop().or_else(|| shard.desk.take()).or_else(|| self.steal(seat.index))
    }

    fn drain_announced(&self, shard: &Shard) {
        let mut queue = lock(&shard.queue);
        for (mailbox, priority) in self.attachment.take_announced() {
            queue.push(mailbox, priority);
        }
        let len = shard.set_len(&queue);
        drop(queue);
        if len > 1 {
            self.attachment.wake();
        }
    }

    /// Takes half of what another worker has to do, the most urgent first.
    fn steal(&self, thief: usize) -> Option<Arc<Mailbox>> {
        let n = self.shards.len();
        let victims = (1..n).map(|step| &self.shards[(thief + step) % n]);
        for victim in victims.filter(|victim| victim.len.load(Ordering::Acquire) > 0) {
            let mut queue = lock(&victim.queue);
            let mut booty = queue.take_half();
            victim.set_len(&queue);
            drop(queue);
            let first = booty.pop();
            if first.is_some() {
                if booty.len() > 0 {
                    let own = &self.shards[thief];
                    let mut queue = lock(&own.queue);
                    queue.append(booty);
                    own.set_len(&queue);
                }
                return first;
            }
        }
        None
    }

    /// Takes a slot if one is free, and the next of all who wait.
    fn next_of_scarce(
        self: &Arc<Self>,
        seat: &mut Seat,
        order: &impl Order,
    ) -> Option<Arc<Mailbox>> {
        let mut slots = self.lock();
        self.sit_down(&mut slots, seat);
        if seat.slot.is_none() {
            // Whoever gives one back wakes a worker, who looks at the queues of others and not at their
            // desks, unless slots are scarce then too.
            self.clear_desk(seat);
            self.queue_again(seat);
            return None;
        }
        if !self.is_scarce() {
            drop(slots);
            return self.next_of_free(seat);
        }
        self.collect(&mut slots, order);
        if let Some((again, _)) = seat.again.take() {
            order.place(&again, &mut Waiting(&mut slots.waiting));
        }
        let mut next = None;
        while seat.slot.is_some()
            && let Some((_, waiter)) = slots.waiting.pop()
        {
            match waiter {
                Waiter::Agent(mailbox) => {
                    order.unplace(&mailbox);
                    next = Some(mailbox);
                    break;
                }
                // The handler takes this worker's slot, unless it waits again or its turn is over.
                Waiter::Handler(handler) => {
                    if handler.grant() {
                        seat.slot.take().into_iter().for_each(Slot::forget);
                        self.sit_down(&mut slots, seat);
                    }
                }
            }
        }
        self.note_scarcity(&slots);
        next
    }

    /// Puts what is on the desk into the queue.
    fn clear_desk(&self, seat: &Seat) {
        let shard = &self.shards[seat.index];
        if let Some(fresh) = shard.desk.take() {
            let mut queue = lock(&shard.queue);
            let urgency = fresh.most_urgent().unwrap_or(MessagePriority::Low);
            queue.push(fresh, urgency);
            shard.set_len(&queue);
        }
    }

    fn sit_down(self: &Arc<Self>, slots: &mut Slots, seat: &mut Seat) {
        if seat.slot.is_none() && slots.free > 0 {
            slots.free -= 1;
            seat.slot = Some(Slot { pool: Some(self.clone()) });
        }
        self.note_scarcity(slots);
    }

    /// Brings everything that is ready into one order.
    fn collect(&self, slots: &mut Slots, order: &impl Order) {
        let mut waiting = Waiting(&mut slots.waiting);
        for shard in &self.shards {
            let mut queue = lock(&shard.queue);
            let ready = queue.take_all();
            shard.set_len(&queue);
            drop(queue);
            // What is fresh became ready after what was displaced from the desk.
            for mailbox in ready.into_iter().chain(shard.desk.take()) {
                order.place(&mailbox, &mut waiting);
            }
        }
        for (mailbox, _) in self.attachment.take_announced() {
            order.place(&mailbox, &mut waiting);
        }
    }

    /// Lets an agent wait that has more to do than was done now.
    pub(crate) fn again(&self, seat: &mut Seat, mailbox: Arc<Mailbox>, urgency: MessagePriority) {
        seat.again = Some((mailbox, urgency));
        if !self.is_scarce() {
            self.queue_again(seat);
        }
    }

    fn queue_again(&self, seat: &mut Seat) {
        let Some((mailbox, urgency)) = seat.again.take() else { return };
        let shard = &self.shards[seat.index];
        let mut queue = lock(&shard.queue);
        queue.push(mailbox, urgency);
        let len = shard.set_len(&queue);
        drop(queue);
        if len > 1 {
            self.attachment.wake();
        }
    }

    /// Hands everybody what one worker would have looked at next.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        self.queue_again(seat);
        let shard = &self.shards[seat.index];
        let mut queue = lock(&shard.queue);
        let queued = queue.take_all();
        shard.set_len(&queue);
        drop(queue);
        for mailbox in queued.into_iter().chain(shard.desk.take()) {
            let urgency = mailbox.most_urgent().unwrap_or(MessagePriority::Low);
            self.attachment.announce(mailbox, urgency);
        }
    }

    /// Gives a slot to a handler that has waited, now or in its turn.
    pub(crate) fn queue_for_slot(&self, urgency: MessagePriority, handler: Arc<SlotHolder>) {
        let mut slots = self.lock();
        // The last slot goes to the most urgent of all who are ready, whom nobody has collected yet.
        if slots.free > 1 && slots.waiting.is_empty() {
            if handler.grant() {
                slots.free -= 1;
            }
        } else {
            slots.waiting.add(urgency, Waiter::Handler(handler));
        }
        self.note_scarcity(&slots);
        drop(slots);
        self.attachment.wake();
    }

    /// Counts a slot back.
    pub(crate) fn give_back(&self) {
        let mut slots = self.lock();
        let was_scarce = self.is_scarce();
        slots.free += 1;
        self.note_scarcity(&slots);
        drop(slots);
        if was_scarce {
            self.attachment.wake();
        }
    }

    fn note_scarcity(&self, slots: &Slots) {
        let scarce = slots.free == 0 || !slots.waiting.is_empty();
        if self.scarce.swap(scarce, Ordering::AcqRel) != scarce {
            self.attachment.use_desks(!scarce);
        }
    }

    /// Takes out every agent that is ready and was not run, in the order of this pool.
    pub(crate) fn clear(&self) -> Vec<Arc<Mailbox>> {
        let mut left = Vec::new();
        let mut slots = self.lock();
        while let Some((_, waiter)) = slots.waiting.pop() {
            if let Waiter::Agent(mailbox) = waiter {
                left.push(mailbox);
            }
        }
        self.note_scarcity(&slots);
        drop(slots);
        for shard in &self.shards {
            let mut queue = lock(&shard.queue);
            left.extend(queue.take_all());
            shard.set_len(&queue);
            drop(queue);
            left.extend(shard.desk.take());
        }
        left.extend(self.attachment.take_announced().map(|(mailbox, _)| mailbox));
        left
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        lock(&self.slots)
    }
}

impl Shard {
    fn pop(&self) -> Option<Arc<Mailbox>> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None; // Only this worker adds to it.
        }
        let mut queue = lock(&self.queue);
        let next = queue.pop();
        self.set_len(&queue);
        next
    }

    fn set_len(&self, queue: &Queue) -> usize {
        let len = queue.len();
        self.len.store(len, Ordering::Release);
        len
    }
}

impl Queue {
    fn push(&mut self, mailbox: Arc<Mailbox>, urgency: MessagePriority) {
        self.0[urgency.lane()].push_back(mailbox);
    }

    fn pop(&mut self) -> Option<Arc<Mailbox>> {
        self.0.iter_mut().rev().find_map(VecDeque::pop_front)
    }

    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }

    fn take_half(&mut self) -> Self {
        let mut half = Self::default();
        let mut n = self.len().div_ceil(2);
        for (from, to) in self.0.iter_mut().zip(&mut half.0).rev() {
            let taken = n.min(from.len());
            to.extend(from.drain(..taken));
            n -= taken;
        }
        half
    }

    fn append(&mut self, mut other: Self) {
        self.0.iter_mut().zip(&mut other.0).for_each(|(to, from)| to.append(from));
    }

    /// Everything, the most urgent first.
    fn take_all(&mut self) -> Vec<Arc<Mailbox>> {
        self.0.iter_mut().rev().flat_map(|level| level.drain(..)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
