//! The mailbox of one agent: four lanes, one for each priority.
//!
//! ```text
//!            Critical ─▶ ▓▓▓▓ ─┐
//! senders       High ─▶ ▓▓   ─┼─▶ receivers, taking turns: the most urgent lane first,
//! (any)       Normal ─▶ ▓▓▓▓▓ ─┤   FIFO within a lane
//!                Low ─▶ ▓▓▓▓▓▓▓┘
//! ```
//!
//! The promise, in the words of the docs and tests: when a receive returns a message, no message of
//! a higher priority whose send had returned before that receive began is still waiting. Within a
//! lane, if one send returned before another began, it is received first. Nothing is promised
//! between sends that overlap.
//!
//! A message that is checked out keeps its place in its lane's count until it is settled, so that
//! putting it back always fits; it then goes back to where it was: in front of what was never
//! checked out, in the order of checking out.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use orch_core::{
    AgentId, AgentMessage, DeadLetter, DeadLetterReason, MessagePriority, PriorityDepth, Timestamp,
};
use tokio::sync::Notify;

use crate::dead_letters::DeadLetters;
use crate::delivery::{Attempts, Delivery};
use crate::home::Home;
use crate::lane::{Chain, Stack};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Point, pass};

/// One agent's inbox. Cheap while idle: a few hundred bytes and no task.
#[derive(Debug)]
pub struct Mailbox {
    agent: AgentId,
    /// By [`MessagePriority::lane`].
    lanes: [Lane; 4],
    /// Receivers take turns by this lock; senders never touch it.
    turn: Mutex<Receiving>,
    /// See the functions on [`Signal`].
    signal: AtomicU64,
    capacity: u32,
    slot: AtomicU64,
    arrived: OnceLock<Box<Notify>>,
    pub(crate) home: Arc<Home>,
}

#[derive(Debug)]
struct Lane {
    inbox: Stack<Parcel>,
    /// Messages that were accepted and not settled, and places reserved for sends under way.
    /// Invariant: never above the mailbox's capacity.
    used: AtomicU32,
    /// Those of `used` that are checked out.
    held: AtomicU32,
    /// Made by the first sender that has to wait for room.
    room: OnceLock<Box<Notify>>,
}

/// What the receivers share, one at a time.
#[derive(Debug)]
struct Receiving {
    /// By lane, what was taken from the inbox, oldest first; older than all that is in the inbox.
    local: [Chain<Parcel>; 4],
    next_ticket: u64,
    closed: bool,
}

#[derive(Debug)]
struct Parcel {
    message: AgentMessage,
    /// The number of its first check-out, from 1; 0 if it was never checked out.
    ticket: u64,
    /// Those that failed before it was put back.
    attempts: Attempts,
}

impl Parcel {
    /// A message that was just sent.
    fn new(message: AgentMessage) -> Self {
        Self { message, ticket: 0, attempts: Attempts::default() }
    }
}

/// Which arrivals announce the mailbox to the scheduler of its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Every arrival.
    Every,
    /// Only one that is more urgent.
    Above(MessagePriority),
    /// None.
    Nothing,
}

impl Announce {
    /// The level that an arrival's priority, counted from 1, must pass.
    const fn level(self) -> u64 {
        match self {
            Self::Every => 0,
            Self::Above(priority) => priority as u64 + 1,
            Self::Nothing => Signal::LEVEL,
        }
    }
}

/// The word that senders and the receiving side meet at: bits 0–2 the announce level, bit 3 whether
/// somebody has ever waited in `recv`, bit 4 whether a worker has claimed the mailbox, the rest an
/// epoch that each change of the level by the scheduler counts up.
///
/// Both sides use read-modify-writes only, on one word, so they have one order: either the sender
/// comes first, and the other side, looking at the lanes afterwards, sees its message; or it comes
/// second, and sees the level (or the waiter) and acts on it.
struct Signal;

impl Signal {
    const LEVEL: u64 = 0b111;
    const WAITER: u64 = 0b1000;
    const CLAIMED: u64 = 0b1_0000;
    const EPOCH: u64 = 0b10_0000;
}

impl Mailbox {
    /// A mailbox of its own, without a bus, with the default limits.
    #[must_use]
    pub fn new(agent: AgentId) -> Arc<Self> {
        let home = Arc::new(Home::default());
        let capacity = home.limits.lane_capacity;
        Self::at_home(agent, capacity, home)
    }

    pub(crate) fn at_home(agent: AgentId, capacity: u32, home: Arc<Home>) -> Arc<Self> {
        Arc::new(Self {
            agent,
            lanes: std::array::from_fn(|_| Lane {
                inbox: Stack::new(),
                used: AtomicU32::new(0),
                held: AtomicU32::new(0),
                room: OnceLock::new(),
            }),
            turn: Mutex::new(Receiving {
                local: std::array::from_fn(|_| Chain::new()),
                next_ticket: 1,
                closed: false,
            }),
            signal: AtomicU64::new(0),
            capacity: capacity.max(1),
            slot: AtomicU64::new(0),
            arrived: OnceLock::new(),
            home,
        })
    }

    /// Whose mailbox this is.
    #[must_use]
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Messages that one lane takes, those that are being handled included; `u32::MAX` for no
    /// limit.
    #[must_use]
    pub fn lane_capacity(&self) -> u32 {
        self.capacity
    }

    /// Takes the most urgent message; `None` if there is none. Its place in the lane is free at
    /// once: use [`try_checkout`](Self::try_checkout) if it may have to come back.
    ///
    /// # Ordering
    ///
    /// As this module promises.
    pub fn try_recv(self: &Arc<Self>) -> Option<AgentMessage> {
        self.try_checkout().map(Delivery::settle)
    }

    /// Waits for the most urgent message; `None` once the mailbox is closed and drained.
    ///
    /// # Ordering
    ///
    /// As this module promises. Receivers that wait are woken in the order in which they came.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready takes nothing from the mailbox.
    pub async fn recv(self: &Arc<Self>) -> Option<AgentMessage> {
        let arrived = self.arrived.get_or_init(Box::default);
        // From now on every sender looks at `arrived`. Pairs with `announce`.
        self.signal.fetch_or(Signal::WAITER, Ordering::AcqRel);
        loop {
            let mut notified = std::pin::pin!(arrived.notified());
            // Register before looking, or a send between the look and the wait is slept through.
            notified.as_mut().enable();
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            pass(Point::FoundNoMessage);
            if self.is_closed() {
                // Look once more: a message may have come after the look above and before the
                // closing. None can come any more, and this look takes its turn after `close`.
                return self.try_recv();
            }
            notified.await;
        }
    }

    /// Takes the most urgent message to handle it: it keeps its place until it is settled, and goes
    /// back to the head of its lane if it is not.
    ///
    /// # Ordering
    ///
    /// As this module promises.
    pub fn try_checkout(self: &Arc<Self>) -> Option<Delivery> {
        self.try_checkout_from(MessagePriority::Low)
    }

    /// As [`try_checkout`](Self::try_checkout), but only a message of at least this priority.
    pub fn try_checkout_from(self: &Arc<Self>, least: MessagePriority) -> Option<Delivery> {
        self.checkout(&mut self.take_turn(), least)
    }

    fn checkout(
        self: &Arc<Self>,
        receiving: &mut Receiving,
        least: MessagePriority,
    ) -> Option<Delivery> {
        let urgent = MessagePriority::MOST_URGENT_FIRST.into_iter().take_while(|p| *p >= least);
        for priority in urgent {
            if let Some(parcel) = receiving.pop(priority, &self.lane(priority).inbox) {
                self.lane(priority).held.fetch_add(1, Ordering::Relaxed);
                let Parcel { message, ticket, attempts } = parcel;
                return Some(Delivery::new(self.clone(), message, ticket, attempts));
            }
        }
        None
    }

    /// The most urgent priority that a message waits with.
    ///
    /// # Ordering
    ///
    /// Sees every message whose send had returned before this call began.
    #[must_use]
    pub fn most_urgent(&self) -> Option<MessagePriority> {
        self.most_urgent_of(&self.take_turn())
    }

    fn is_waiting(&self, receiving: &Receiving) -> bool {
        self.most_urgent_of(receiving).is_some()
    }

    fn most_urgent_of(&self, receiving: &Receiving) -> Option<MessagePriority> {
        MessagePriority::MOST_URGENT_FIRST
            .into_iter()
            .find(|p| !receiving.local[p.lane()].is_empty() || !self.lane(*p).inbox.is_empty())
    }

    /// How many messages wait, by priority. Read without stopping anyone, so the four figures need
    /// not belong to one instant; a send that is under way may be counted already.
    #[must_use]
    pub fn depth(&self) -> PriorityDepth {
        let mut depth = PriorityDepth::default();
        for priority in MessagePriority::MOST_URGENT_FIRST {
            depth.add(priority, self.len_of(priority));
        }
        depth
    }

    /// How many messages of this priority wait; see [`depth`](Self::depth).
    #[must_use]
    pub fn len_of(&self, priority: MessagePriority) -> usize {
        let lane = self.lane(priority);
        let held = lane.held.load(Ordering::Relaxed);
        lane.used.load(Ordering::Relaxed).saturating_sub(held) as usize
    }

    /// How many messages wait; see [`depth`](Self::depth).
    #[must_use]
    pub fn len(&self) -> usize {
        self.depth().total()
    }

    /// Whether no message waits; see [`depth`](Self::depth).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses sends from now on. What waits can still be received.
    pub fn close(&self) {
        let mut receiving = self.take_turn();
        if receiving.closed {
            return;
        }
        receiving.closed = true;
        for (lane, local) in self.lanes.iter().zip(&mut receiving.local) {
            local.append(lane.inbox.close());
        }
        drop(receiving);
        self.wake_everybody();
    }

    /// Refuses sends from now on, and takes what waits: the most urgent first.
    #[must_use = "these messages were accepted; they must end somewhere"]
    pub fn close_and_drain(self: &Arc<Self>) -> Vec<AgentMessage> {
        self.close();
        std::iter::from_fn(|| self.try_recv()).collect()
    }

    /// Whether the mailbox refuses sends.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lanes.iter().all(|lane| lane.inbox.is_closed())
    }

    /// Letters made of deliveries that came back after the mailbox was closed; those of its whole
    /// bus, if it has one.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.home.dead_letters
    }

    /// For schedulers: which arrivals announce this mailbox from now on. Look at the mailbox after
    /// the call: what arrived before it may not be announced any more, and all of it is visible.
    pub fn announce(&self, which: Announce) {
        let change = |signal: u64| {
            let rest = signal & !(Signal::LEVEL | Signal::CLAIMED);
            Some((rest | which.level()).wrapping_add(Signal::EPOCH))
        };
        let changed = self.signal.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
        debug_assert!(changed.is_ok(), "the change is unconditional");
    }

    /// For schedulers: claims this mailbox for one worker, and lets no arrival announce it; false if
    /// another worker has it, who will look at it again before it lets go.
    #[must_use]
    pub fn claim(&self) -> bool {
        let claimed = Signal::CLAIMED | Announce::Nothing.level();
        self.signal.fetch_or(claimed, Ordering::AcqRel) & Signal::CLAIMED == 0
    }

    /// For schedulers: takes the most urgent message; if there is none, lets go of the mailbox. After
    /// `None`, every arrival announces it, and nothing that arrived before waits, unless another
    /// worker has claimed it meanwhile.
    pub fn checkout_or_rest(self: &Arc<Self>) -> Option<Delivery> {
        self.checkout_or_rest_after(|| ())
    }

    /// As [`checkout_or_rest`](Self::checkout_or_rest), but calls `before` before it lets go. What
    /// comes at that very moment is the answer all the same: the worker has claimed it again.
    pub fn checkout_or_rest_after(self: &Arc<Self>, before: impl FnOnce()) -> Option<Delivery> {
        let mut receiving = self.take_turn();
        let found = self.checkout(&mut receiving, MessagePriority::Low);
        if found.is_some() {
            return found;
        }
        before();
        self.announce(Announce::Every);
        // Looked at after the word was changed: see `Signal`.
        if !self.is_waiting(&receiving) || !self.claim() {
            return None;
        }
        self.checkout(&mut receiving, MessagePriority::Low)
    }

    /// For schedulers: a word of theirs, kept with the mailbox.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Acquire)
    }

    /// Sets the scheduler's word.
    pub fn set_slot(&self, slot: u64) {
        self.slot.store(slot, Ordering::Release);
    }

    /// For schedulers: announces this mailbox if something waits in it that would be announced.
    pub fn announce_if_waiting(self: &Arc<Self>) {
        if let Some(priority) = self.most_urgent() {
            self.signal_arrival(priority);
        }
    }

    /// Reserves a place in the lane; false if the lane is full.
    pub(crate) fn try_reserve(&self, priority: MessagePriority) -> bool {
        let one_more = |used| (used < self.capacity).then(|| used + 1);
        // Acquire: pairs with the Release in `free_place`. Relaxed would count as well, but then a
        // place could be taken before what its last holder did is visible.
        self.lane(priority).used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more).is_ok()
    }

    /// Puts a message into the place that was reserved for it.
    /// A caller that succeeds calls [`signal_arrival`](Self::signal_arrival) next.
    pub(crate) fn push_reserved(&self, message: AgentMessage) -> Result<(), AgentMessage> {
        let priority = message.priority();
        match self.lane(priority).inbox.push(Parcel::new(message)) {
            Ok(()) => {
                self.home.sent.bump();
                Ok(())
            }
            Err(parcel) => {
                self.free_place(priority);
                Err(parcel.message)
            }
        }
    }

    /// Gives a reserved or held place back, and tells one sender that waits for room.
    pub(crate) fn free_place(&self, priority: MessagePriority) {
        let lane = self.lane(priority);
        let before = lane.used.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a place was given back that nobody had");
        if let Some(room) = lane.room.get() {
            room.notify_one();
        }
    }

    /// The place of a delivery that was settled.
    pub(crate) fn settle(&self, priority: MessagePriority) {
        self.home.received.bump();
        self.lane(priority).held.fetch_sub(1, Ordering::Relaxed);
        self.free_place(priority);
    }

    /// Takes a delivery back to where it was. Into a closed mailbox it cannot go: its message
    /// becomes a dead letter.
    pub(crate) fn take_back(
        self: &Arc<Self>,
        message: AgentMessage,
        ticket: u64,
        attempts: Attempts,
    ) {
        let priority = message.priority();
        let mut receiving = self.take_turn();
        if receiving.closed {
            drop(receiving);
            self.settle(priority);
            let letter = DeadLetter::new(message, DeadLetterReason::Retired, Timestamp::now());
            self.home.give_up(self.agent, letter.with_attempts(attempts.as_slice().to_vec()));
            return;
        }
        let parcel = Parcel { message, ticket, attempts };
        let earlier = |other: &Parcel| other.ticket != 0 && other.ticket < ticket;
        receiving.local[priority.lane()].insert_after_while(parcel, earlier);
        self.lane(priority).held.fetch_sub(1, Ordering::Relaxed);
        drop(receiving);
        self.signal_arrival(priority);
    }

    /// Made before the first wait, so that whoever frees a place or closes afterwards sees it.
    pub(crate) fn room(&self, priority: MessagePriority) -> &Notify {
        let room = self.lane(priority).room.get_or_init(Box::default);
        // A read-modify-write of the word that `free_place` and `wake_everybody` change: either they
        // come after this and see `room`, or the free place (the closing) is visible to the
        // `try_reserve` (the `lane_is_closed`) that follows.
        self.lane(priority).used.fetch_add(0, Ordering::AcqRel);
        room
    }

    /// Whether sends of this priority are refused. Takes no turn: a sender waits for no receiver.
    pub(crate) fn lane_is_closed(&self, priority: MessagePriority) -> bool {
        self.lane(priority).inbox.is_closed()
    }

    /// Tells whoever looks after this mailbox that a message of this priority came.
    pub(crate) fn signal_arrival(self: &Arc<Self>, priority: MessagePriority) {
        let level = priority as u64 + 1;
        // A read-modify-write that changes nothing: see `Signal`.
        let signal = self.signal.fetch_add(0, Ordering::AcqRel);
        if signal & Signal::WAITER != 0
            && let Some(arrived) = self.arrived.get()
        {
            arrived.notify_one();
        }
        // Announced first, raised second: a sender that is stopped in between hides nothing,
        // because the next one finds the level still low and announces again. The raise fails
        // if the scheduler has moved on meanwhile (the epoch), or it would be raised for good.
        if signal & Signal::LEVEL < level {
            self.home.ready.announce(self, priority);
            pass(Point::AnnouncedNotRaised);
            let raised = signal & !Signal::LEVEL | level;
            let _ =
                self.signal.compare_exchange(signal, raised, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// The priority that this mailbox was announced with last, as far as that is known.
    pub(crate) fn announced_priority(&self) -> MessagePriority {
        match self.signal.load(Ordering::Relaxed) & Signal::LEVEL {
            0 | 1 => MessagePriority::Low,
            2 => MessagePriority::Normal,
            3 => MessagePriority::High,
            _ => MessagePriority::Critical,
        }
    }

    fn wake_everybody(&self) {
        if let Some(arrived) = self.arrived.get() {
            arrived.notify_waiters();
            // For one that has registered nothing yet.
            arrived.notify_one();
        }
        for lane in &self.lanes {
            lane.used.fetch_add(0, Ordering::AcqRel); // Pairs with the one in `room`.
            if let Some(room) = lane.room.get() {
                room.notify_waiters();
            }
        }
    }

    fn lane(&self, priority: MessagePriority) -> &Lane {
        &self.lanes[priority.lane()]
    }

    fn take_turn(&self) -> MutexGuard<'_, Receiving> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiving {
    fn pop(&mut self, priority: MessagePriority, inbox: &Stack<Parcel>) -> Option<Parcel> {
        let local = &mut self.local[priority.lane()];
        if local.is_empty() {
            *local = inbox.take();
        }
        let mut parcel = local.pop_front()?;
        if parcel.ticket == 0 {
            parcel.ticket = self.next_ticket;
            self.next_ticket += 1;
        }
        Some(parcel)
    }
}

#[cfg(test)]
mod tests;
