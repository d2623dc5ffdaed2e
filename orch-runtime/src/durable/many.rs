//! A broadcast, or a message to a topic, as one step: all of its copies are accepted, or none.

use std::sync::Arc;

use orch_bus::Copies;
use orch_core::{AgentMessage, Content, DeadLetter};
use orch_journal::{Record, StepKind};

use super::{Durable, accepted};
use crate::host::AttemptHost;
use crate::router::refused;

/// What a message to many goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Many<'a> {
    Everybody,
    Topic(&'a str),
}

impl AttemptHost {
    /// Sends a copy to each, and answers how many have one. Copies that are refused become dead letters,
    /// in the same set.
    pub(crate) async fn many_step(
        &self,
        durable: &Arc<Durable>,
        to: Many<'_>,
        message: AgentMessage,
    ) -> usize {
        let (kind, name) = match to {
            Many::Everybody => (StepKind::Broadcast, "everybody"),
            Many::Topic(topic) => (StepKind::Publish, topic),
        };
        let taking = self.taking(kind, name.to_owned(), message.content().as_bytes());
        // Looked up first: room is not to be waited for in vain.
        match self.output_before(durable, &taking).await {
            Ok(Some(n_accepted)) => return n_accepted.as_str().parse().unwrap_or(0),
            Ok(None) => {}
            Err(_) => return 0,
        }
        let message = self.sign(message);
        let bus = &self.run.inner.bus;
        let Copies { reserved, refused: not_accepted, .. } = match to {
            Many::Everybody => self.waiting(bus.reserve_broadcast(&message)).await,
            Many::Topic(topic) => self.waiting(bus.reserve_publish(topic, &message)).await,
        };
        let now = self.run.now();
        let letters = not_accepted.into_iter().map(|error| refused(error, now));
        let letters: Vec<DeadLetter> = letters.collect();
        let n_accepted = reserved.len();
        let mut set = vec![self.step(&taking, Some(Content::from(n_accepted.to_string())))];
        set.extend(reserved.iter().map(|it| accepted(it.message().clone(), Some(taking.key))));
        set.extend(letters.iter().cloned().map(|letter| Record::DeadLettered { letter }));
        let (journal, run) = (durable.clone(), self.run.clone());
        // A task: whoever drops this wait must not leave copies in the journal and in no lane.
        let sending = durable.rests.spawn(async move {
            if journal.write(set, &run.cut).await.is_err() {
                return 0;
            }
            for copy in reserved {
                copy.enter();
            }
            letters.into_iter().for_each(|letter| run.inner.keep_letter(letter));
            n_accepted
        });
        self.waiting(sending).await.unwrap_or(0)
    }
}
