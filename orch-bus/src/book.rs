//! The addresses that a worker has written to last, so that most of what handlers send by id skips the
//! directory: its locks, and the count of those who know a mailbox, are each a step on a cache line that
//! all workers share.

use std::sync::Arc;

use orch_core::AgentId;

use crate::home::Home;
use crate::mailbox::Mailbox;

const LINES: usize = 64;

/// Each agent has one line where it may stand; who comes later displaces who is there. So at most
/// `LINES` mailboxes outlive their removal, until the worker goes home.
#[derive(Debug)]
pub(crate) struct Book([Option<Arc<Mailbox>>; LINES]);

impl Default for Book {
    fn default() -> Self {
        Self([const { None }; LINES])
    }
}

impl Book {
    /// Takes the address of an agent out, if it stands here. It is to be [noted](Self::note) again: so
    /// nobody holds the book while a message is sent, which may call code that is not ours.
    pub(crate) fn take(&mut self, home: &Arc<Home>, agent: AgentId) -> Option<Arc<Mailbox>> {
        let is_it = |mailbox: &mut Arc<Mailbox>| {
            mailbox.agent() == agent && Arc::ptr_eq(&mailbox.home, home)
        };
        self.0[line_of(agent)].take_if(is_it)
    }

    /// Answers whom it displaces.
    pub(crate) fn note(&mut self, mailbox: Arc<Mailbox>) -> Option<Arc<Mailbox>> {
        self.0[line_of(mailbox.agent())].replace(mailbox)
    }
}

fn line_of(agent: AgentId) -> usize {
    let id = agent.as_uuid().as_u128();
    let mixed = (id as u64 ^ (id >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - LINES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_under_its_agent_and_its_bus_alone() {
        let (mut book, agent) = (Book::default(), AgentId::new());
        let mailbox = Mailbox::new(agent);
        assert!(book.note(mailbox.clone()).is_none());
        assert!(book.take(&mailbox.home, AgentId::new()).is_none());
        assert!(book.take(&Arc::default(), agent).is_none());
        assert!(book.take(&mailbox.home, agent).is_some_and(|it| Arc::ptr_eq(&it, &mailbox)));
        assert!(book.take(&mailbox.home, agent).is_none());
    }

    #[test]
    fn agents_are_spread_over_the_lines() {
        let mut lines: Vec<usize> = (0..10 * LINES).map(|_| line_of(AgentId::new())).collect();
        lines.sort_unstable();
        lines.dedup();
        assert!(lines.len() > LINES / 2);
    }
}
