//! Fixed work on one thread, for callgrind to count its instructions.
//!
//! `orch-instructions NAME N` does N messages of a workload, `--list` names the workloads. Run with
//! N and with 2 N, the difference is the price of N messages: set-up cancels out.

use std::process::ExitCode;
use std::sync::Arc;

use orch_bus::MessageBus;
use orch_core::{AgentId, AgentMessage, ChainId, MessagePriority, Timestamp};
use orch_policy::budget::{AccountName, Amounts, Ledger, Limits, OwnLimits, Payer, Unit};
use orch_policy::chain::{Chains, ProgressLimits};
use orch_policy::waits::{Party, WaitGraph};
use tokio::runtime::Runtime;

use crate::clock::stop_for_mint;
use crate::contenders::Bare;
use crate::contenders::{Whole, unlimited};
use crate::role::{Address, content};
use crate::system::System;
use crate::workload::{MIX, bursts, go_round};

/// If this is set, each message costs some forty instructions more: a control that whoever counts
/// must find.
const PLANTED: &str = "ORCH_BENCH_PLANTED";

type Workload = fn(usize);

const WORKLOADS: &[(&str, Workload)] = &[
    ("mailbox-one-priority", |messages| through_mailbox(messages, |_| MessagePriority::Normal)),
    ("mailbox-mixed", |messages| through_mailbox(messages, |i| MIX[i % MIX.len()])),
    ("bus-send-by-id", through_bus),
    ("guard-chain-message", through_chain),
    ("guard-spend", through_ledger),
    ("guard-ask", through_waits),
    ("scheduler-ping", |messages| ping(messages, &Bare::on(one_thread()))),
    ("scheduler-1000-agents", |messages| flood(messages, &Bare::on(one_thread()))),
    ("orchestrator-ping", |messages| ping(messages, &Whole::on(one_thread()))),
    ("orchestrator-1000-agents", |messages| flood(messages, &Whole::on(one_thread()))),
];

/// The whole program.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--list"] => {
            WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
            ExitCode::SUCCESS
        }
        [name, messages] => run(name, messages),
        _ => complain("say --list, or a workload and how many messages"),
    }
}

fn run(name: &str, messages: &str) -> ExitCode {
    let workload = WORKLOADS.iter().find(|(it, _)| *it == name);
    let (Some((_, workload)), Ok(messages)) = (workload, messages.parse()) else {
        return complain(&format!("there is no workload `{name}`, or `{messages}` is no number"));
    };
    stop_for_mint();
    workload(messages);
    if std::env::var_os(PLANTED).is_some() {
        (0..messages).for_each(|_| plant());
    }
    ExitCode::SUCCESS
}

fn complain(words: &str) -> ExitCode {
    eprintln!("{words}");
    ExitCode::FAILURE
}

fn plant() {
    (0..40).for_each(|i| {
        std::hint::black_box(i);
    });
}

/// Messages that wait at once.
const BATCH: usize = 64;

fn through_mailbox(messages: usize, priority: impl Fn(usize) -> MessagePriority) {
    let bus = MessageBus::with_limits(unlimited());
    let mailbox = bus.open_mailbox(AgentId::new());
    let (content, to) = (content(), mailbox.agent());
    for batch in 0..messages / BATCH {
        for i in batch * BATCH..(batch + 1) * BATCH {
            let message = AgentMessage::new(AgentId::OUTSIDE, to, content.clone());
            Address::send(&mailbox, message.with_priority(priority(i)));
        }
        while let Some(delivery) = mailbox.try_checkout() {
            drop(delivery.settle());
        }
    }
}

fn through_bus(messages: usize) {
    const AGENTS: usize = 1_000;
    let bus = MessageBus::with_limits(unlimited());
    let mailboxes: Vec<_> = (0..AGENTS).map(|_| bus.open_mailbox(AgentId::new())).collect();
    let content = content();
    for mailbox in mailboxes.iter().cycle().take(messages) {
        let message = AgentMessage::new(AgentId::OUTSIDE, mailbox.agent(), content.clone());
        bus.try_send(message).expect("a mailbox without a limit is never full");
        drop(mailbox.try_recv());
    }
}

/// What the guards do to a message of a chain that has budgets: two agents that go on and on, and what
/// they say changes each time, or they would be stopped.
fn through_chain(messages: usize) {
    let limits = Limits::none().with(Unit::Messages, u64::MAX - 1).with(Unit::Hops, u64::MAX - 1);
    let chains = Chains::new(Arc::new(Ledger::new()), limits, ProgressLimits::OFF);
    let (agents, now) = ([AgentId::new(), AgentId::new()], Timestamp::default());
    let texts = [(); BATCH].map(|()| AgentId::new().to_string());
    let first = chains.begin(ChainId::new(), agents[0], "go", now);
    let mut member = first.expect("nothing is spent yet").member;
    for i in 1..=messages {
        let sent = chains.send(&member, agents[i % 2], &texts[i * i % BATCH]);
        let next = sent.expect("the limits are far away").member;
        member.settle();
        member = next;
    }
}

/// What a call of a model costs us: five accounts are charged at once, and settled.
fn through_ledger(messages: usize) {
    let (ledger, now) = (Ledger::new(), Timestamp::default());
    let limits = Limits::none().with(Unit::Tokens, u64::MAX - 1).with(Unit::MicroUsd, u64::MAX - 1);
    let own = || OwnLimits { agent: limits, subtree: limits };
    let parent = Payer::run(&ledger, limits, now).child(&ledger, AgentId::new(), own(), now);
    let child = parent.child(&ledger, AgentId::new(), own(), now);
    let chain = ledger.open(AccountName::Chain(ChainId::new()), limits, now);
    let worst = Amounts::of(Unit::Tokens, 1_000).with(Unit::MicroUsd, 3_000);
    let actual = Amounts::of(Unit::Tokens, 10).with(Unit::MicroUsd, 30);
    let purse = child.purse(Some(&chain));
    for _ in 0..messages {
        let reservation = purse.reserve(now, worst).expect("the limits are far away");
        assert!(reservation.settle(&actual).overruns.is_empty());
    }
}

/// What an ask adds: eight agents wait for each other in a row.
fn through_waits(messages: usize) {
    let agents = [(); 8].map(|()| Party::Agent(AgentId::new()));
    let mut graph = WaitGraph::new();
    for pair in agents[1..].windows(2) {
        let _ = graph.begin(pair[0], [pair[1]]).expect("it is a row");
    }
    for _ in 0..messages {
        let wait = graph.begin(agents[0], [agents[1]]).expect("it is a row");
        assert!(graph.end(wait).is_none());
    }
}

fn ping<S: System>(messages: usize, system: &S) {
    system.block_on(go_round(system, 2, messages));
}

fn flood<S: System>(messages: usize, system: &S) {
    system.block_on(bursts(system, 1_000, messages));
}

fn one_thread() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime can be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workload_ends() {
        stop_for_mint();
        WORKLOADS.iter().for_each(|(_, workload)| workload(20_000));
    }
}
