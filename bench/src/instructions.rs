//! Fixed work on one thread, for callgrind to count its instructions.
//!
//! `orch-instructions NAME N` does N messages of a workload, `--list` names the workloads. Run with
//! N and with 2 N, the difference is the price of N messages: set-up cancels out.

use std::process::ExitCode;

use orch_bus::MessageBus;
use orch_core::{AgentId, AgentMessage, MessagePriority};
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
