//! What agents do: the same code in every contender.

use std::sync::{Arc, OnceLock};

use orch_core::{AgentId, AgentMessage, Content};

use crate::done::Done;

/// Where messages of a contender go. Sending never waits: all mailboxes are unbounded.
pub(crate) trait Address: Clone + Send + Sync + 'static {
    fn send(&self, message: AgentMessage);
}

/// An agent as others know it.
#[derive(Clone, Debug)]
pub(crate) struct Peer<A> {
    pub(crate) id: AgentId,
    pub(crate) address: A,
}

impl<A: Address> Peer<A> {
    /// A fresh message from `from`, with shared content.
    pub(crate) fn send(&self, from: AgentId, content: &Content) {
        self.address.send(AgentMessage::new(from, self.id, content.clone()));
    }
}

/// Agents that are told who their peers are once all have been spawned.
pub(crate) type Circle<A> = Arc<OnceLock<Vec<Peer<A>>>>;

/// One agent's work and state.
#[derive(Debug)]
pub(crate) enum Role<A> {
    Count(Count),
    Forward(Box<Forward<A>>),
    Cast(Box<Cast<A>>),
}

impl<A: Address> Role<A> {
    /// Handles a message.
    pub(crate) fn handle(&mut self, message: &AgentMessage) {
        match self {
            Self::Count(count) => count.one(message),
            Self::Forward(forward) => {
                if let Some((next, content)) = forward.one(message) {
                    next.send(message.to(), content);
                }
            }
            Self::Cast(cast) => {
                for peer in cast.peers() {
                    peer.send(message.to(), &cast.content);
                }
            }
        }
    }
}

/// Counts messages, and arrives after each `every`.
#[derive(Debug)]
pub(crate) struct Count {
    every: u32,
    left: u32,
    done: Arc<Done>,
}

impl Count {
    pub(crate) fn new(every: u32, done: &Arc<Done>) -> Self {
        Self { every, left: every, done: done.clone() }
    }

    /// One like it, that has counted nothing.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.every, &self.done)
    }

    pub(crate) fn one(&mut self, message: &AgentMessage) {
        std::hint::black_box(message.id());
        self.left -= 1;
        if self.left == 0 {
            self.left = self.every;
            self.done.arrive();
        }
    }
}

/// Passes each message on to the next agent of a ring, until the last lap is over.
#[derive(Debug)]
pub(crate) struct Forward<A> {
    laps: Count,
    left: u32,
    ring: Circle<A>,
    at: usize,
    content: Content,
}

impl<A> Forward<A> {
    pub(crate) fn new(laps: u32, done: &Arc<Done>, ring: &Circle<A>, at: usize) -> Self {
        let (ring, content) = (ring.clone(), content());
        Self { laps: Count::new(laps, done), left: laps, ring, at, content }
    }

    /// Counts a message, and answers who gets the next one, and what it says.
    pub(crate) fn one(&mut self, message: &AgentMessage) -> Option<(&Peer<A>, &Content)> {
        self.laps.one(message);
        self.left -= 1;
        let ring = known(&self.ring);
        let next = match ring.get(self.at + 1) {
            None if self.left == 0 => return None,
            None => &ring[0],
            Some(next) => next,
        };
        Some((next, &self.content))
    }
}

/// Sends a message to each peer whenever it gets one.
#[derive(Debug)]
pub(crate) struct Cast<A> {
    peers: Circle<A>,
    content: Content,
}

impl<A> Cast<A> {
    pub(crate) fn new(peers: &Circle<A>) -> Self {
        Self { peers: peers.clone(), content: content() }
    }

    fn peers(&self) -> &[Peer<A>] {
        known(&self.peers)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }
}

fn known<A>(circle: &Circle<A>) -> &[Peer<A>] {
    circle.get().expect("peers are told before the first message")
}

/// 64 bytes, shared by all messages of a process.
pub(crate) fn content() -> Content {
    static CONTENT: OnceLock<Content> = OnceLock::new();
    CONTENT.get_or_init(|| Content::from("m".repeat(64))).clone()
}
