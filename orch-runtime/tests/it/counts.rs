//! Guards' counts over crashes: a limit is not passed by all processes together.

use std::collections::HashSet;
use std::sync::Arc;

use orch_journal::{Entry, Record};
use orch_runtime::*;

use crate::disk::{Disk, at_each_kill, mortal, process, run_until_killed};
use crate::support::{Log, config, outside};

const LIMIT: u32 = 4;

/// Two agents that answer each other for ever.
async fn plays(journal: Journal, _: Arc<()>) -> bool {
    let returns = function(|ctx: Context| async move {
        let to = ctx.find(if ctx.content() == "ping" { "b" } else { "a" }).expect("it is there");
        let ball = if ctx.content() == "ping" { "pong" } else { "ping" };
        ctx.send(to, ball).await.map(|_| ()).map_err(Failure::from)
    });
    let limit = LoopGuard { max_iterations: LIMIT, ..LoopGuard::unlimited() };
    let with = |it: Orchestrator| it.with_loop_guard(limit).with_connector("returns", returns);
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    for name in ["a", "b"] {
        if orchestrator.spawn(config(name, "returns").with_max_retries(99)).await.is_err() {
            return false;
        }
    }
    let a = orchestrator.registry().find("a").expect("it was spawned");
    let serve = outside(a, "ping").with_id(MessageId::from_uuid(a.as_uuid()));
    if orchestrator.send(serve).await.is_err() {
        return false;
    }
    match run_until_killed(&orchestrator).await {
        Some(reason) => {
            assert_eq!(reason, StopReason::MaxIterations);
            true
        }
        None => false,
    }
}

/// The rounds that were handed out, each message once.
fn rounds(events: &[Entry]) -> Vec<u64> {
    let mut seen = HashSet::new();
    let rounds = events.iter().filter_map(|it| match it.record {
        Record::AttemptStarted { message, round, .. } if seen.insert(message) => Some(round),
        _ => None,
    });
    rounds.collect()
}

#[test]
fn the_longest_chain_is_as_long_as_allowed_whenever_its_process_is_killed() {
    at_each_kill(plays, |disk, (): &(), when| {
        assert_eq!(rounds(&disk.events()), [1, 2, 3, 4], "{when}");
    });
}

/// After an end that was recorded, the next run counts anew.
#[test]
fn a_run_that_follows_one_that_ended_counts_anew() {
    let disk = Disk::default();
    for _ in 0..2 {
        assert!(process(&disk, None, |journal| plays(journal, Arc::default())).0);
    }
    assert_eq!(rounds(&disk.events()), [1, 2, 3, 4, 1, 2, 3, 4]);
}

/// More messages than one agent may handle.
async fn handles(journal: Journal, log: Arc<Log>) -> bool {
    let limit = LoopGuard { max_messages_per_agent: LIMIT, ..LoopGuard::unlimited() };
    let with = |it: Orchestrator| it.with_loop_guard(limit).with_connector("log", log.connector());
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    let config = config("a", "log").with_max_retries(99);
    let Ok(a) = orchestrator.spawn(config).await else { return false };
    for n in 0..LIMIT + 2 {
        let id = MessageId::from_uuid(a.as_uuid()).of_step(n);
        if orchestrator.send(outside(a, &n.to_string()).with_id(id)).await.is_err() {
            return false;
        }
    }
    match run_until_killed(&orchestrator).await {
        Some(StopReason::MaxMessagesPerAgent { count, .. }) => {
            assert_eq!(count, LIMIT);
            true
        }
        None => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_gets_as_many_messages_as_allowed_whenever_its_process_is_killed() {
    at_each_kill(handles, |disk, _: &Log, when| {
        // The run that a guard stopped may have been killed while it recorded its end; the next one
        // then goes on with its counts, and hands out nothing.
        let handed_out = rounds(&disk.events()).len();
        assert_eq!(handed_out, LIMIT as usize, "{when}");
    });
}
