//! Ends attempts: where their messages go, and what becomes of their agents.

use orch_bus::Delivery;
use orch_core::{
    AgentId, AgentStatus, DeliveryEvent, DeliveryState, RestartPolicy, StopReason, Timestamp,
};
use orch_policy::RestartDecision;

use super::{After, Next, Spare};
use crate::agent_state::{Agent, AgentState, Held, Parked, Stage};
use crate::options::FailurePolicy;
use crate::run::Run;
use crate::verdict::{AgentFails, Verdict};

/// An attempt that ended, and what was decided about it.
#[derive(Debug)]
pub(crate) struct Settling<'a> {
    pub(crate) delivery: Held<'a>,
    pub(crate) state: DeliveryState,
    pub(crate) round: u64,
    pub(crate) verdict: Verdict,
    /// Whether its session ended by itself, and the agent is restarted although nothing failed.
    pub(crate) restarts: bool,
    /// A session for the next attempt.
    pub(crate) session: Spare,
}

/// What settling an attempt changed, and what comes next.
#[derive(Debug)]
pub(crate) struct Settled<'a> {
    pub(crate) fate: AgentFate,
    /// Whether the agent has become idle.
    pub(crate) is_idle: bool,
    pub(crate) next: Next<'a>,
}

/// What settling an attempt meant for its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentFate {
    GoesOn,
    Restarted { restarts: u32 },
    Failed { error: String },
}

impl Run {
    /// Ends an attempt: the message goes where the verdict says, and the agent may take its next one,
    /// which is the answer if the activation goes on.
    pub(crate) fn settle<'a>(
        &self,
        agent: &'a Agent,
        settling: Settling<'_>,
        goes_on: bool,
        now: Timestamp,
    ) -> Settled<'a> {
        let Settling { delivery, state: of_delivery, round, verdict, restarts, session } = settling;
        // What goes for good goes before the lock, and what comes back before the agent is free.
        let kept = match verdict {
            Verdict::Ack | Verdict::Forget | Verdict::GiveUp { .. } => {
                delivery.finish();
                None
            }
            Verdict::PutBack => {
                delivery.put_back();
                None
            }
            Verdict::Retry { .. } => Some(delivery.into_owned()),
        };
        let mut after = After::default();
        let mut timer = None;
        let mut state = agent.lock();
        state.in_flight -= 1;
        state.sessions.extend(session);
        let legal = "an attempt that runs may end in any way";
        let fate = match verdict {
            Verdict::Ack => {
                of_delivery.apply(DeliveryEvent::Ack).expect(legal);
                if restarts {
                    self.supervise_restart(agent, &mut state, now, &mut after)
                } else {
                    AgentFate::GoesOn
                }
            }
            Verdict::Forget => {
                of_delivery.apply(DeliveryEvent::Ack).expect(legal);
                AgentFate::GoesOn
            }
            Verdict::PutBack => {
                of_delivery.apply(DeliveryEvent::PutBack).expect(legal);
                AgentFate::GoesOn
            }
            Verdict::Retry { at, .. } => {
                let queued = of_delivery.apply(DeliveryEvent::Nack { retry_at: at }).expect(legal);
                let delivery = kept.expect("kept above for another attempt");
                let parked = Parked { delivery, state: queued, due: at, round };
                timer = self.park(&mut state, parked, &mut after);
                AgentFate::GoesOn
            }
            Verdict::GiveUp { error, agent_fails, reason } => {
                of_delivery.apply(DeliveryEvent::GiveUp).expect(legal);
                let error = error.unwrap_or_else(|| reason.to_string());
                self.supervise_failure(agent, &mut state, agent_fails, error, now, &mut after)
            }
        };
        let now = self.exact(&state, now);
        let next = self.after_one(agent, &mut state, goes_on, now, &mut after);
        let rests = state.in_flight == 0 && state.stage != Stage::Failed;
        let is_idle = rests && agent.entry.set_status(&AgentStatus::Idle);
        drop(state);
        if let Some(at) = timer {
            self.set_timer(agent, at);
        }
        self.note_fate(agent, &fate);
        self.after_the_lock(after);
        Settled { fate, is_idle, next }
    }

    /// What an activation does next. After the end nobody schedules here any more, and a mailbox is
    /// left as it was put away.
    fn after_one<'a>(
        &self,
        agent: &'a Agent,
        state: &mut AgentState,
        goes_on: bool,
        now: Timestamp,
        after: &mut After,
    ) -> Next<'a> {
        if self.has_ended() {
            return Next::Rest;
        }
        // An agent that handles several at a time is announced to others as soon as it has room.
        if goes_on && agent.concurrency() == 1 {
            return self.hand_out(agent, state, now, after);
        }
        state.release(agent, now).map_or(Next::Rest, Next::Again)
    }

    /// Keeps a message until its backoff is over, and answers when that is. If its agent takes
    /// nothing any more, or the run has ended, nobody would ever look at it here: it goes back.
    fn park(&self, state: &mut AgentState, parked: Parked, after: &mut After) -> Option<Timestamp> {
        if self.has_ended() || state.stage != Stage::Active {
            after.rest().put_back.push(parked.delivery);
            return None;
        }
        let due = parked.due;
        state.parked.push(parked);
        Some(due)
    }

    fn set_timer(&self, agent: &Agent, at: Timestamp) {
        self.lock().timers.insert((at, agent.index));
        // The driver sleeps until the first timer.
        self.signal.notify_one();
    }

    /// Counts an attempt out that was dropped before it was settled, and fails its agent: the
    /// message went back, and would do the same again.
    pub(crate) fn abandon(&self, agent: &Agent) -> AgentFate {
        let mut after = After::default();
        let mut state = agent.lock();
        state.in_flight -= 1;
        let mut fate = AgentFate::GoesOn;
        if !self.has_ended() {
            let error = "an attempt of it was abandoned".to_owned();
            fate = fail(agent, &mut state, error, &mut after);
            let _nothing_is_taken_any_more = state.release(agent, self.now());
        }
        drop(state);
        self.note_fate(agent, &fate);
        self.after_the_lock(after);
        fate
    }

    fn supervise_failure(
        &self,
        agent: &Agent,
        state: &mut AgentState,
        agent_fails: AgentFails,
        error: String,
        now: Timestamp,
        after: &mut After,
    ) -> AgentFate {
        match (agent_fails, agent.entry.config.restart) {
            (AgentFails::No, _) => AgentFate::GoesOn,
            (AgentFails::ForGood, _) | (AgentFails::BySupervisor, RestartPolicy::Never) => {
                fail(agent, state, error, after)
            }
            (AgentFails::BySupervisor, _) => match state.restarts.on_failure(now) {
                RestartDecision::Restart { count } => AgentFate::Restarted { restarts: count },
                RestartDecision::GiveUp => {
                    let allowed = self.options.intensity;
                    let (n, window) = (allowed.restarts_max, allowed.window.as_secs());
                    let error = format!("{error} (after {n} restarts within {window} s)");
                    fail(agent, state, error, after)
                }
            },
        }
    }

    /// A session ended by itself and its agent is to be restarted all the same.
    fn supervise_restart(
        &self,
        agent: &Agent,
        state: &mut AgentState,
        now: Timestamp,
        after: &mut After,
    ) -> AgentFate {
        match state.restarts.on_failure(now) {
            RestartDecision::Restart { count } => AgentFate::Restarted { restarts: count },
            RestartDecision::GiveUp => {
                fail(agent, state, "its session ended too often".to_owned(), after)
            }
        }
    }

    /// Notes in the core what an agent's failure means for the run.
    fn note_fate(&self, agent: &Agent, fate: &AgentFate) {
        let AgentFate::Failed { error } = fate else { return };
        let agent_id = agent.entry.id;
        let mut core = self.lock();
        core.timers.retain(|(_, of)| *of != agent.index);
        core.failed.push((agent_id, error.clone()));
        drop(core);
        self.inner.registry.note_failed(agent_id);
        if self.options.failure_policy == FailurePolicy::StopOnFirst {
            self.stop_for(StopReason::AgentError { agent_id, error: error.clone() });
        }
    }

    /// Stops handing messages to an agent that was retired, and answers what waited between its
    /// attempts or above a limit.
    pub(crate) fn forget_agent(&self, agent_id: AgentId) -> Vec<Delivery> {
        let Some(index) = self.met().index.get(&agent_id).copied() else { return Vec::new() };
        let Some(agent) = self.agents.get(index) else { return Vec::new() };
        let mut core = self.lock();
        core.timers.retain(|(_, of)| *of != index);
        core.failed.retain(|(failed, _)| *failed != agent_id);
        drop(core);
        let mut state = agent.lock();
        state.stage = Stage::Retired;
        let mut left: Vec<_> = state.parked.drain(..).map(|parked| parked.delivery).collect();
        left.append(&mut state.capped);
        let _nothing_is_taken_any_more = state.release(agent, self.now());
        drop(state);
        // Nothing may be left to do now, and only a worker notices.
        self.pool.attachment.wake();
        left
    }
}

fn fail(agent: &Agent, state: &mut AgentState, error: String, after: &mut After) -> AgentFate {
    if state.stage != Stage::Active {
        return AgentFate::GoesOn;
    }
    state.stage = Stage::Failed;
    agent.entry.set_status(&AgentStatus::Failed { reason: error.clone() });
    // What waits between attempts of a failed agent waits in its mailbox.
    after.rest().put_back.extend(state.parked.drain(..).map(|parked| parked.delivery));
    AgentFate::Failed { error }
}
