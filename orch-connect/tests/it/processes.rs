//! What several tests of programs use.

use std::path::Path;
use std::time::Duration;

use orch_connect::{
    ConnectError, Connector, Containment, KeeperCommand, Subprocess, SubprocessSession,
};
use orch_core::{AgentConfig, AgentId, Content, Outcome};
use serde_json::Value;

use crate::support::{LIMIT, close, config, open, turn};

/// The keeper that was built for these tests.
pub(crate) fn kept() -> Containment {
    Containment::Keeper(KeeperCommand::new(env!("CARGO_BIN_EXE_orch-keeper")))
}

/// An agent with these settings, a JSON object.
pub(crate) fn with(settings: Value) -> AgentConfig {
    let mut config = config("subprocess");
    config.settings = settings.as_object().expect("settings are an object").clone();
    config
}

/// A file of this crate.
pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.to_str().expect("the path of the sources is a text").to_owned()
}

pub(crate) async fn open_program(settings: Value) -> SubprocessSession {
    open(&Subprocess::new(kept()), with(settings)).await
}

/// Runs a program in mode `once` for one message.
pub(crate) async fn run_once(settings: Value, content: impl Into<Content>) -> Outcome {
    let mut session = open_program(settings).await;
    let outcome = turn(&mut session, content).await;
    close(session).await;
    outcome
}

pub(crate) fn refusal(config: &AgentConfig) -> ConnectError {
    Subprocess::new(kept()).check(config).expect_err("the configuration is refused")
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    const ROUNDS: u32 = 6_000;
    for _ in 0..ROUNDS {
        if holds() {
            return;
        }
        std::thread::sleep(LIMIT / ROUNDS);
    }
    panic!("{what}: not within {LIMIT:?}");
}

/// As [`wait_until`], where other tasks of the same thread have to go on.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "{what}: not within {LIMIT:?}");
}

/// A mark that no other process has: in the environment of a program, and of all that it starts.
pub(crate) fn mark() -> String {
    format!("mark-{}", AgentId::new().as_uuid())
}

/// The processes that have the mark in their environment. A zombie has none any more.
pub(crate) fn marked(mark: &str) -> Vec<i32> {
    let has_mark = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|it| it == mark.as_bytes())
    };
    pids().filter(has_mark).collect()
}

/// Checks that no process has the mark.
#[track_caller]
pub(crate) fn nothing_left(mark: &str) {
    let left = marked(mark);
    assert!(left.is_empty(), "{left:?} are left");
}

/// The zombies among our children.
pub(crate) fn zombies() -> Vec<i32> {
    let own = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        words.next() == Some("Z") && words.next() == Some(&own)
    };
    pids().filter(is_ours).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
