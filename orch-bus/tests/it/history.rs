//! What threads did to a mailbox, and whether it kept the promise of order:
//!
//! > When a receive returns a message, no message of a higher priority whose send had returned
//! > before that receive began is still waiting. Within a lane, if one send returned before another
//! > began, it is received first. Nothing is promised between sends that overlap.
//!
//! Each operation carries a stamp of its start and one of its end, from one counter, so `a` returned
//! before `b` began exactly if `a.end < b.start`.

use std::collections::HashMap;

use orch_core::MessagePriority;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// From when to when an operation ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Sends that were accepted; each number once.
    pub(crate) sent: Vec<(u64, MessagePriority, Span)>,
    /// Receives that returned a message.
    pub(crate) received: Vec<(u64, Span)>,
    /// What was still there after all that.
    pub(crate) left: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Lost(u64),
    /// Received or left, but never sent, or a second time.
    Invented(u64),
    /// A receive returned this message, and one of a higher priority still waited.
    LessUrgentFirst(u64),
    /// It was received, and one of its lane that had been sent before it was not yet.
    OvertookInItsLane(u64),
}

/// A message that was sent, with its whole life.
#[derive(Clone, Copy, Debug)]
struct Life {
    number: u64,
    priority: MessagePriority,
    sent: Span,
    /// At the end of time if it was left.
    received: Span,
}

const NEVER: Span = Span { start: u64::MAX, end: u64::MAX };

impl History {
    /// Checks the whole promise in O(n log n).
    pub(crate) fn check(&self) -> Result<(), Violation> {
        let lives = self.lives()?;
        // All lives that a message competes with lie in few lists: its lane, and the ones above.
        let lanes = MessagePriority::MOST_URGENT_FIRST
            .map(|priority| LatestReceive::new(lives.iter().filter(|it| it.priority == priority)));
        for life in lives.iter().filter(|life| life.received != NEVER) {
            // MOST_URGENT_FIRST counts down from Critical, which is lane 3.
            let own = 3 - life.priority.lane();
            let waits_still = |lane: &LatestReceive, sent_before: u64| {
                lane.of_those_sent_before(sent_before).is_some_and(|it| life.received.end < it)
            };
            if lanes[..own].iter().any(|lane| waits_still(lane, life.received.start)) {
                return Err(Violation::LessUrgentFirst(life.number));
            }
            if waits_still(&lanes[own], life.sent.start) {
                return Err(Violation::OvertookInItsLane(life.number));
            }
        }
        Ok(())
    }

    /// Pairs sends with receives; fails unless they pair up exactly.
    fn lives(&self) -> Result<Vec<Life>, Violation> {
        let mut ends: HashMap<u64, Span> = HashMap::with_capacity(self.sent.len());
        let left = self.left.iter().map(|number| (*number, NEVER));
        for (number, received) in self.received.iter().copied().chain(left) {
            if ends.insert(number, received).is_some() {
                return Err(Violation::Invented(number));
            }
        }
        let live = |&(number, priority, sent): &(u64, MessagePriority, Span)| {
            let received = ends.remove(&number).ok_or(Violation::Lost(number))?;
            Ok(Life { number, priority, sent, received })
        };
        let lives: Vec<Life> = self.sent.iter().map(live).collect::<Result<_, _>>()?;
        match ends.keys().next() {
            Some(number) => Err(Violation::Invented(*number)),
            None => Ok(lives),
        }
    }
}

/// The messages of one lane by the end of their sends, each with the latest start of a receive of
/// itself and all before it.
struct LatestReceive(Vec<(u64, u64)>);

impl LatestReceive {
    fn new<'a>(lives: impl Iterator<Item = &'a Life>) -> Self {
        let mut by_end: Vec<_> = lives.map(|life| (life.sent.end, life.received.start)).collect();
        by_end.sort_unstable();
        let mut latest = 0;
        for (_, received) in &mut by_end {
            latest = latest.max(*received);
            *received = latest;
        }
        Self(by_end)
    }

    /// The latest start of a receive of the messages whose sends ended before `time`.
    fn of_those_sent_before(&self, time: u64) -> Option<u64> {
        let n = self.0.partition_point(|(end, _)| *end < time);
        Some(self.0[n.checked_sub(1)?].1)
    }
}

/// The promise word by word, in O(n²).
fn breaks_the_promise(lives: &[Life]) -> bool {
    let received = || lives.iter().filter(|life| life.received != NEVER);
    let still_waits = |other: &Life, life: &Life| life.received.end < other.received.start;
    let less_urgent_first = received().any(|life| {
        lives.iter().any(|other| {
            life.priority < other.priority
                && other.sent.end < life.received.start
                && still_waits(other, life)
        })
    });
    let overtook = received().any(|life| {
        lives.iter().any(|other| {
            life.priority == other.priority
                && other.sent.end < life.sent.start
                && still_waits(other, life)
        })
    });
    less_urgent_first || overtook
}

/// A few operations at random times. Nobody need have been able to do them.
fn histories() -> impl Strategy<Value = History> {
    let span = || (0..40_u64, 1..12_u64).prop_map(|(start, n)| Span { start, end: start + n });
    let priority = select(MessagePriority::MOST_URGENT_FIRST.to_vec());
    let life = (priority, span(), proptest::option::weighted(0.9, span()));
    vec(life, 0..7).prop_map(|lives| {
        let mut history = History::default();
        for (number, (priority, sent, received)) in (0..).zip(lives) {
            history.sent.push((number, priority, sent));
            match received {
                // Nothing is received before it is sent.
                Some(it) => history
                    .received
                    .push((number, Span { start: it.start + sent.start, end: it.end + sent.end })),
                None => history.left.push(number),
            }
        }
        history
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_fast_check_says_what_the_promise_says(history in histories()) {
        let lives = history.lives().expect("they pair up");
        prop_assert_eq!(history.check().is_err(), breaks_the_promise(&lives));
    }
}

mod cases {
    use super::*;
    use MessagePriority::{High, Low};

    fn at(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    fn check(
        sent: &[(u64, MessagePriority, Span)],
        received: &[(u64, Span)],
    ) -> Result<(), Violation> {
        History { sent: sent.to_vec(), received: received.to_vec(), left: Vec::new() }.check()
    }

    #[test]
    fn sends_that_overlap_may_be_received_in_any_order() {
        let sent = [(1, Low, at(0, 5)), (2, Low, at(1, 2))];
        assert_eq!(check(&sent, &[(2, at(6, 7)), (1, at(8, 9))]), Ok(()));
        assert_eq!(check(&sent, &[(1, at(6, 7)), (2, at(8, 9))]), Ok(()));
    }

    #[test]
    fn an_urgent_send_that_returned_during_a_receive_need_not_be_seen_by_it() {
        let sent = [(1, Low, at(0, 1)), (2, High, at(2, 4))];
        assert_eq!(check(&sent, &[(1, at(3, 5)), (2, at(6, 7))]), Ok(()));
        let late = check(&sent, &[(1, at(5, 6)), (2, at(7, 8))]);
        assert_eq!(late, Err(Violation::LessUrgentFirst(1)));
    }

    #[test]
    fn a_message_that_another_receive_has_in_hand_does_not_wait() {
        let sent = [(1, Low, at(0, 1)), (2, Low, at(2, 3))];
        assert_eq!(check(&sent, &[(2, at(4, 7)), (1, at(5, 6))]), Ok(()));
        assert_eq!(
            check(&sent, &[(2, at(4, 5)), (1, at(6, 7))]),
            Err(Violation::OvertookInItsLane(2))
        );
    }

    #[test]
    fn a_message_that_was_left_still_waited() {
        let sent = vec![(1, Low, at(0, 1)), (2, High, at(2, 3))];
        let history = History { sent, received: vec![(1, at(4, 5))], left: vec![2] };
        assert_eq!(history.check(), Err(Violation::LessUrgentFirst(1)));
    }

    #[test]
    fn nothing_is_lost_and_nothing_comes_twice() {
        let sent = [(1, Low, at(0, 1))];
        assert_eq!(check(&sent, &[]), Err(Violation::Lost(1)));
        assert_eq!(check(&sent, &[(1, at(2, 3)), (1, at(4, 5))]), Err(Violation::Invented(1)));
        assert_eq!(check(&sent, &[(1, at(2, 3)), (7, at(4, 5))]), Err(Violation::Invented(7)));
    }
}
