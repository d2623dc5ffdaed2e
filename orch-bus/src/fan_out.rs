//! One message to many: broadcast and topics.

use std::sync::Arc;

use futures_util::future::join_all;
use orch_core::{AgentId, AgentMessage, DeadLetter, DeadLetterReason, Timestamp, mint};

use crate::bus::MessageBus;
use crate::error::SendError;
use crate::mailbox::Mailbox;
use crate::reserved::Reserved;

/// The copies of one message, before any of them is sent.
#[derive(Debug, Default)]
#[must_use = "dropping it gives the places back, and nothing is sent"]
pub struct Copies {
    /// Those that have a place.
    pub reserved: Vec<Reserved>,
    /// Those that were refused.
    pub refused: Vec<SendError>,
}

impl MessageBus {
    /// Sends a copy to every mailbox but the sender's; returns how many accepted it. The copies
    /// have ids of their own and share the content. Full mailboxes are waited for together, 30 s in
    /// all; refused copies become dead letters.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the copies that were accepted, and makes dead letters of none:
    /// the caller still has the message and knows nothing of who got it.
    pub async fn broadcast(&self, message: AgentMessage) -> usize {
        let mailboxes = self.mailboxes_but(message.from());
        self.fan_out(&message, mailboxes).await
    }

    /// Subscribes an agent to a topic. It is unsubscribed when its mailbox is removed.
    pub fn subscribe(&self, agent: AgentId, topic: &str) {
        let mut subscribers = self.topics().entry(topic.to_owned()).or_default();
        if !subscribers.contains(&agent) {
            subscribers.push(agent);
        }
    }

    /// Takes an agent off a topic; false if it was not on it.
    pub fn unsubscribe(&self, agent: AgentId, topic: &str) -> bool {
        let Some(mut subscribers) = self.topics().get_mut(topic) else { return false };
        let before = subscribers.len();
        subscribers.retain(|known| *known != agent);
        let was_on_it = subscribers.len() < before;
        drop(subscribers);
        self.topics().remove_if(topic, |_, subscribers| subscribers.is_empty());
        was_on_it
    }

    /// The agents on a topic, in the order in which they subscribed.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> Vec<AgentId> {
        self.topics().get(topic).map(|subscribers| subscribers.clone()).unwrap_or_default()
    }

    /// Sends a copy to every subscriber of a topic but the sender; otherwise as
    /// [`broadcast`](Self::broadcast).
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn publish(&self, topic: &str, message: AgentMessage) -> usize {
        let mailboxes = self.mailboxes_on(topic, message.from());
        self.fan_out(&message, mailboxes).await
    }

    /// As [`broadcast`](Self::broadcast), but sends nothing yet: for whoever accepts all copies in one
    /// commit. None of them asks the bus's own [`Admission::commit`](crate::Admission::commit).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready reserves nothing.
    pub async fn reserve_broadcast(&self, message: &AgentMessage) -> Copies {
        reserve_copies(message, self.mailboxes_but(message.from())).await
    }

    /// As [`publish`](Self::publish), but sends nothing yet; see
    /// [`reserve_broadcast`](Self::reserve_broadcast).
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn reserve_publish(&self, topic: &str, message: &AgentMessage) -> Copies {
        reserve_copies(message, self.mailboxes_on(topic, message.from())).await
    }

    fn mailboxes_on(&self, topic: &str, but: AgentId) -> Vec<Arc<Mailbox>> {
        let others = self.subscribers(topic).into_iter().filter(|agent| *agent != but);
        others.filter_map(|agent| self.mailbox(agent)).collect()
    }

    pub(crate) fn unsubscribe_from_all(&self, agent: AgentId) {
        let topics: Vec<String> = self.topics().iter().map(|topic| topic.key().clone()).collect();
        for topic in topics {
            self.unsubscribe(agent, &topic);
        }
    }

    async fn fan_out(&self, message: &AgentMessage, mailboxes: Vec<Arc<Mailbox>>) -> usize {
        let (mut accepted, full) = self.try_each(message, mailboxes);
        let waiting =
            full.into_iter().map(|(mailbox, copy)| async move { mailbox.enter(copy).await });
        for sent in join_all(waiting).await {
            match sent {
                Ok(_) => accepted += 1,
                Err(error) => self.keep_refused(error),
            }
        }
        accepted
    }

    /// Sends what can be sent at once; answers how many accepted it, and what has to wait for room.
    fn try_each(
        &self,
        message: &AgentMessage,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> (usize, Vec<(Arc<Mailbox>, AgentMessage)>) {
        // One reading of the clock for all copies.
        let _held = mint::hold(Timestamp::now());
        let (mut accepted, mut full) = (0, Vec::new());
        for mailbox in mailboxes {
            // Checked once: the admission does not count a copy twice that has to wait.
            let copy = message.copy_to(mailbox.agent());
            let entered = match mailbox.check(&copy) {
                Ok(()) => mailbox.try_enter(copy),
                Err(reject) => Err(reject.of(copy)),
            };
            match entered {
                Ok(_) => accepted += 1,
                Err(error) if error.is_transient() => full.push((mailbox, error.into_message())),
                Err(error) => self.keep_refused(error),
            }
        }
        (accepted, full)
    }

    /// Keeps a message that was refused while its sender was not there to hear so.
    pub fn keep_refused(&self, error: SendError) {
        let reason = DeadLetterReason::Refused { error: error.to_string() };
        let message = error.into_message();
        let letter = DeadLetter::new(message, reason, Timestamp::now());
        self.home().give_up(letter.message.to(), letter);
    }
}

/// A place for a copy in each of these mailboxes; the full ones are waited for together.
async fn reserve_copies(message: &AgentMessage, mailboxes: Vec<Arc<Mailbox>>) -> Copies {
    let mut copies = Copies::default();
    let mut checked = Vec::new();
    {
        // One reading of the clock for all copies.
        let _held = mint::hold(Timestamp::now());
        for mailbox in mailboxes {
            let copy = message.copy_to(mailbox.agent());
            // Checked once, as above.
            match mailbox.check(&copy) {
                Ok(()) => checked.push((mailbox, copy)),
                Err(reject) => copies.refused.push(reject.of(copy)),
            }
        }
    }
    // What has room is reserved by the first poll.
    let reserving = checked
        .into_iter()
        .map(|(mailbox, copy)| async move { mailbox.reserve_checked(copy).await });
    for reserved in join_all(reserving).await {
        match reserved {
            Ok(reserved) => copies.reserved.push(reserved),
            Err(error) => copies.refused.push(error),
        }
    }
    copies
}
