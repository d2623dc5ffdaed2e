//! What a handler does in its turn, as numbered steps: each is recorded before it has an effect, and an
//! attempt that is made again gets the recorded ones back.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use orch_bus::{AskError, Commit, CommitFuture, QuestionFailure, Refusal};
use orch_connect::HostError;
use orch_core::{AgentConfig, AgentId, AgentMessage, Content, DeadLetterReason, MessageId};
use orch_journal::{ContentHash, Illegal, Record, StepKind, StepMismatch};

use super::replay::{Taken, Taking};
use super::{Durable, Unwritten, accepted};
use crate::family;
use crate::host::{AttemptHost, not_accepted, not_retired};

/// What a person has to decide about the steps of an attempt. Whatever its handler makes of that, the
/// attempt fails for good.
pub(crate) type Stuck = Arc<OnceLock<DeadLetterReason>>;

impl AttemptHost {
    pub(super) fn taking(&self, kind: StepKind, name: String, input: &[u8]) -> Taking {
        Taking { key: self.next_step_key(), kind, name, input: ContentHash::of(input) }
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
        let (journal, cut) = (durable.clone(), self.run.cut.clone());
        let (asked, stuck) = (taking.clone(), self.stuck());
        let commit = self.commit(durable, taking, set, move |_| async move {
            // In one look: it may be answered between two.
            match journal.became_of(key, id, &cut).await {
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
        let (durable, cut) = (durable.clone(), self.run.cut.clone());
        async move {
            match bus.ask_with(question, wait, commit).await {
                Ok(answer) => Ok(answer),
                Err(AskError::TimedOut(wait)) => Err(AskError::TimedOut(wait)),
                // It may have been answered before, by one who cannot be asked any more.
                Err(error) => match durable.taken(&asked, &cut).await {
                    Ok(Taken::Before(Some(answer))) => Ok(answer),
                    Ok(Taken::Other(other)) => {
                        let _ = stuck.set(mismatched(&asked, &other));
                        Err(error)
                    }
                    Ok(Taken::Never) => {
                        durable.forget_question(id);
                        Err(error)
                    }
                    Ok(Taken::Before(None)) | Err(_) => Err(error),
                },
            }
        }
    }

    /// Retires an agent as a step.
    pub(crate) async fn retire_step(
        &self,
        durable: &Arc<Durable>,
        agent: AgentId,
    ) -> Result<(), HostError> {
        let taking = self.taking(StepKind::Retire, agent.to_string(), &[]);
        if self.output_before(durable, &taking).await?.is_some() {
            return Ok(());
        }
        self.may_retire(agent).map_err(not_retired)?;
        let step = self.step(&taking, Some(Content::from("retired")));
        let retiring = durable.retire(&self.run.inner, agent, Some(step));
        self.waiting(retiring).await.map_err(not_retired)
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
        let (run, journal) = (self.run.clone(), durable.clone());
        let parent = self.agent().entry.clone();
        let making = async move {
            let (inner, options, new) = (&run.inner, &run.options, (agent, Some(&parent)));
            family::spawn_durably(inner, options, &journal, config, new, Some(step)).await
        };
        let made = self.waiting(durable.to_its_end(making)).await;
        made.unwrap_or_else(|| Err(family::unmade())).map_err(crate::host::not_spawned)
    }

    pub(super) fn step(&self, taking: &Taking, output: Option<Content>) -> Record {
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
        let (durable, cut, stuck) = (durable.clone(), self.run.cut.clone(), self.stuck());
        Box::pin(async move {
            match durable.write(set, &cut).await {
                Ok(_) => return Commit::Committed,
                // A question that was asked before has the same id: which of the two is told first is
                // the store's to say.
                Err(Unwritten::Illegal(Illegal::KnownStep(_) | Illegal::Duplicate(_))) => {}
                Err(error) => {
                    return Commit::NotDurable { reason: error.to_string(), transient: false };
                }
            }
            match durable.taken(&taking, &cut).await {
                Ok(Taken::Before(output)) => before(output).await,
                Ok(Taken::Other(other)) => {
                    let reason = other.to_string();
                    let _ = stuck.set(mismatched(&taking, &other));
                    return Commit::Refused(Refusal::new(reason));
                }
                Ok(Taken::Never) => before(None).await,
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

    /// This attempt took another step than an earlier one.
    pub(super) fn is_stuck(&self, taking: &Taking, other: &StepMismatch) -> HostError {
        let _ = self.stuck().set(mismatched(taking, other));
        HostError::NotAllowed { error: other.to_string() }
    }

    pub(super) async fn output_before(
        &self,
        durable: &Durable,
        taking: &Taking,
    ) -> Result<Option<Content>, HostError> {
        let mut look = pin!(durable.taken(taking, &self.run.cut));
        match self.waiting(look.as_mut()).await {
            Ok(Taken::Before(output)) => Ok(output),
            Ok(Taken::Never) => Ok(None),
            Ok(Taken::Other(other)) => Err(self.is_stuck(taking, &other)),
            Err(error) => Err(HostError::NotAllowed { error: error.to_string() }),
        }
    }
}

fn mismatched(taking: &Taking, other: &StepMismatch) -> DeadLetterReason {
    DeadLetterReason::StepMismatch { step: taking.key.n, error: other.to_string() }
}

fn unreadable() -> HostError {
    HostError::NotAllowed { error: "a recorded step names no id".to_owned() }
}
