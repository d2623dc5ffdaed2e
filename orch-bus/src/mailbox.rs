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
//!
//! How a lane works (`lane.rs`), in short:
//!
//! ```text
//! receiver ◀── first: oldest ⇄ … ⇄ newest :head ◀── senders
//! ```
//!
//! A sender puts its node at `head` with one compare-exchange; from then on the message is there, since
//! each node knows the next older one. Then it tells the older node, so that the receiver finds its
//! way from the oldest to the newest in one step each. A sender that the system stops in between makes
//! the receiver walk over what was sent since, once; it hides nothing, and nobody waits for it. The
//! turn of the receivers is a lock that no sender touches.

use std::borrow::Borrow;
use std::sync::Arc;

use orch_core::{
    AgentId, AgentMessage, AttemptError, DeadLetter, DeadLetterReason, MessagePriority,
    PriorityDepth, Timestamp,
};

use crate::dead_letters::DeadLetters;
use crate::delivery::{Delivery, Parcel};
use crate::home::Home;
use crate::lane::{LANES, Lanes, Taken, Turn};
use crate::places::Places;
use crate::sync::{AtomicU64, Notify, OnceBox, Ordering, Point, meet, pass};
use crate::waiting::Waiting;

/// One agent's inbox. Cheap while idle: less than 200 bytes and no task.
#[derive(Debug)]
pub struct Mailbox {
    agent: AgentId,
    /// By [`MessagePriority::lane`]. Receivers take turns here; senders never wait.
    lanes: Lanes<Parcel>,
    /// See the functions on [`Signal`].
    signal: AtomicU64,
    /// The scheduler's; see [`slot`](Self::slot).
    slot: AtomicU64,
    waiting: OnceBox<Waiting>,
    capacity: u32,
    pub(crate) home: Arc<Home>,
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
/// Here the two sides meet. A sender pushes, and then looks at this word; the receiving side changes this
/// word, and then looks at the lanes. All four steps are `SeqCst`, so there is one order of them: either
/// the push comes before the look at the lanes, and its message is seen; or the change comes before the
/// look at the word, and the sender sees the level (or the waiter) and acts on it. A read-modify-write
/// of this word by each sender would do as well, and take the cache line from all others each time.
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
            lanes: Lanes::new(),
            signal: AtomicU64::new(0),
            slot: AtomicU64::new(0),
            waiting: OnceBox::new(),
            capacity: capacity.max(1),
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
        let parcel = take(&mut self.lanes.take_turn(), MessagePriority::Low)?;
        self.home.received.bump();
        self.free_place(parcel.message.priority());
        Some(parcel.into_value().message)
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
        let arrived = self.waiting().arrived();
        // From now on every sender looks at `waiting`. Pairs with `signal_arrival`.
        self.signal.fetch_or(Signal::WAITER, Ordering::SeqCst);
        meet();
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
        let parcel = take(&mut self.lanes.take_turn(), least)?;
        Some(self.hold(self.clone(), parcel))
    }

    /// For schedulers: takes the most urgent message to handle it; if there is none, rests: after
    /// `None`, every arrival [is announced](Announce::Every), and nothing waits that arrived before,
    /// unless another worker has claimed the mailbox meanwhile. For a mailbox that was
    /// [claimed](Self::claim); it stays so unless it rests.
    pub fn checkout_or_rest(self: &Arc<Self>) -> Option<Delivery<&Arc<Self>>> {
        self.checkout_or_rest_after(|| ())
    }

    /// As [`checkout_or_rest`](Self::checkout_or_rest), but calls `before` before it lets go. What
    /// comes at that very moment is the answer all the same: the worker has claimed it again.
    pub fn checkout_or_rest_after(
        self: &Arc<Self>,
        before: impl FnOnce(),
    ) -> Option<Delivery<&Arc<Self>>> {
        // Both looks are made without the turn if they find nothing, as most do.
        if !self.lanes.look_empty()
            && let Some(parcel) = take(&mut self.lanes.take_turn(), MessagePriority::Low)
        {
            return Some(self.hold(self, parcel));
        }
        before();
        pass(Point::FoundNothingNotResting);
        // Announce before looking, or what arrives in between is slept through: see `Signal`.
        self.announce(Announce::Every);
        if self.lanes.look_empty() {
            return None;
        }
        let mut turn = self.lanes.take_turn();
        if self.most_urgent_of(&turn).is_none() || !self.claim() {
            return None;
        }
        take(&mut turn, MessagePriority::Low).map(|parcel| self.hold(self, parcel))
    }

    /// The most urgent priority that a message waits with.
    ///
    /// # Ordering
    ///
    /// Sees every message whose send had returned before this call began.
    #[must_use]
    pub fn most_urgent(&self) -> Option<MessagePriority> {
        self.most_urgent_of(&self.lanes.take_turn())
    }

    fn most_urgent_of(&self, turn: &Turn<'_, Parcel>) -> Option<MessagePriority> {
        MessagePriority::MOST_URGENT_FIRST.into_iter().find(|it| !turn.is_empty(it.lane()))
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
        self.places(priority).waiting()
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
        let mut turn = self.lanes.take_turn();
        if turn.is_closed() {
            return;
        }
        turn.close();
        drop(turn);
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
        (0..LANES).all(|lane| self.lanes.is_closed(lane))
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
        // Acquire: what arrived before is visible. Release: whoever is told of an arrival after this sees
        // what the scheduler did before.
        let changed = self.signal.fetch_update(Ordering::SeqCst, Ordering::Relaxed, change);
        debug_assert!(changed.is_ok(), "the change is unconditional");
        meet();
    }

    /// For schedulers: leaves this mailbox as the next scheduler expects it: each arrival announces it, and
    /// what waits is announced now. Not if a worker has [claimed](Self::claim) it, who looks at it again
    /// before it lets go.
    pub fn leave(self: &Arc<Self>) {
        let change = |signal: u64| {
            let rest = signal & !Signal::LEVEL;
            (signal & Signal::CLAIMED == 0).then(|| rest.wrapping_add(Signal::EPOCH))
        };
        if self.signal.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok() {
            meet();
            self.announce_if_waiting();
        }
    }

    /// For schedulers: claims this mailbox for one worker, and lets no arrival announce it; false if
    /// another worker has it, who will look at it again before it lets go.
    #[must_use]
    pub fn claim(&self) -> bool {
        let claimed = Signal::CLAIMED | Announce::Nothing.level();
        self.signal.fetch_or(claimed, Ordering::SeqCst) & Signal::CLAIMED == 0
    }

    /// For schedulers: what [`set_slot`](Self::set_slot) has set, 0 before. It orders nothing.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// For schedulers: keeps a number with this mailbox, for [`slot`](Self::slot).
    pub fn set_slot(&self, slot: u64) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    /// For schedulers: announces this mailbox if something waits in it that would be announced.
    pub fn announce_if_waiting(self: &Arc<Self>) {
        if let Some(priority) = self.most_urgent() {
            self.signal_arrival(priority);
        }
    }

    /// Reserves a place in the lane; false if the lane is full.
    pub(crate) fn try_reserve(&self, priority: MessagePriority) -> bool {
        self.places(priority).try_reserve(self.capacity)
    }

    /// Puts a message into the place that was reserved for it.
    /// A caller that succeeds calls [`signal_arrival`](Self::signal_arrival) next.
    #[inline(always)]
    pub(crate) fn push_reserved(&self, message: AgentMessage) -> Result<(), AgentMessage> {
        self.push_parcel(Parcel::new(message))
    }

    #[inline(always)] // See `put_in`.
    fn push_parcel(&self, parcel: Parcel) -> Result<(), AgentMessage> {
        let priority = parcel.message.priority();
        match self.lanes.push(priority.lane(), parcel) {
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

    /// For whoever recovers a mailbox: puts a message into its lane that was accepted by an earlier
    /// process, with the attempts that failed. Asks no admission and no limit, since it was accepted;
    /// call it in the order in which the lane was, before anybody sends.
    ///
    /// # Errors
    ///
    /// The message, if the mailbox is closed.
    pub fn restore(
        self: &Arc<Self>,
        message: AgentMessage,
        attempts: Vec<AttemptError>,
    ) -> Result<(), Box<AgentMessage>> {
        let priority = message.priority();
        let has_place = self.places(priority).try_reserve(u32::MAX);
        debug_assert!(has_place, "without a limit there is a place");
        self.push_parcel(Parcel::new(message).with_attempts(attempts)).map_err(Box::new)?;
        self.signal_arrival(priority);
        Ok(())
    }

    /// Gives a place back that nothing was checked out of, and tells one sender that waits for room.
    pub(crate) fn free_place(&self, priority: MessagePriority) {
        self.places(priority).free();
        self.tell_of_room(priority);
    }

    /// Gives the place of a delivery back that was settled.
    pub(crate) fn settle(&self, priority: MessagePriority) {
        self.home.received.bump();
        self.places(priority).settle();
        self.tell_of_room(priority);
    }

    fn tell_of_room(&self, priority: MessagePriority) {
        if let Some(waiting) = self.waiting.get() {
            waiting.wake_for_room(priority.lane());
        }
    }

    /// Takes a delivery back to where it was. Into a closed mailbox it cannot go: its message
    /// becomes a dead letter.
    pub(crate) fn take_back(self: &Arc<Self>, parcel: Taken<Parcel>) {
        let priority = parcel.message.priority();
        let mut turn = self.lanes.take_turn();
        if turn.is_closed() {
            drop(turn);
            self.settle(priority);
            let Parcel { message, attempts } = parcel.into_value();
            let letter = DeadLetter::new(message, DeadLetterReason::Retired, Timestamp::now());
            self.home.give_up(self.agent, letter.with_attempts(attempts.as_slice().to_vec()));
            return;
        }
        turn.put_back(priority.lane(), parcel);
        self.places(priority).put_back();
        drop(turn);
        self.signal_arrival(priority);
    }

    /// Made before the first wait, so that whoever frees a place or closes afterwards sees it.
    pub(crate) fn room(&self, priority: MessagePriority) -> &Notify {
        let room = self.waiting().room(priority.lane());
        // Either who frees a place or closes comes after this and sees `room`, or the free place (the
        // closing) is visible to the `try_reserve` (the `lane_is_closed`) that follows.
        self.places(priority).meet();
        room
    }

    /// Whether sends of this priority are refused. Takes no turn: a sender waits for no receiver.
    pub(crate) fn lane_is_closed(&self, priority: MessagePriority) -> bool {
        self.lanes.is_closed(priority.lane())
    }

    /// Tells whoever looks after this mailbox that a message of this priority came.
    pub(crate) fn signal_arrival(self: &Arc<Self>, priority: MessagePriority) {
        let level = priority as u64 + 1;
        meet();
        let signal = self.signal.load(Ordering::SeqCst);
        if signal & Signal::WAITER != 0
            && let Some(waiting) = self.waiting.get()
        {
            waiting.wake_for_message();
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
        // Pairs with the one in `room`.
        (0..LANES).for_each(|lane| self.lanes.places(lane).meet());
        if let Some(waiting) = self.waiting.get() {
            waiting.wake_everybody();
        }
    }

    fn hold<M: Borrow<Arc<Self>>>(&self, mailbox: M, parcel: Taken<Parcel>) -> Delivery<M> {
        self.places(parcel.message.priority()).hold();
        Delivery::new(mailbox, parcel)
    }

    pub(crate) fn places(&self, priority: MessagePriority) -> &Places {
        self.lanes.places(priority.lane())
    }

    fn waiting(&self) -> &Waiting {
        self.waiting.get_or_init(Waiting::new)
    }
}

/// The most urgent one that is at least so urgent.
fn take(turn: &mut Turn<'_, Parcel>, least: MessagePriority) -> Option<Taken<Parcel>> {
    let urgent = MessagePriority::MOST_URGENT_FIRST.into_iter().take_while(|it| *it >= least);
    urgent.map(MessagePriority::lane).find_map(|lane| turn.take(lane))
}

#[cfg(all(test, not(any(orch_loom, orch_shuttle))))]
mod tests;
