//! What a simulated agent does with a message: drawn from the seed, the message and the attempt, so
//! that it does not depend on who else runs.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use orch_core::{AgentMessage, Failure, Outcome, Usage};
use orch_runtime::{Context, HostError};
use tokio::time::{sleep, timeout};

use crate::history::{HandlerEnd, Log, What};
use crate::random::Random;
use crate::simulation::plan::TOPIC;
use crate::simulation::world::{Order, World};

/// One handler at work. Notes when it begins and ends, however that happens.
struct Work {
    world: Arc<World>,
    context: Context,
    random: Random,
    order: Order,
    handler: u64,
    has_ended: bool,
    /// Whether it drops calls to its context before they have returned.
    is_impatient: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Nap,
    Yield,
    Send,
    Ask,
    Broadcast,
    Publish,
    AskAndSend,
    Spawn,
    Retire,
    Report,
}

#[derive(Clone, Copy)]
enum End {
    Answer,
    Done,
    Fail,
    FailForGood,
    Panic,
    Hang,
}

/// Handles the context's message.
pub(crate) async fn handle(world: Arc<World>, context: Context, is_impatient: bool) -> Outcome {
    let Some(order) = Order::read(context.content()) else {
        return Failure::last("the message has no order").into();
    };
    let who = context.agent().as_uuid().as_u64_pair();
    let random = world.random(&[3, order.label, who.0, who.1, context.attempt().into()]);
    let handler = world.log.number();
    world.note(What::Began {
        handler,
        agent: context.agent(),
        message: context.message().id(),
        attempt: context.attempt(),
    });
    let mut work = Work { world, context, random, order, handler, has_ended: false, is_impatient };
    for step in 0..work.random.between(0, 3) {
        work.step(step).await;
    }
    work.end().await
}

impl Work {
    async fn step(&mut self, number: u64) {
        let talk = if self.order.fuel == 0 { 0 } else { 1 };
        let step = self.random.weighted(&[
            (8, Step::Nap),
            (4, Step::Yield),
            (8 * talk, Step::Send),
            (5 * talk, Step::Ask),
            (talk, Step::Broadcast),
            (talk, Step::Publish),
            (talk, Step::AskAndSend),
            (talk, Step::Spawn),
            (1, Step::Retire),
            (2, Step::Report),
        ]);
        match step {
            Step::Nap => sleep(self.millis(&[(3, 3), (3, 40), (1, 700)])).await,
            Step::Yield => tokio::task::yield_now().await,
            Step::Send => self.send(number).await,
            Step::Ask => self.ask(number).await,
            Step::AskAndSend => self.ask_and_send(number).await,
            Step::Broadcast => self.fan_out(number, None).await,
            Step::Publish => self.fan_out(number, Some(TOPIC)).await,
            Step::Spawn => self.spawn().await,
            Step::Retire => self.retire().await,
            Step::Report => {
                self.context.report_usage(Usage { input_tokens: 1, ..Usage::default() });
                self.context.say("still at it");
            }
        }
    }

    async fn end(mut self) -> Outcome {
        let can_time_out = u64::from(self.has_timeout());
        let end = self.random.weighted(&[
            (12, End::Answer),
            (6, End::Done),
            (5, End::Fail),
            (1, End::FailForGood),
            (2, End::Panic),
            (can_time_out, End::Hang),
        ]);
        match end {
            End::Answer => {
                let output = format!("answer to {}", self.context.message().id());
                self.ended(HandlerEnd::Acked(Some(output.clone())));
                Outcome::output(output)
            }
            End::Done => {
                self.ended(HandlerEnd::Acked(None));
                Outcome::done()
            }
            End::Fail => {
                let failure = self.failure();
                self.ended(HandlerEnd::Failed { retry_after_ms: failure.retry_after_ms });
                failure.into()
            }
            End::FailForGood => {
                self.ended(HandlerEnd::FailedForGood);
                Failure::last("no use").into()
            }
            End::Panic => {
                self.ended(HandlerEnd::Panicked);
                // A panic that the hook does not print.
                std::panic::resume_unwind(Box::new("simulated"))
            }
            End::Hang => std::future::pending().await,
        }
    }

    fn failure(&mut self) -> Failure {
        let failure = Failure::transient("not now");
        match self.random.weighted(&[(12, 0_u64), (2, 700), (2, 9_000), (1, 3_600_000)]) {
            0 => failure,
            millis => failure.with_retry_after(Duration::from_millis(millis)),
        }
    }

    async fn send(&mut self, step: u64) {
        let to = self.world.agent(self.random.bits());
        let Some((send, message)) = self.message(step, to) else { return };
        self.sending(send, message).await;
    }

    async fn sending(&mut self, send: u64, message: AgentMessage) {
        let patience = self.patience();
        let sending = send_message(&self.world, &self.context, send, message);
        within(patience, watch(&self.world.log, self.handler, sending)).await;
    }

    async fn ask(&mut self, step: u64) {
        let to = self.world.agent(self.random.bits());
        let Some((send, message)) = self.message(step, to) else { return };
        let wait = self.millis(&[(1, 30), (3, 900)]);
        let patience = self.patience();
        let asking = ask_message(&self.world, &self.context, send, message, wait);
        within(patience, watch(&self.world.log, self.handler, asking)).await;
    }

    /// Two waits of one handler, that end in any order.
    async fn ask_and_send(&mut self, step: u64) {
        let (first, second) =
            (self.world.agent(self.random.bits()), self.world.agent(self.random.bits()));
        let Some((ask, question)) = self.message(step, first) else { return };
        let Some((send, message)) = self.message(step + 100, second) else { return };
        let wait = self.millis(&[(1, 30), (3, 900)]);
        let (world, context) = (&self.world, &self.context);
        let asking = ask_message(world, context, ask, question, wait);
        let sending = send_message(world, context, send, message);
        watch(&world.log, self.handler, async { tokio::join!(asking, sending) }).await;
    }

    async fn fan_out(&mut self, step: u64, topic: Option<&str>) {
        let Some((send, message)) = self.message(step, self.context.agent()) else { return };
        let patience = self.patience();
        self.world.note(What::Sending { send });
        let context = &self.context;
        let out = async {
            match topic {
                Some(topic) => context.publish(topic, message.content()).await,
                None => context.broadcast(message.content()).await,
            }
        };
        within(patience, watch(&self.world.log, self.handler, out)).await;
    }

    async fn spawn(&mut self) {
        let config = self.world.new_agent();
        if let Ok(child) = self.context.spawn(config.clone()).await {
            self.world.made(child, config);
        }
    }

    async fn retire(&mut self) {
        // Most are not its to retire.
        let whom = self.world.agent(self.random.bits());
        let is_own_idea = self.random.chance(20);
        if whom != self.context.agent() || is_own_idea {
            let _ = self.context.retire(whom).await;
        }
    }

    fn message(&mut self, step: u64, to: orch_core::AgentId) -> Option<(u64, AgentMessage)> {
        let attempt = u64::from(self.context.attempt());
        let who = self.context.agent().as_uuid().as_u64_pair();
        let label = self.world.random(&[4, self.order.label, who.0, who.1, attempt, step]).bits();
        let order = Order { label, fuel: self.order.fuel.saturating_sub(1) };
        let call = self.world.message(self.context.agent(), to, order)?;
        let message = match self.random.chance(30) {
            true => call.message.with_priority(self.random.priority()),
            false => call.message,
        };
        let message = match self.random.chance(8) {
            true => {
                let after = self.millis(&[(1, 50), (1, 1_000)]);
                message.with_deadline(World::now().after(after))
            }
            false => message,
        };
        Some((call.send, message))
    }

    /// How long it waits for a call to return before it drops it.
    fn patience(&mut self) -> Option<Duration> {
        (self.is_impatient && self.random.chance(40)).then(|| self.millis(&[(1, 5), (1, 300)]))
    }

    /// A length of time up to one of these, chosen by weight.
    fn millis(&mut self, most: &[(u64, u64)]) -> Duration {
        let most = self.random.weighted(most);
        Duration::from_millis(self.random.between(0, most))
    }

    fn has_timeout(&self) -> bool {
        self.world.has_timeout(self.context.agent())
    }

    fn ended(&mut self, end: HandlerEnd) {
        self.has_ended = true;
        self.world.note(What::Ended { handler: self.handler, end });
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.has_ended {
            self.ended(HandlerEnd::Dropped);
        }
    }
}

async fn send_message(world: &World, context: &Context, send: u64, message: AgentMessage) {
    let (id, to_itself) = (message.id(), message.to() == context.agent());
    world.note(What::Sending { send });
    let accepted = context.send_message(message).await.is_ok();
    world.note(What::Sent { send, message: id, accepted, to_itself });
}

async fn ask_message(
    world: &World,
    context: &Context,
    send: u64,
    question: AgentMessage,
    wait: Duration,
) {
    let id = question.id();
    world.note(What::Sending { send });
    let answer = context.ask_message(question, wait).await;
    let answer = answer.map(|content| content.to_string()).map_err(|e: HostError| e.to_string());
    world.note(What::Answered { question: id, answer });
}

/// Notes for how long a call of a handler to its context has to wait.
async fn watch<T>(log: &Log, handler: u64, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        return output;
    }
    log.note(What::WaitBegan { handler });
    let mut wait = Wait { log, handler, has_returned: false };
    let output = call.await;
    wait.has_returned = true;
    output
}

struct Wait<'a> {
    log: &'a Log,
    handler: u64,
    has_returned: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let handler = self.handler;
        self.log.note(match self.has_returned {
            true => What::WaitEnded { handler },
            false => What::WaitDropped { handler },
        });
    }
}

async fn within<T>(patience: Option<Duration>, call: impl Future<Output = T>) {
    match patience {
        Some(patience) => drop(timeout(patience, call).await),
        None => drop(call.await),
    }
}
