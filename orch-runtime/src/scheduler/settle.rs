//! Ends attempts: where their messages go, and what becomes of their agents.

use orch_bus::Delivery;
use orch_core::{AgentId, AgentStatus, DeliveryEvent, DeliveryState, StopReason, Timestamp};
use orch_policy::RestartDecision;

use super::{Core, Phase};
use crate::agent_state::{Parked, Stage};
use crate::options::FailurePolicy;
use crate::run::Run;
use crate::slot::Slot;
use crate::verdict::{AgentFails, Verdict};

/// An attempt that ended, and what was decided about it.
#[derive(Debug)]
pub(crate) struct Settling {
    pub(crate) index: usize,
    pub(crate) delivery: Delivery,
    pub(crate) state: DeliveryState,
    pub(crate) round: u64,
    pub(crate) verdict: Verdict,
    /// Whether its session ended by itself although nothing failed.
    pub(crate) session_ended: bool,
    pub(crate) slot: Option<Slot>,
}

/// What settling an attempt changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) fate: AgentFate,
    /// Whether the agent has become idle.
    pub(crate) is_idle: bool,
}

/// What settling an attempt meant for its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentFate {
    GoesOn,
    Restarted { restarts: u32 },
    Failed { error: String },
}

impl Run {
    /// Ends an attempt: the message goes where the verdict says, the slot is free, the agent may
    /// take its next message.
    pub(crate) fn settle(&self, settling: Settling) -> Settled {
        let now = self.clock.now();
        let Settling { index: i, delivery, state, round, verdict, session_ended, slot } = settling;
        // What goes for good goes before the lock, and what comes back before the agent is free.
        let kept = match verdict {
            Verdict::Ack | Verdict::GiveUp { .. } => {
                delivery.settle();
                None
            }
            Verdict::PutBack => {
                delivery.put_back();
                None
            }
            Verdict::Retry { .. } => Some(delivery),
        };
        let mut core = self.lock();
        if let Some(slot) = slot {
            slot.forget();
            core.running -= 1;
        }
        self.leave(&mut core, i);
        let legal = "an attempt that runs may end in any way";
        let fate = match verdict {
            Verdict::Ack => {
                state.apply(DeliveryEvent::Ack).expect(legal);
                if session_ended {
                    self.supervise_restart(&mut core, i, now)
                } else {
                    AgentFate::GoesOn
                }
            }
            Verdict::PutBack => {
                state.apply(DeliveryEvent::PutBack).expect(legal);
                AgentFate::GoesOn
            }
            Verdict::Retry { at, .. } => {
                let state = state.apply(DeliveryEvent::Nack { retry_at: at }).expect(legal);
                let delivery = kept.expect("kept above for another attempt");
                let parked = Parked { delivery, state, due: at, round };
                self.park(&mut core, i, parked);
                AgentFate::GoesOn
            }
            Verdict::GiveUp { error, agent_fails, reason } => {
                state.apply(DeliveryEvent::GiveUp).expect(legal);
                let error = error.unwrap_or_else(|| reason.to_string());
                self.supervise_failure(&mut core, i, agent_fails, error, now)
            }
        };
        // After the end nobody schedules here any more, and a mailbox is left as it was put away.
        if !matches!(core.phase, Phase::Ended(_)) {
            core.refresh(i, now);
            self.end_at_rest(&mut core);
        }
        let state = &core.agents[i];
        let rests = state.in_flight == 0 && state.stage != Stage::Failed;
        let is_idle = rests && state.agent.entry.set_status(&AgentStatus::Idle);
        let after = std::mem::take(&mut core.after);
        drop(core);
        self.after_the_lock(after);
        Settled { fate, is_idle }
    }

    /// Keeps a message until its backoff is over. If its agent takes nothing any more, or the run has
    /// ended, nobody would ever look at it here: it goes back.
    fn park(&self, core: &mut Core, i: usize, parked: Parked) {
        let has_ended = matches!(core.phase, Phase::Ended(_));
        if has_ended || core.agents[i].stage != Stage::Active {
            core.after.put_back.push(parked.delivery);
            return;
        }
        core.timers.insert((parked.due, i));
        core.agents[i].parked.push(parked);
        // The driver sleeps until the first timer.
        self.signal.notify_one();
    }

    fn leave(&self, core: &mut Core, i: usize) {
        core.in_flight -= 1;
        core.agents[i].in_flight -= 1;
        self.count_in_flight(core.in_flight);
    }

    /// Counts an attempt out that was dropped before it was settled, and fails its agent: the
    /// message went back, and would do the same again.
    pub(crate) fn abandon(&self, i: usize) -> AgentFate {
        let mut core = self.lock();
        self.leave(&mut core, i);
        let mut fate = AgentFate::GoesOn;
        if !matches!(core.phase, Phase::Ended(_)) {
            fate = self.fail(&mut core, i, "an attempt of it was abandoned".to_owned());
            core.refresh(i, self.clock.now());
            self.end_at_rest(&mut core);
        }
        let after = std::mem::take(&mut core.after);
        drop(core);
        self.after_the_lock(after);
        fate
    }

    fn supervise_failure(
        &self,
        core: &mut Core,
        i: usize,
        agent_fails: AgentFails,
        error: String,
        now: Timestamp,
    ) -> AgentFate {
        use orch_core::RestartPolicy;
        match (agent_fails, core.agents[i].agent.entry.config.restart) {
            (AgentFails::No, _) => AgentFate::GoesOn,
            (AgentFails::ForGood, _) | (AgentFails::BySupervisor, RestartPolicy::Never) => {
                self.fail(core, i, error)
            }
            (AgentFails::BySupervisor, _) => match core.agents[i].restarts.on_failure(now) {
                RestartDecision::Restart { count } => AgentFate::Restarted { restarts: count },
                RestartDecision::GiveUp => {
                    let allowed = self.options.intensity;
                    let (n, window) = (allowed.restarts_max, allowed.window.as_secs());
                    let error = format!("{error} (after {n} restarts within {window} s)");
                    self.fail(core, i, error)
                }
            },
        }
    }

    /// A session ended by itself and its agent is to be restarted all the same.
    fn supervise_restart(&self, core: &mut Core, i: usize, now: Timestamp) -> AgentFate {
        match core.agents[i].restarts.on_failure(now) {
            RestartDecision::Restart { count } => AgentFate::Restarted { restarts: count },
            RestartDecision::GiveUp => self.fail(core, i, "its session ended too often".to_owned()),
        }
    }

    fn fail(&self, core: &mut Core, i: usize, error: String) -> AgentFate {
        let state = &mut core.agents[i];
        if state.stage != Stage::Active {
            return AgentFate::GoesOn;
        }
        state.stage = Stage::Failed;
        let agent_id = state.agent.entry.id;
        state.agent.entry.set_status(&AgentStatus::Failed { reason: error.clone() });
        // What waits between attempts of a failed agent waits in its mailbox.
        core.after.put_back.extend(state.parked.drain(..).map(|parked| parked.delivery));
        core.timers.retain(|(_, of)| *of != i);
        core.failed.push((agent_id, error.clone()));
        self.inner.registry.note_failed(agent_id);
        if self.options.failure_policy == FailurePolicy::StopOnFirst {
            self.drain(core, StopReason::AgentError { agent_id, error: error.clone() });
        }
        AgentFate::Failed { error }
    }

    /// Stops handing messages to an agent that was retired, and answers what waited between its
    /// attempts or above a limit.
    pub(crate) fn forget_agent(&self, agent: AgentId) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut core = self.lock();
        let Some(&i) = core.index.get(&agent) else { return Vec::new() };
        core.agents[i].stage = Stage::Retired;
        core.timers.retain(|(_, of)| *of != i);
        core.failed.retain(|(failed, _)| *failed != agent);
        let state = &mut core.agents[i];
        let mut left: Vec<_> = state.parked.drain(..).map(|parked| parked.delivery).collect();
        left.append(&mut state.capped);
        core.refresh(i, now);
        drop(core);
        // Nothing may be left to do now, and only a worker notices.
        self.wake_a_worker();
        left
    }
}
