//! What a handler does in its turn, as numbered steps: each is recorded before it has an effect, and an
//! attempt that is made again gets the recorded ones back.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orch_bus::{AskError, Commit, CommitFuture, QuestionFailure, Refusal};
use orch_connect::HostError;
use orch_core::{AgentConfig, AgentId, AgentMessage, Content, Decision, MessageId, ToolCall};
use orch_journal::{ContentHash, Illegal, Record, StepKey, StepKind, StepMismatch};

use super::replay::{Taken, Taking};
use super::{Durable, Unwritten, accepted};
use crate::host::{AttemptHost, not_accepted};
use crate::{family, permission};

/// What went wrong with the steps of an attempt. Whatever its handler makes of that, the attempt fails.
pub(crate) type Mismatch = Arc<OnceLock<StepMismatch>>;

impl AttemptHost {
    fn taking(&self, kind: StepKind, name: String, input: &[u8]) -> Taking {
        let key = StepKey { delivery: self.message(), n: self.next_step() };
        Taking { key, kind, name, input: ContentHash::of(input) }
    }

    /// Sends a message as a step.
    pub(crate) async fn send_step(
        &self,
        durable: &Arc<Durable>,
        message: AgentMessage,
    ) -> Result<MessageId, HostError> {
        let taking =
            self.taking(StepKind::Send, message.to().to_string(), message.content().as_bytes());
        let message = self.sign(message);
        let bus = &self.run.inner.bus;
        let reserved = match message.to() == self.id() {
            // Only this handler's end could make room there.
            true => bus.try_reserve(message),
            false => self.waiting(bus.reserve(message)).await,
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            // It may have been sent before, and its recipient be gone by now.
            Err(error) => {
                return match self.before(durable, &taking).await? {
                    Some(id) => Ok(id),
                    None => Err(not_accepted(error)),
                };
            }
        };
        let id = reserved.message().id();
        let set = vec![
            self.step(&taking, Some(id.to_string().into())),
            accepted(reserved.message().clone(), Some(taking.key)),
        ];
        let before = Arc::new(OnceLock::new());
        let found = before.clone();
        let commit = self.commit(durable, taking, set, move |output| {
            if let Some(Ok(id)) = output.map(|id| id.as_str().parse()) {
                let _ = found.set(id);
            }
            std::future::ready(())
        });
        let sent = self.waiting(reserved.enter_after(commit)).await.map_err(not_accepted)?;
        Ok(before.get().copied().unwrap_or(sent))
    }

    /// Asks a question as a step; it is signed, and has its deadline.
    pub(crate) fn ask_step(
        &self,
        durable: &Arc<Durable>,
        question: AgentMessage,
        wait: Duration,
    ) -> impl Future<Output = Result<Content, AskError>> + Send + use<> {
        let to = question.to();
        let taking = self.taking(StepKind::Ask, to.to_string(), question.content().as_bytes());
        let key = taking.key;
        let id = key.delivery.of_step(key.n);
        let question = question.with_id(id);
        durable.note_question(id, self.id(), key);
        let set = vec![
            self.step(&taking, None),
            accepted(question.clone(), Some(key)),
            Record::Asked { agent: self.id(), question: id, to },
        ];
        let inner = self.run.inner.clone();
        let journal = durable.clone();
        let commit = self.commit(durable, taking, set, move |_| async move {
            // In one look: it may be answered between two.
            match journal.became_of(key, id).await {
                Ok((Some(answer), _)) => {
                    inner.bus.answer(id, answer);
                }
                Ok((None, false)) => {
                    let failure = QuestionFailure::DeadLettered("in an earlier attempt".to_owned());
                    inner.bus.fail_question(id, failure);
                }
                // It is on its way, and answers what waits here.
                Ok((None, true)) | Err(_) => {}
            }
        });
        let bus = self.run.inner.bus.clone();
        async move { bus.ask_with(question, wait, commit).await }
    }

    /// Makes an agent as a step.
    pub(crate) async fn spawn_step(
        &self,
        durable: &Arc<Durable>,
        config: AgentConfig,
    ) -> Result<AgentId, HostError> {
        let json = serde_json::to_vec(&config).unwrap_or_default();
        let taking = self.taking(StepKind::Spawn, config.name.clone(), &json);
        if let Some(output) = self.output_before(durable, &taking).await? {
            return output.as_str().parse().map_err(|_| unreadable());
        }
        let agent = AgentId::new();
        let step = self.step(&taking, Some(agent.to_string().into()));
        let parent = self.agent().entry.clone();
        let made = family::spawn_durably(
            &self.run.inner,
            &self.run.options,
            durable,
            config,
            (agent, Some(&parent)),
            Some(step),
        );
        self.waiting(made).await.map_err(crate::host::not_spawned)
    }

    /// Decides on a tool call as a step: one that was decided before is not judged, asked about or
    /// counted again.
    pub(crate) async fn tool_step(&self, durable: &Arc<Durable>, call: &ToolCall) -> Decision {
        let input = ContentHash::of_call(call);
        let taking = Taking { input, ..self.taking(StepKind::Tool, call.tool.clone(), &[]) };
        match self.waiting(durable.decided(&taking)).await {
            Ok(Ok(Some(decision))) => return decision,
            Ok(Ok(None)) => {}
            Ok(Err(other)) => {
                let reason = other.to_string();
                let _ = self.mismatch().set(other);
                return Decision::deny(reason);
            }
            Err(error) => return Decision::deny(error.to_string()),
        }
        let decision = permission::decide_now(self, call).await;
        let decided = Record::ToolDecided {
            agent: self.id(),
            key: taking.key,
            call: call.clone(),
            input,
            decision: decision.clone(),
        };
        // Journal-before-effect: a call is allowed once that is recorded.
        match self.waiting(durable.write(vec![decided], &self.run.cut)).await {
            Ok(_) => decision,
            Err(error) => Decision::deny(format!("the decision could not be recorded: {error}")),
        }
    }

    fn step(&self, taking: &Taking, output: Option<Content>) -> Record {
        let Taking { key, kind, name, input } = taking.clone();
        Record::StepTaken { agent: self.id(), key, kind, name, input, output }
    }

    /// Commits a step with what it does. If it was taken before, nothing is done again: `before` is told
    /// what came of it then.
    fn commit<F: Future<Output = ()> + Send + 'static>(
        &self,
        durable: &Arc<Durable>,
        taking: Taking,
        set: Vec<Record>,
        before: impl FnOnce(Option<Content>) -> F + Send + 'static,
    ) -> CommitFuture {
        let (durable, cut, mismatch) = (durable.clone(), self.run.cut.clone(), self.mismatch());
        Box::pin(async move {
            match durable.write(set, &cut).await {
                Ok(_) => return Commit::Committed,
                Err(Unwritten::Illegal(Illegal::KnownStep(_))) => {}
                Err(Unwritten::Illegal(Illegal::Duplicate(_))) => return Commit::Known,
                Err(error) => {
                    return Commit::NotDurable { reason: error.to_string(), transient: false };
                }
            }
            match durable.taken(&taking).await {
                Ok(Taken::Before(output)) => before(output).await,
                Ok(Taken::Other(other)) => return refused(&mismatch, other),
                Ok(Taken::Never) => {}
                Err(error) => return Commit::Uncertain(error.to_string()),
            }
            Commit::Known
        })
    }

    /// The message that was sent in this step before, if one was.
    async fn before(
        &self,
        durable: &Durable,
        taking: &Taking,
    ) -> Result<Option<MessageId>, HostError> {
        let output = self.output_before(durable, taking).await?;
        output.map(|id| id.as_str().parse().map_err(|_| unreadable())).transpose()
    }

    async fn output_before(
        &self,
        durable: &Durable,
        taking: &Taking,
    ) -> Result<Option<Content>, HostError> {
        let mut look = pin!(durable.taken(taking));
        match self.waiting(look.as_mut()).await {
            Ok(Taken::Before(output)) => Ok(output),
            Ok(Taken::Never) => Ok(None),
            Ok(Taken::Other(other)) => {
                let error = other.to_string();
                let _ = self.mismatch().set(other);
                Err(HostError::NotAllowed { error })
            }
            Err(error) => Err(HostError::NotAllowed { error: error.to_string() }),
        }
    }
}

fn refused(mismatch: &Mismatch, other: StepMismatch) -> Commit {
    let reason = other.to_string();
    let _ = mismatch.set(other);
    Commit::Refused(Refusal::new(reason))
}

fn unreadable() -> HostError {
    HostError::NotAllowed { error: "a recorded step names no id".to_owned() }
}
