//! Whether a party can ever go on, and the ring if it cannot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Needs, Party, Ring, Wait, WaitGraph};

impl WaitGraph {
    /// The ring that keeps `who` from ever going on.
    pub(super) fn ring_of(&self, who: Party) -> Option<Ring> {
        match self.follow(who) {
            Followed::CanGoOn => None,
            Followed::Ring(ring) => Some(ring),
            Followed::Forks => {
                let stuck = self.stuck_from(who);
                stuck.contains(&who).then(|| self.ring_in(&stuck, who)).flatten()
            }
        }
    }

    /// The usual case: everybody waits for one other.
    fn follow(&self, who: Party) -> Followed {
        let mut ring = vec![who];
        let mut at = who;
        loop {
            match self.waits_of(at) {
                [] => return Followed::CanGoOn,
                [Wait { on, .. }] if let [next] = on[..] => at = next,
                _ => return Followed::Forks,
            }
            if at == who {
                return Followed::Ring(Ring::new(ring));
            }
            if ring.len() > self.waits.len() {
                // A ring that does not contain `who` was left standing.
                return Followed::Forks;
            }
            ring.push(at);
        }
    }

    fn waits_of(&self, who: Party) -> &[Wait] {
        self.waits.get(&who).map_or(&[], Vec::as_slice)
    }

    fn awaited_by(&self, who: Party) -> impl Iterator<Item = Party> {
        self.waits_of(who).iter().flat_map(|wait| wait.on.iter().copied())
    }

    /// Of all that `who` waits for, directly or not, those that can never go on.
    fn stuck_from(&self, who: Party) -> BTreeSet<Party> {
        let mut stuck = BTreeSet::new();
        let mut waiters = BTreeMap::<Party, Vec<Party>>::new();
        let (mut to_visit, mut can_go_on) = (vec![who], Vec::new());
        while let Some(party) = to_visit.pop() {
            if !stuck.insert(party) {
                continue;
            }
            if self.waits_of(party).is_empty() {
                can_go_on.push(party);
            }
            for next in self.awaited_by(party) {
                waiters.entry(next).or_default().push(party);
                to_visit.push(next);
            }
            // It may wait for nothing at all.
            if self.can_go_on(party, &|_| false) {
                can_go_on.push(party);
            }
        }
        // Whoever can go on lets those go on that wait for it, from one to the next.
        while let Some(party) = can_go_on.pop() {
            if !stuck.remove(&party) {
                continue;
            }
            for waiter in waiters.get(&party).into_iter().flatten() {
                if stuck.contains(waiter) && self.can_go_on(*waiter, &|it| !stuck.contains(&it)) {
                    can_go_on.push(*waiter);
                }
            }
        }
        stuck
    }

    /// Whether a party can, if those can of whom it is said.
    fn can_go_on(&self, who: Party, can: &dyn Fn(Party) -> bool) -> bool {
        let ends = |wait: &Wait| match wait.needs {
            Needs::All => wait.on.iter().all(|it| can(*it)),
            Needs::Any => wait.on.iter().any(|it| can(*it)),
        };
        let waits = self.waits_of(who);
        waits.is_empty() || waits.iter().any(ends)
    }

    /// The shortest ring of parties that are stuck, from `who` if it is in one.
    fn ring_in(&self, stuck: &BTreeSet<Party>, who: Party) -> Option<Ring> {
        let from_who = self.shortest(stuck, who);
        // Without one, `who` waits for a ring that was left standing, or for any of nothing.
        from_who.or_else(|| stuck.iter().find_map(|party| self.shortest(stuck, *party)))
    }

    /// The shortest way from a party back to itself.
    fn shortest(&self, stuck: &BTreeSet<Party>, from: Party) -> Option<Ring> {
        let mut before = BTreeMap::<Party, Party>::new();
        let mut to_visit = VecDeque::from([from]);
        while let Some(party) = to_visit.pop_front() {
            for next in self.awaited_by(party).filter(|next| stuck.contains(next)) {
                if next == from {
                    let back = std::iter::successors(Some(party), |it| before.get(it).copied());
                    let mut ring: Vec<Party> = back.collect();
                    ring.reverse();
                    return Some(Ring::new(ring));
                }
                before.entry(next).or_insert_with(|| {
                    to_visit.push_back(next);
                    party
                });
            }
        }
        None
    }
}

/// What comes of following single waits.
enum Followed {
    CanGoOn,
    Ring(Ring),
    Forks,
}
