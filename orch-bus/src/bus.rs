//! The bus: finds the mailbox of an agent.

use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use orch_core::{AgentId, AgentMessage, EventHub, IdState, MessageId, PriorityDepth};

use crate::admission::{Admission, Commit, CommitFuture};
use crate::ask::{QuestionFailure, Questions};
use crate::dead_letters::{DeadLetters, ResendError};
use crate::error::SendError;
use crate::home::{BusLimits, Home};
use crate::mailbox::Mailbox;
use crate::ready::{Attachment, note_address, take_address};
use crate::reserved::Reserved;

/// Routes messages to mailboxes by agent id.
///
/// ```
/// use orch_bus::MessageBus;
/// use orch_core::{AgentId, AgentMessage, MessagePriority};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (bus, me, you) = (MessageBus::new(), AgentId::new(), AgentId::new());
/// bus.create_mailbox(you).await;
///
/// bus.send(AgentMessage::new(me, you, "when you have time")).await?;
/// bus.send(AgentMessage::new(me, you, "now").with_priority(MessagePriority::Critical)).await?;
///
/// let mailbox = bus.mailbox(you).expect("created above");
/// assert_eq!(mailbox.recv().await.unwrap().content(), "now");
/// # Ok(())
/// # }
/// ```
pub struct MessageBus {
    /// Sharded locks, held for a look-up. No guard leaves the files of this crate or is held
    /// across an await.
    mailboxes: DashMap<AgentId, Arc<Mailbox>, IdState>,
    topics: DashMap<String, Vec<AgentId>>,
    questions: Questions,
    home: Arc<Home>,
}

impl MessageBus {
    /// A bus with the default limits and no mailboxes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(BusLimits::default())
    }

    /// A bus with these limits and no mailboxes.
    #[must_use]
    pub fn with_limits(limits: BusLimits) -> Self {
        Self {
            mailboxes: DashMap::default(),
            topics: DashMap::new(),
            questions: Questions::default(),
            home: Arc::new(Home { limits, ..Home::default() }),
        }
    }

    /// The bounds of this bus.
    #[must_use]
    pub fn limits(&self) -> &BusLimits {
        &self.home.limits
    }

    /// Sets who decides about acceptance. Once for each bus, before the first send.
    ///
    /// # Errors
    ///
    /// Gives `admission` back if there is one already.
    pub fn set_admission(&self, admission: Arc<dyn Admission>) -> Result<(), Arc<dyn Admission>> {
        self.home.admission.set(admission)
    }

    /// Creates the mailbox of an agent. If there is one, it stays as it is.
    ///
    /// Nothing is waited for; the function is async because a durable bus may.
    #[expect(clippy::unused_async, reason = "the signature is a contract")]
    pub async fn create_mailbox(&self, agent: AgentId) {
        let _ = self.open_mailbox(agent);
    }

    /// As [`create_mailbox`](Self::create_mailbox), with the bus's lane capacity, and answers the
    /// mailbox.
    pub fn open_mailbox(&self, agent: AgentId) -> Arc<Mailbox> {
        self.open_mailbox_with(agent, self.home.limits.lane_capacity)
    }

    /// Creates the mailbox of an agent with lanes of this capacity. If there is one, it stays as it
    /// is.
    pub fn open_mailbox_with(&self, agent: AgentId, lane_capacity: u32) -> Arc<Mailbox> {
        match self.mailboxes.entry(agent) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => {
                let mailbox = Mailbox::at_home(agent, lane_capacity, self.home.clone());
                place.insert(mailbox.clone());
                mailbox
            }
        }
    }

    /// Makes a mailbox that only those reach who have it: it is not in the directory, and no broadcast
    /// finds it. It announces itself to the scheduler of this bus.
    #[must_use]
    pub fn unlisted_mailbox(&self, agent: AgentId) -> Arc<Mailbox> {
        Mailbox::at_home(agent, self.home.limits.lane_capacity, self.home.clone())
    }

    /// The mailbox of an agent: an address that can be kept, and skips the directory.
    #[must_use]
    pub fn mailbox(&self, agent: AgentId) -> Option<Arc<Mailbox>> {
        self.mailboxes.get(&agent).map(|mailbox| mailbox.clone())
    }

    /// Removes the mailbox of an agent, and returns what was left in it, the most urgent first.
    /// Sends to it are refused from now on. What is being handled is not part of the answer; if it
    /// is put back later, it becomes a dead letter.
    #[must_use = "these messages were accepted; they must end somewhere"]
    pub fn remove_mailbox(&self, agent: AgentId) -> Vec<AgentMessage> {
        let Some((_, mailbox)) = self.mailboxes.remove(&agent) else { return Vec::new() };
        self.home.ready.forget(agent);
        self.unsubscribe_from_all(agent);
        let left = mailbox.close_and_drain();
        self.fail_questions_to(agent, &QuestionFailure::AgentRetired(agent));
        left
    }

    /// Sends a message to the mailbox of its recipient; see [`Mailbox::send`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub async fn send(&self, message: AgentMessage) -> Result<MessageId, SendError> {
        match self.mailbox(message.to()) {
            Some(mailbox) => mailbox.send(message).await,
            None => Err(SendError::UnknownAgent(Box::new(message))),
        }
    }

    /// Sends a message whose acceptance is a part of the caller's own commit, which is polled once a
    /// place was reserved. The bus's own [`Admission::commit`](crate::Admission::commit) is not asked.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send) on a bus whose acceptance waits for a commit.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub async fn send_with(
        &self,
        message: AgentMessage,
        commit: CommitFuture,
    ) -> Result<MessageId, SendError> {
        self.reserve(message).await?.enter_after(commit).await
    }

    /// Checks a message and reserves its place: see [`Mailbox::reserve`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub async fn reserve(&self, message: AgentMessage) -> Result<Reserved, SendError> {
        match self.mailbox(message.to()) {
            Some(mailbox) => mailbox.reserve(message).await,
            None => Err(SendError::UnknownAgent(Box::new(message))),
        }
    }

    /// As [`reserve`](Self::reserve), but never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub fn try_reserve(&self, message: AgentMessage) -> Result<Reserved, SendError> {
        match self.mailbox(message.to()) {
            Some(mailbox) => mailbox.try_reserve_for(message),
            None => Err(SendError::UnknownAgent(Box::new(message))),
        }
    }

    /// As [`send`](Self::send), but never waits.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message in it.
    pub fn try_send(&self, message: AgentMessage) -> Result<MessageId, SendError> {
        let known = take_address(&self.home, message.to());
        // One that was removed is closed; there may be another of that agent by now.
        let known = known.filter(|mailbox| !mailbox.lane_is_closed(message.priority()));
        match known.or_else(|| self.mailbox(message.to())) {
            Some(mailbox) => {
                let sent = mailbox.try_send(message);
                note_address(mailbox);
                sent
            }
            None => Err(SendError::UnknownAgent(Box::new(message))),
        }
    }

    /// How many messages wait in all mailboxes, by priority. Stops nobody; see [`Mailbox::depth`].
    #[must_use]
    pub fn queue_depth(&self) -> PriorityDepth {
        let mut sum = PriorityDepth::default();
        for mailbox in &self.mailboxes {
            let depth = mailbox.depth();
            sum.critical += depth.critical;
            sum.high += depth.high;
            sum.normal += depth.normal;
            sum.low += depth.low;
        }
        sum
    }

    /// The agents that have a mailbox, in no particular order.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentId> {
        self.mailboxes.iter().map(|mailbox| *mailbox.key()).collect()
    }

    /// How many messages were accepted since the bus was made.
    #[must_use]
    pub fn total_sent(&self) -> u64 {
        self.home.sent.get()
    }

    /// How many messages left their mailboxes for good since the bus was made.
    #[must_use]
    pub fn total_received(&self) -> u64 {
        self.home.received.get()
    }

    /// Messages that were given up.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.home.dead_letters
    }

    /// Sends a dead letter's message again, under its id and without its deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready keeps the letter.
    ///
    /// # Errors
    ///
    /// [`ResendError`]; the letter is kept.
    pub async fn resend(&self, message: MessageId) -> Result<(), ResendError> {
        let (number, letter) =
            self.dead_letters().take_numbered(message).ok_or(ResendError::Unknown(message))?;
        let again = letter.message.clone().without_deadline();
        let kept = KeepLetter { home: self.home.clone(), number, letter: Some(letter) };
        kept.resend(self, again, Admission::commit_again).await
    }

    /// As [`resend`](Self::resend), but sends a copy under another id, which it answers: whatever is
    /// known of the handling of the message, nothing is known of the copy's.
    ///
    /// # Cancel safety
    ///
    /// As there.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn resend_afresh(&self, message: MessageId) -> Result<MessageId, ResendError> {
        let (number, letter) =
            self.dead_letters().take_numbered(message).ok_or(ResendError::Unknown(message))?;
        let copy = letter.message.copy_to(letter.message.to()).without_deadline();
        let id = copy.id();
        let kept = KeepLetter { home: self.home.clone(), number, letter: Some(letter) };
        kept.resend(self, copy, move |hook, copy| hook.commit_afresh(copy, message)).await?;
        Ok(id)
    }

    /// Where this bus and its scheduler tell what happens.
    #[must_use]
    pub fn events(&self) -> &EventHub {
        &self.home.events
    }

    /// For schedulers: the right to be told which mailboxes have something to look at. `None` while
    /// another one has it.
    ///
    /// Mailboxes in which something waits are announced, in the order in which it came. Only they are
    /// looked at: a start costs nothing for those that are idle. For that, a scheduler
    /// [leaves](Mailbox::leave) each mailbox that it changed.
    #[must_use]
    pub fn attach(&self) -> Option<Attachment> {
        Attachment::attach(self.home.clone())
    }

    pub(crate) fn mailboxes_but(&self, agent: AgentId) -> Vec<Arc<Mailbox>> {
        let others = self.mailboxes.iter().filter(|mailbox| *mailbox.key() != agent);
        let mut others: Vec<_> = others.map(|other| (*other.key(), other.clone())).collect();
        // The directory has a random order; a run under a seed must not.
        others.sort_unstable_by_key(|(agent, _)| *agent);
        others.into_iter().map(|(_, mailbox)| mailbox).collect()
    }

    pub(crate) fn topics(&self) -> &DashMap<String, Vec<AgentId>> {
        &self.topics
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }
}

/// A letter on its way back into its mailbox: kept again unless it arrives, even if the send is
/// dropped half-way.
struct KeepLetter {
    home: Arc<Home>,
    number: u64,
    letter: Option<orch_core::DeadLetter>,
}

impl KeepLetter {
    async fn resend(
        mut self,
        bus: &MessageBus,
        message: AgentMessage,
        commit: impl FnOnce(Arc<dyn Admission>, AgentMessage) -> CommitFuture,
    ) -> Result<(), ResendError> {
        let commits = self.home.admission.get().filter(|hook| hook.has_commit()).cloned();
        let Some(admission) = commits else {
            bus.send(message).await.map_err(ResendError::NotAccepted)?;
            self.letter = None;
            return Ok(());
        };
        let reserved = bus.reserve(message).await.map_err(ResendError::NotAccepted)?;
        let committing = commit(admission, reserved.message().clone());
        // The letter goes where the commit goes, also if this future is dropped.
        let commit = Box::pin(async move {
            let committed = committing.await;
            if matches!(committed, Commit::Committed | Commit::Known) {
                drop(self.letter.take());
            }
            committed
        });
        reserved.enter_after(commit).await.map_err(ResendError::NotAccepted)?;
        Ok(())
    }
}

impl Drop for KeepLetter {
    fn drop(&mut self) {
        if let Some(letter) = self.letter.take() {
            self.home.dead_letters.put_back(self.number, letter);
        }
    }
}

impl Default for MessageBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MessageBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBus")
            .field("mailboxes", &self.mailboxes.len())
            .field("limits", &self.home.limits)
            .finish_non_exhaustive()
    }
}
