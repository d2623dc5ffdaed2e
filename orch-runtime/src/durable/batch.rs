//! Several messages that are accepted together: one commit for many, and all before the first is handled.

use std::sync::Arc;

use orch_bus::{Admission, Reserved, SendError};
use orch_core::{AgentMessage, Timestamp};

use super::{Durable, accepted};
use crate::orchestrator::Inner;

/// Messages in one set, and the bytes of their contents after which it takes no further one.
const MESSAGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 16 << 20;

/// Sends messages in their order, without waiting for room.
pub(crate) async fn send_all(inner: &Inner, messages: Vec<AgentMessage>) -> Result<(), SendError> {
    let Some(durable) = inner.durable.get() else {
        return messages.into_iter().try_for_each(|message| inner.bus.try_send(message).map(drop));
    };
    let mut waiting = messages.into_iter().peekable();
    while waiting.peek().is_some() {
        let (mut set, mut bytes) = (Vec::new(), 0);
        while set.len() < MESSAGES_MAX
            && bytes < BYTES_MAX
            && let Some(message) = waiting.next()
        {
            bytes += message.content().len();
            set.push(inner.bus.try_reserve(message)?);
        }
        durable.accept_all(set).await?;
    }
    Ok(())
}

impl Durable {
    /// Accepts all of these, or none; those that were accepted before are on their way already.
    async fn accept_all(self: &Arc<Self>, set: Vec<Reserved>) -> Result<(), SendError> {
        let records = set.iter().map(|it| accepted(it.message().clone(), None)).collect();
        let Err(error) = self.journal.commit(Timestamp::now(), records).await else {
            for reserved in set {
                reserved.enter();
            }
            return Ok(());
        };
        if error.duplicate().is_some() {
            for reserved in set {
                let commit = self.clone().commit(reserved.message().clone());
                reserved.enter_after(commit).await?;
            }
            return Ok(());
        }
        let first = set.into_iter().next().expect("a set has a message");
        // The same error, as whoever sends one message hears it.
        let refused = std::future::ready(self.refusal(error));
        first.enter_after(Box::pin(refused)).await.map(drop)
    }
}
