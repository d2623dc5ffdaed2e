//! What a simulation will do, drawn from its seed before anything runs.

use std::time::Duration;

use orch_core::{AgentConfig, AgentRole, LoopGuard, MessagePriority, RestartPolicy};
use orch_runtime::{FailurePolicy, RestartIntensity, RetryPolicy, SpawnLimits, StopLimits};

use crate::history::Terms;
use crate::random::Random;

/// A team, its terms, and what the outside does to it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) terms: Terms,
    pub(crate) intensity: RestartIntensity,
    pub(crate) spawn_limits: SpawnLimits,
    pub(crate) cut_ms: u64,
    pub(crate) lane_capacity: u32,
    pub(crate) send_wait_ms: u64,
    pub(crate) agents: Vec<AgentConfig>,
    /// Sent before the first start.
    pub(crate) at_first: Vec<Outside>,
    /// What happens later, at these milliseconds.
    pub(crate) later: Vec<(u64, Outside)>,
    pub(crate) runs_max: u32,
}

/// Something that is done from outside. Agents are named by their number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outside {
    Send {
        to: u64,
        priority: MessagePriority,
        fuel: u64,
        deadline_ms: Option<u64>,
        waits: bool,
    },
    Broadcast {
        priority: MessagePriority,
        fuel: u64,
    },
    Ask {
        to: u64,
        priority: MessagePriority,
        fuel: u64,
        wait_ms: u64,
    },
    Stop,
    StopNow,
    DropStart,
    Resend {
        letter: u64,
    },
    DropLetter {
        letter: u64,
    },
    Spawn,
    /// Registers an agent whose connector does not exist.
    RegisterBroken,
    Retire {
        agent: u64,
    },
    /// Unregisters an agent, whose mailbox stays.
    Unregister {
        agent: u64,
    },
}

/// The longest that a session takes to open or to close.
pub(crate) const SESSION_MS_MAX: u64 = 20;
/// The connector of the simulation.
pub(crate) const CONNECTOR: &str = "simulated";
/// A connector that does not exist.
pub(crate) const NO_CONNECTOR: &str = "missing";
/// The topic that some agents subscribe to.
pub(crate) const TOPIC: &str = "news";

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(&[seed, 1]);
        let n_agents = random.between(1, 12);
        let agents = (0..n_agents).map(|i| agent(&format!("a{i}"), &mut random)).collect();
        let n_first = random.between(0, 24);
        let n_later = random.between(0, 16);
        let at_first = (0..n_first).map(|_| message(&mut random)).collect();
        let horizon = random.weighted(&[(2, 300), (2, 2_000), (1, 20_000)]);
        let mut later: Vec<(u64, Outside)> =
            (0..n_later).map(|_| (random.between(0, horizon), outside(&mut random))).collect();
        later.sort_by_key(|(at, _)| *at);
        let max_concurrency = random.between(1, 8);
        Self {
            seed,
            terms: terms(max_concurrency, &mut random),
            intensity: RestartIntensity::new(
                u32::try_from(random.between(0, 3)).unwrap_or(0),
                Duration::from_secs(random.between(1, 60)),
            ),
            spawn_limits: SpawnLimits::new(2, 4),
            cut_ms: 1_000,
            lane_capacity: random.weighted(&[(1, 1), (2, 2), (2, 5), (3, 65_536)]),
            send_wait_ms: random.weighted(&[(1, 10), (2, 500), (1, 3_000)]),
            agents,
            at_first,
            later,
            runs_max: 8,
        }
    }

    pub(crate) fn retry(&self) -> RetryPolicy {
        RetryPolicy::default()
            .with_base(Duration::from_millis(self.terms.backoff_base_ms))
            .with_cap(Duration::from_millis(self.terms.backoff_cap_ms))
    }

    pub(crate) fn stop_limits(&self) -> StopLimits {
        let grace = Duration::from_millis(self.terms.grace_ms);
        StopLimits::new(grace, Duration::from_millis(self.cut_ms))
    }
}

fn terms(max_concurrency: u64, random: &mut Random) -> Terms {
    let guard = LoopGuard {
        max_iterations: random.weighted(&[(5, u32::MAX), (1, 1), (1, 3), (1, 10)]),
        max_messages_per_agent: random.weighted(&[(5, u32::MAX), (1, 1), (1, 4), (1, 15)]),
        max_execution_time_ms: random.weighted(&[(5, u64::MAX), (1, 30), (1, 400), (1, 5_000)]),
    };
    Terms {
        guard,
        max_concurrency: usize::try_from(max_concurrency).unwrap_or(1),
        failure_policy: random
            .weighted(&[(4, FailurePolicy::Continue), (1, FailurePolicy::StopOnFirst)]),
        backoff_base_ms: random.weighted(&[(1, 1), (2, 20), (2, 100)]),
        backoff_cap_ms: random.weighted(&[(1, 50), (2, 30_000)]),
        grace_ms: random.weighted(&[(1, 0), (2, 40), (1, 5_000)]),
        session_ms_max: SESSION_MS_MAX,
        has_router: random.chance(25),
    }
}

/// An agent that is called `name`.
pub(crate) fn agent(name: &str, random: &mut Random) -> AgentConfig {
    let restart = random.weighted(&[
        (2, RestartPolicy::Never),
        (2, RestartPolicy::OnFailure),
        (1, RestartPolicy::Always),
    ]);
    let timeout_ms = random.weighted(&[(3, 200), (3, 2_000), (2, u64::MAX)]);
    let small = |random: &mut Random, most| u32::try_from(random.between(0, most)).unwrap_or(0);
    AgentConfig::new(name.to_owned(), AgentRole::Worker, CONNECTOR.to_owned())
        .with_concurrency(random.weighted(&[(3, 1), (1, 2), (1, 3)]))
        .with_max_retries(small(random, 4))
        .with_timeout_ms(timeout_ms)
        .with_restart(restart)
        .with_send_priority(random.priority())
        // How unwell its sessions are: in percent.
        .with_setting("open_fails", random.weighted(&[(4, 0_u64), (1, 10)]))
        .with_setting("open_fails_for_good", random.weighted(&[(9, 0_u64), (1, 3)]))
        .with_setting("ends_by_itself", random.weighted(&[(3, 0_u64), (1, 30)]))
        .with_setting("listens", random.chance(50))
        // Whether its handlers drop calls to their context before these have returned.
        .with_setting("impatient", random.chance(30))
}

fn message(random: &mut Random) -> Outside {
    Outside::Send {
        to: random.bits(),
        priority: random.priority(),
        fuel: random.between(0, 4),
        deadline_ms: random.chance(10).then(|| random.between(1, 3_000)),
        waits: random.chance(50),
    }
}

fn outside(random: &mut Random) -> Outside {
    let (priority, fuel) = (random.priority(), random.between(0, 4));
    let which = random.bits();
    let some = message(random);
    let wait_ms = random.between(1, 3_000);
    random.weighted(&[
        (16, some),
        (2, Outside::Broadcast { priority, fuel }),
        (4, Outside::Ask { to: which, priority, fuel, wait_ms }),
        (2, Outside::Stop),
        (2, Outside::StopNow),
        (2, Outside::DropStart),
        (4, Outside::Resend { letter: which }),
        (1, Outside::DropLetter { letter: which }),
        (2, Outside::Spawn),
        (1, Outside::RegisterBroken),
        (2, Outside::Retire { agent: which }),
        (1, Outside::Unregister { agent: which }),
    ])
}
