//! What the outside does while a team works: it sends, asks, stops, resends, spawns and retires.

use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentId, AgentMessage, MessageId};
use orch_runtime::Orchestrator;
use tokio::sync::Notify;

use crate::history::What;
use crate::simulation::plan::{NO_CONNECTOR, Outside, TOPIC};
use crate::simulation::world::{Order, World};

/// What the outside acts on.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    pub(crate) world: Arc<World>,
    pub(crate) orchestrator: Arc<Orchestrator>,
    /// Told when `start`'s future is to be dropped.
    pub(crate) drop_start: Arc<Notify>,
}

impl Hands {
    /// Does number `number` of the things that the plan wants.
    pub(crate) async fn act(&self, number: u64, what: Outside) {
        let order = |fuel| Order { label: self.world.random(&[7, number]).bits(), fuel };
        match what {
            Outside::Send { to, priority, fuel, deadline_ms, waits } => {
                let Some((send, message)) = self.message(to, order(fuel)) else { return };
                let after = |ms| World::now().after(Duration::from_millis(ms));
                let message = message.with_priority(priority);
                let message = match deadline_ms {
                    Some(ms) => message.with_deadline(after(ms)),
                    None => message,
                };
                self.send(send, message, waits).await;
            }
            Outside::Broadcast { priority, fuel } => {
                let Some((send, message)) = self.message(0, order(fuel)) else { return };
                self.world.note(What::Sending { send });
                self.orchestrator.bus().broadcast(message.with_priority(priority)).await;
            }
            Outside::Ask { to, priority, fuel, wait_ms } => {
                let Some((send, message)) = self.message(to, order(fuel)) else { return };
                self.ask(send, message.with_priority(priority), wait_ms).await;
            }
            Outside::Stop => self.stop(true).await,
            Outside::StopNow => self.stop(false).await,
            Outside::DropStart => self.drop_start.notify_waiters(),
            Outside::Resend { letter } => self.resend(letter).await,
            Outside::DropLetter { letter } => self.drop_letter(letter),
            Outside::Spawn => self.spawn(self.world.new_agent()).await,
            Outside::RegisterBroken => self.register_broken().await,
            Outside::Retire { agent } => {
                let _ = self.orchestrator.retire(self.world.agent(agent)).await;
            }
            Outside::Unregister { agent } => {
                let registry = self.orchestrator.registry();
                let _ = registry.unregister(self.world.agent(agent)).await;
            }
        }
    }

    /// Makes an agent and subscribes it to the topic, if it listens.
    pub(crate) async fn spawn(&self, config: orch_core::AgentConfig) {
        let listens = config.settings["listens"] == true;
        let Ok(agent) = self.orchestrator.spawn(config.clone()).await else { return };
        self.world.made(agent, config);
        if listens {
            self.orchestrator.bus().subscribe(agent, TOPIC);
        }
    }

    async fn register_broken(&self) {
        let mut config = self.world.new_agent();
        config.connector_type = NO_CONNECTOR.to_owned();
        let agent = self.orchestrator.registry().register(config.clone()).await;
        self.world.made(agent, config);
        self.orchestrator.bus().create_mailbox(agent).await;
    }

    fn message(&self, to: u64, order: Order) -> Option<(u64, AgentMessage)> {
        let to = self.world.agent(to);
        self.world.message(AgentId::OUTSIDE, to, order).map(|call| (call.send, call.message))
    }

    async fn send(&self, send: u64, message: AgentMessage, waits: bool) {
        let id = message.id();
        self.world.note(What::Sending { send });
        let bus = self.orchestrator.bus();
        let sent = if waits { bus.send(message).await } else { bus.try_send(message) };
        let accepted = sent.is_ok();
        self.world.note(What::Sent { send, message: id, accepted, to_itself: false });
    }

    async fn ask(&self, send: u64, question: AgentMessage, wait_ms: u64) {
        let id = question.id();
        self.world.note(What::Sending { send });
        let wait = Duration::from_millis(wait_ms);
        let answer = self.orchestrator.bus().ask(question, wait).await;
        let answer = answer.map(|content| content.to_string()).map_err(|error| error.to_string());
        self.world.note(What::Answered { question: id, answer });
    }

    async fn stop(&self, with_grace: bool) {
        if !self.orchestrator.is_running() {
            return;
        }
        self.world.note(What::StopCalled { with_grace });
        match with_grace {
            true => drop(self.orchestrator.stop().await),
            false => drop(self.orchestrator.stop_now().await),
        }
    }

    fn letter(&self, number: u64) -> Option<(MessageId, Option<u64>)> {
        let letters = self.orchestrator.dead_letters();
        let n = u64::try_from(letters.len()).unwrap_or(0);
        let i = usize::try_from(number.checked_rem(n)?).unwrap_or(0);
        let message = &letters.get(i)?.message;
        Some((message.id(), crate::history::send_of(message.content())))
    }

    /// Sends a dead letter again.
    pub(crate) async fn resend(&self, number: u64) {
        let Some((message, Some(send))) = self.letter(number) else { return };
        self.world.note(What::Sending { send });
        if self.orchestrator.resend(message).await.is_ok() {
            self.world.note(What::Resent(message));
        }
    }

    fn drop_letter(&self, number: u64) {
        let Some((message, _)) = self.letter(number) else { return };
        if self.orchestrator.drop_dead_letter(message).is_some() {
            self.world.note(What::LetterDropped(message));
        }
    }
}
