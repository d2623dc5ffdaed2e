//! Where an agent stands in its script, and what it does in a turn.

use std::collections::VecDeque;
use std::sync::Arc;

use orch_core::{AgentId, Content, Failure, Outcome};

use super::ScriptedSession;
use super::step::{Action, End, Repeat, Script};
use crate::Context;

/// How many contents are kept of each agent.
const SEEN_MAX: usize = 65_536;

/// Where one agent stands in its script.
#[derive(Debug)]
pub(super) struct Progress {
    script: Arc<Script>,
    /// For each turn, whether a message has taken it since the script last began.
    taken: Vec<bool>,
    /// For each turn, how many of its steps have begun.
    reached: Vec<usize>,
    seen: VecDeque<Content>,
}

impl Progress {
    pub(super) fn new(script: Arc<Script>) -> Self {
        let n_turns = script.turns.len();
        let (taken, reached) = (vec![false; n_turns], vec![0; n_turns]);
        Self { script, taken, reached, seen: VecDeque::new() }
    }

    /// Takes the turn for a message; `None` if none is left for it.
    pub(super) fn begin(&mut self, content: &Content) -> Option<(Arc<Script>, usize)> {
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(content.clone());
        let turn = self.next(content)?;
        self.taken[turn] = true;
        Some((Arc::clone(&self.script), turn))
    }

    fn next(&mut self, content: &str) -> Option<usize> {
        let mut fitting =
            (0..self.taken.len()).filter(|turn| self.script.turns[*turn].fits(content));
        if let Some(unused) = fitting.clone().find(|turn| !self.taken[*turn]) {
            return Some(unused);
        }
        match self.script.repeat {
            Repeat::No => None,
            Repeat::Last => fitting.next_back(),
            Repeat::All => {
                let first = fitting.next()?;
                self.taken.fill(false);
                Some(first)
            }
        }
    }

    fn reach(&mut self, turn: usize, n_steps: usize) {
        self.reached[turn] = self.reached[turn].max(n_steps);
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = Content> + '_ {
        self.seen.iter().cloned()
    }

    /// The steps that were not reached, counted from 1 over the whole script.
    pub(super) fn unused(&self, who: &str) -> impl Iterator<Item = String> + use<'_> {
        let who = who.to_owned();
        let turns = self.script.turns.iter().zip(&self.reached);
        let steps = turns.flat_map(|(turn, reached)| {
            (0..turn.n_steps()).map(move |index| (turn, index, *reached <= index))
        });
        let numbered = (1..).zip(steps).filter(|(_, (_, _, unused))| *unused);
        numbered.map(move |(number, (turn, index, _))| {
            format!("{who}: step {number}, {}", turn.step(index))
        })
    }
}

/// Does what the script says.
pub(super) async fn turn(
    session: &ScriptedSession,
    script: &Script,
    turn: usize,
    context: &Context,
) -> Outcome {
    let steps = &script.turns[turn];
    let mut answer = None;
    for (index, action) in steps.actions.iter().enumerate() {
        session.with_progress(|progress| progress.reach(turn, index + 1));
        if let Err(failure) = act(action, context, &mut answer).await {
            return failure.into();
        }
    }
    session.with_progress(|progress| progress.reach(turn, steps.n_steps()));
    match &steps.end {
        None | Some(End::Done) => Outcome::done(),
        Some(End::Reply(text)) => Outcome::output(text),
        Some(End::Echo) => Outcome::output(context.content()),
        Some(End::ReplyAnswer) => match answer {
            Some(answer) => Outcome::output(answer),
            None => {
                Failure::last("the script replies with an answer that it did not ask for").into()
            }
        },
        Some(End::Fail(failure)) => failure.clone().into(),
        Some(End::Panic(text)) => panic!("{text}"),
        Some(End::Hang) => std::future::pending().await,
    }
}

async fn act(
    action: &Action,
    context: &Context,
    answer: &mut Option<Content>,
) -> Result<(), Failure> {
    match action {
        Action::Delay(time) => tokio::time::sleep(*time).await,
        Action::Block(time) => std::thread::sleep(*time),
        Action::Usage(usage) => context.report_usage(*usage),
        Action::Say(text) => context.say(text),
        Action::Send { to, content } => {
            context.send(find(context, to)?, content).await?;
        }
        Action::Ask { to, content, timeout } => {
            *answer = Some(context.ask(find(context, to)?, content, *timeout).await?);
        }
        Action::Broadcast(content) => {
            context.broadcast(content).await;
        }
        Action::Publish { topic, content } => {
            context.publish(topic, content).await;
        }
        Action::Tool { call, allowed } => {
            let decision = context.tool(call.clone()).await;
            if decision.is_allowed() != *allowed {
                let wanted = if *allowed { "allowed" } else { "denied" };
                let tool = &call.tool;
                let error = format!("tool `{tool}` was to be {wanted}, but it was {decision:?}");
                return Err(Failure::last(error));
            }
        }
    }
    Ok(())
}

fn find(context: &Context, name: &str) -> Result<AgentId, Failure> {
    context.find(name).ok_or_else(|| Failure::last(format!("no agent is called `{name}`")))
}
