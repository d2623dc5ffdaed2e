//! Lanes in one hand, and in several.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::sync::in_tests::{stop_at, touched_by};

fn all<T: Send>(lanes: &Lanes<T>, lane: usize) -> Vec<T> {
    let mut turn = lanes.take_turn();
    std::iter::from_fn(|| turn.take(lane)).map(Taken::into_value).collect()
}

fn push(lanes: &Lanes<u64>, values: impl IntoIterator<Item = u64>) {
    values.into_iter().for_each(|value| lanes.push(0, value).expect("it is open"));
}

#[test]
fn values_come_out_in_the_order_of_pushing_lane_by_lane() {
    let lanes = Lanes::new();
    for n in 1..=5 {
        (0..LANES).for_each(|lane| lanes.push(lane, n * 10 + lane).unwrap());
    }
    for lane in 0..LANES {
        assert_eq!(all(&lanes, lane), [1, 2, 3, 4, 5].map(|n| n * 10 + lane));
        assert!(lanes.take_turn().is_empty(lane));
    }
}

#[test]
fn a_lane_can_be_emptied_and_filled_again() {
    let lanes = Lanes::new();
    for n in 0..5 {
        push(&lanes, 0..n);
        assert_eq!(all(&lanes, 0), (0..n).collect::<Vec<_>>());
    }
}

#[test]
fn closed_lanes_give_the_value_back_and_keep_what_they_have() {
    let lanes = Lanes::new();
    push(&lanes, [1, 2]);
    lanes.take_turn().close();
    assert_eq!(lanes.push(0, 3), Err(3));
    assert_eq!(all(&lanes, 0), [1, 2]);
    assert_eq!(lanes.push(0, 3), Err(3));
    let mut turn = lanes.take_turn();
    turn.close();
    assert!(turn.is_closed() && turn.is_empty(0) && turn.take(0).is_none());
}

#[test]
fn what_is_put_back_comes_first_by_the_order_of_the_first_taking() {
    let lanes = Lanes::new();
    push(&lanes, 1..=4);
    lanes.push(1, 9).unwrap();
    let mut turn = lanes.take_turn();
    let [a, b, c] = [(); 3].map(|()| turn.take(0).unwrap());
    turn.put_back(0, b);
    turn.put_back(0, a);
    let a = turn.take(0).unwrap();
    turn.put_back(0, c);
    turn.put_back(0, a);
    assert!(turn.take(1).is_some_and(|it| *it == 9));
    drop(turn);
    assert_eq!(all(&lanes, 0), [1, 2, 3, 4]);
    assert!(all(&lanes, 1).is_empty());
}

#[test]
fn what_few_have_is_given_back() {
    let lanes = Lanes::new();
    push(&lanes, 1..=2);
    let mut turn = lanes.take_turn();
    let first = turn.take(0).unwrap();
    turn.put_back(0, first);
    assert!(turn.receiving.rare.is_some());
    (0..2).for_each(|_| drop(turn.take(0).unwrap()));
    assert!(turn.receiving.rare.is_none());
}

#[test]
fn a_million_values_are_dropped_without_recursion() {
    let lanes = Lanes::new();
    push(&lanes, 0..1_000_000);
    drop(lanes);
}

/// Before any value, before the second, and behind more: where a sender stands that has pushed, and not
/// linked. Whatever was received before and after, everything comes, once, in order, and is dropped.
#[test]
fn a_sender_that_stands_still_hides_nothing_and_leaks_nothing() {
    let is_dropped = Arc::new(());
    for (n_before, n_after, n_early) in
        (0..4).flat_map(|b| (0..4).flat_map(move |a| (0..4).map(move |e| (b, a, e))))
    {
        let lanes = Arc::new(Lanes::new());
        let value = |n: u64| (n, is_dropped.clone());
        let push = |n| lanes.push(0, value(n)).unwrap();
        let mut expected = 0..;
        let mut take = |n: u64| {
            let mut turn = lanes.take_turn();
            (0..n).for_each(|_| {
                assert_eq!(turn.take(0).map(|it| it.0), expected.next());
            });
        };
        (0..n_before).for_each(push);
        let (sender, late) = (lanes.clone(), value(n_before));
        let stopped = stop_at(Point::PushedNotLinked, move || sender.push(0, late).unwrap());
        let sent = n_before + 1 + n_after;
        let early = n_early.min(n_before + 1);
        take(early);
        (n_before + 1..sent).for_each(push);
        take(sent - early);
        assert!(lanes.take_turn().take(0).is_none());
        // The lane is used again while the sender stands there.
        (sent..sent + 3).for_each(push);
        take(2);
        stopped.go_on();
        (sent + 3..sent + 6).for_each(push);
        take(4);
        assert!(lanes.take_turn().receiving.rare.is_none(), "the shell was given back");
        push(sent + 6); // Stays there.
        drop(Arc::into_inner(lanes).expect("the sender is done"));
        assert_eq!(Arc::strong_count(&is_dropped), 1, "{n_before} {n_after} {n_early}");
    }
}

#[test]
fn shells_are_freed_with_their_lanes() {
    let lanes = Arc::new(Lanes::new());
    push(&lanes, [1]);
    let sender = lanes.clone();
    let stopped = stop_at(Point::PushedNotLinked, move || push(&sender, [2]));
    let mut turn = lanes.take_turn();
    assert_eq!(turn.take(0).map(Taken::into_value), Some(1));
    assert_eq!(turn.receiving.rare.as_ref().map(|rare| rare.shells.len()), Some(1));
    drop(turn);
    stopped.go_on();
    drop(Arc::into_inner(lanes).expect("the sender is done"));
}

#[test]
fn a_sender_that_stands_still_costs_one_walk() {
    let lanes = Arc::new(Lanes::new());
    push(&lanes, 0..10);
    let sender = lanes.clone();
    let stopped = stop_at(Point::PushedNotLinked, move || push(&sender, [10]));
    push(&lanes, 11..111);
    let touched: Vec<u64> = (0..111)
        .map(|n| {
            let (touched, taken) = touched_by(|| lanes.take_turn().take(0));
            assert_eq!(taken.map(Taken::into_value), Some(n));
            touched
        })
        .collect();
    // It walks from the newest to the one that was not linked, when it has come to the one before; from
    // then on it also looks after the shell.
    assert_eq!(touched[..9], [1; 9]);
    assert_eq!(touched[9], 1 + 101);
    assert!(touched[10..].iter().all(|n| *n <= 3), "{touched:?}");
    stopped.go_on();
}

/// The compare-exchange of a sender may succeed against an address that was freed and is now that of
/// another node: it pushes on that one.
#[test]
fn a_sender_pushes_on_the_node_that_has_the_address_now() {
    for _ in 0..100 {
        let lanes = Arc::new(Lanes::new());
        push(&lanes, [1]);
        let address = || lanes.lanes[0].head.load(Ordering::Relaxed).addr();
        let before = address();
        let sender = lanes.clone();
        let stopped = stop_at(Point::LookedNotPushed, move || push(&sender, [4]));
        assert_eq!(all(&lanes, 0), [1]);
        push(&lanes, [2]);
        let is_reused = address() == before;
        stopped.go_on();
        push(&lanes, [5]);
        assert_eq!(all(&lanes, 0), [2, 4, 5]);
        if is_reused {
            return;
        }
    }
    // An allocator that never gives an address again has no such danger.
}

/// Four senders and a receiver that puts some back and closes in the end. One receiver: its lock is never
/// contended, so that ThreadSanitizer, which cannot see into the lock, sees nothing but our own steps.
#[test]
fn nothing_is_lost_or_reordered_between_threads() {
    let rounds = if cfg!(debug_assertions) { 1 } else { 20 };
    (0..rounds).for_each(|_| threads_at_lanes());
}

fn threads_at_lanes() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 20_000;
    let lanes = Lanes::new();
    let (accepted, received) = thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let lanes = &lanes;
                let send = move |n: &u64| lanes.push((n % 4) as usize, sender * EACH + n).is_ok();
                scope.spawn(move || (0..EACH).take_while(send).count() as u64)
            })
            .collect();
        let mut last = [[None; LANES]; SENDERS as usize];
        let mut received = [0; SENDERS as usize];
        let mut receive = |lane: usize| {
            let taken = lanes.take_turn().take(lane)?;
            // Some go back, and come again at once.
            let taken = if *taken % 5 == 0 {
                let (number, mut turn) = (*taken, lanes.take_turn());
                turn.put_back(lane, taken);
                turn.take(lane).filter(|it| **it == number).expect("it comes first again")
            } else {
                taken
            };
            let value = taken.into_value();
            let sender = (value / EACH) as usize;
            let last = &mut last[sender][lane];
            assert!(*last < Some(value), "sender {sender} was reordered");
            *last = Some(value);
            received[sender] += 1;
            Some(())
        };
        let until_closed = SENDERS * EACH * 3 / 4;
        (0..).take_while(|n| *n < until_closed).for_each(|n| {
            let _ = receive((n % LANES as u64) as usize);
        });
        lanes.take_turn().close();
        (0..LANES).for_each(|lane| while receive(lane).is_some() {});
        let accepted = senders.into_iter().map(|it| it.join().expect("it only sends"));
        (accepted.collect::<Vec<_>>(), received)
    });
    assert_eq!(accepted, received);
}
