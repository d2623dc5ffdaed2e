//! What orch is held against: channels, and frameworks for agents that others call actors.
//!
//! Each is set up as its documentation shows, with the least features, an unbounded mailbox and two
//! worker threads; messages that only some wrap are wrapped without a cost.

mod actix_agents;
mod channels;
mod coerce_agents;
mod kameo_agents;
mod lanes;
mod ractor_agents;
mod xtra_agents;

use super::{Contender, agents, backlog, channel, hot};
use crate::scenario::{Sample, Scenario};
use Scenario::{Broadcast, Critical, Growth, Idle, Many, Mixed, One, Ping, Ring, Sleep, Spawn};

/// For whom has agents, but no priorities.
const AGENT_ROWS: &[Scenario] = &[One, Many, Ping, Ring, Broadcast, Spawn, Idle, Sleep, Growth];

pub(super) const ALL: &[Contender] = &[
    framework("tokio", "a task and an unbounded mpsc for each agent", {
        agents::<crate::channel::Tasks<channels::Tokio>>
    }),
    framework("actix", "one System on one thread, as its users run it", {
        agents::<actix_agents::OneThread>
    }),
    Contender {
        name: "actix-2",
        about: "actix with two arbiters, each on its thread; agents are dealt out to them",
        is_ours: false,
        rows: &[Many, Broadcast],
        run: agents::<actix_agents::TwoArbiters>,
    },
    framework("ractor", "a tokio task for each agent", agents::<ractor_agents::Ractor>),
    framework("kameo", "a tokio task for each agent, unbounded mailboxes", {
        agents::<kameo_agents::Kameo>
    }),
    framework("xtra", "a tokio task for each agent", agents::<xtra_agents::Xtra>),
    Contender {
        name: "xtra-priority",
        about: "xtra, sending with priorities (which are not strict)",
        is_ours: false,
        rows: &[Mixed],
        run: hot::<xtra_agents::WithPriorities>,
    },
    framework("coerce", "a tokio task for each agent", agents::<coerce_agents::Coerce>),
    hot_channel("crossbeam-channel", "a thread that receives", hot::<lanes::CrossbeamThread>),
    hot_channel("flume", "a tokio task that awaits it", channel::<channels::Flume>),
    hot_channel("kanal", "a tokio task that awaits it", channel::<channels::Kanal>),
    hot_channel("async-channel", "a tokio task that awaits it", channel::<channels::AsyncChannels>),
    hot_channel("crossfire", "a tokio task that awaits it", channel::<channels::Crossfire>),
    Contender {
        name: "async-priority-channel",
        about: "a tokio task that awaits it; a heap, so not FIFO within a priority",
        is_ours: false,
        rows: &[One, Mixed, Critical],
        run: channel::<channels::AsyncPriority>,
    },
    Contender {
        name: "tokio-x4",
        about: "four tokio mpsc, one for each priority, a task that awaits them",
        is_ours: false,
        rows: &[Mixed, Critical],
        run: channel::<lanes::TokioLanes>,
    },
    Contender {
        name: "crossbeam-x4",
        about: "four crossbeam channels, one for each priority, a thread that receives",
        is_ours: false,
        rows: &[Mixed, Critical],
        run: crossbeam_lanes,
    },
];

const fn framework(
    name: &'static str,
    about: &'static str,
    run: fn(Scenario) -> Option<Sample>,
) -> Contender {
    Contender { name, about, is_ours: false, rows: AGENT_ROWS, run }
}

const fn hot_channel(
    name: &'static str,
    about: &'static str,
    run: fn(Scenario) -> Option<Sample>,
) -> Contender {
    Contender { name, about, is_ours: false, rows: &[One], run }
}

fn crossbeam_lanes(scenario: Scenario) -> Option<Sample> {
    backlog::<lanes::CrossbeamLanes>(scenario).or_else(|| hot::<lanes::CrossbeamLanes>(scenario))
}
