//! Who is compared, and in which scenarios.

mod mailbox;
mod orch_bare;
mod orchestrator;
#[cfg(feature = "peers")]
mod peers;

pub(crate) use mailbox::unlimited;
pub(crate) use orch_bare::Bare;
pub(crate) use orchestrator::Whole;

use crate::channel::{AsyncChannel, Channel, Tasks};
use crate::scenario::{Sample, Scenario};
use crate::system::{Sleeps, System};
use crate::workload;

/// Somebody who is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) is_ours: bool,
    rows: &'static [Scenario],
    run: fn(Scenario) -> Option<Sample>,
}

impl Contender {
    pub(crate) fn can(&self, scenario: Scenario) -> bool {
        self.rows.contains(&scenario)
    }

    /// Runs one cell in this process. `None` if it cannot express the scenario.
    pub(crate) fn run(&self, scenario: Scenario) -> Option<Sample> {
        if self.can(scenario) { (self.run)(scenario) } else { None }
    }
}

pub(crate) fn find(name: &str) -> Option<Contender> {
    all().find(|it| it.name == name)
}

/// All of this build: ours first, in the order in which a table names those that others are held
/// against.
pub(crate) fn all() -> impl Iterator<Item = Contender> {
    #[cfg(feature = "peers")]
    let peers = peers::ALL;
    #[cfg(not(feature = "peers"))]
    let peers: &[Contender] = &[];
    OURS.iter().chain(peers).copied()
}

const OURS: &[Contender] = &[
    Contender {
        name: "orch",
        about: "the scheduler of orch-runtime, without an orchestrator around it",
        is_ours: true,
        rows: EVERY_AGENT_ROW,
        run: agents::<Bare>,
    },
    Contender {
        name: "orchestrator",
        about: "orch-runtime's Orchestrator, whole: registry, policy, guards, metrics, retries",
        is_ours: true,
        rows: EVERY_AGENT_ROW,
        run: agents::<Whole>,
    },
    Contender {
        name: "mailbox",
        about: "orch-bus's Mailbox alone, a tokio task that awaits it",
        is_ours: true,
        rows: &[Scenario::One, Scenario::Mixed, Scenario::Critical],
        run: channel::<mailbox::Alone>,
    },
];

/// For whom has agents, and priorities.
const EVERY_AGENT_ROW: &[Scenario] = &[
    Scenario::One,
    Scenario::Many,
    Scenario::Ping,
    Scenario::Ring,
    Scenario::Broadcast,
    Scenario::Spawn,
    Scenario::Mixed,
    Scenario::Idle,
    Scenario::Sleep,
    Scenario::Growth,
];

fn agents<S: Sleeps>(scenario: Scenario) -> Option<Sample> {
    match scenario {
        Scenario::One | Scenario::Mixed => hot::<S>(scenario),
        Scenario::Many => Some(workload::many::<S>()),
        Scenario::Ping => Some(workload::ping::<S>()),
        Scenario::Ring => Some(workload::ring::<S>()),
        Scenario::Broadcast => Some(workload::broadcast::<S>()),
        Scenario::Spawn => Some(workload::spawn::<S>()),
        Scenario::Idle => Some(workload::idle::<S>()),
        Scenario::Sleep => Some(workload::sleep::<S>()),
        Scenario::Growth => Some(workload::growth::<S>()),
        Scenario::Critical => None,
    }
}

fn hot<S: System>(scenario: Scenario) -> Option<Sample> {
    match scenario {
        Scenario::One => Some(workload::one::<S>()),
        Scenario::Mixed => Some(workload::mixed::<S>()),
        _ => None,
    }
}

fn channel<C: AsyncChannel>(scenario: Scenario) -> Option<Sample> {
    backlog::<C>(scenario).or_else(|| hot::<Tasks<C>>(scenario))
}

fn backlog<C: Channel>(scenario: Scenario) -> Option<Sample> {
    (scenario == Scenario::Critical).then(workload::critical::<C>)
}
