//! Limits on programs in a team file: refused where nothing holds them, shown, and stopping a storm.
#![cfg(target_os = "linux")]

use serde_json::Value;

use crate::support::{Ran, Team, processes_with};

/// A fork bomb with a fuse; see there.
const BOMB: &[u8] = include_bytes!("../../../orch-connect/tests/agents/fork_bomb.py");

fn team(command: &str, limits: &str) -> Team {
    Team::new(&format!(
        "[agents.a]\ncommand = {command}\nlimits = {limits}\nretries = 3\n[flow]\npipe = [\"a\"]\n"
    ))
}

/// Without the groups of whoever runs the tests.
fn ran(team: &Team, subcommand: &str, args: &[&str]) -> Ran {
    Ran::from(team.command(subcommand, args).env_remove("ORCH_CGROUP").output().unwrap())
}

#[test]
fn a_limit_that_nothing_holds_is_refused_with_the_way_out() {
    let team = team("[\"cat\"]", "{ memory = \"512 MiB\" }");
    let said = ["agent `a`", "`limits.memory` cannot be held", "enforce = \"watch\""];
    ran(&team, "run", &["-i", "x"]).ended(2, &said);
    ran(&team, "check", &[]).ended(2, &said);
}

#[test]
fn a_wrong_limit_is_named() {
    let team = team("[\"cat\"]", "{ memory = \"512 MB\" }");
    ran(&team, "check", &[]).ended(2, &["`limits.memory`: is \"512 MB\"", "KiB, MiB, GiB"]);
}

#[test]
fn check_says_what_is_measured_and_what_is_held() {
    let team = team("[\"cat\"]", "{ cpu = \"30s\", enforce = \"watch\" }");
    let said =
        ["limits.cpu: CPU time is measured by looks at /proc; limits on it can only be watched"];
    ran(&team, "check", &[]).ended(0, &said);
}

#[test]
fn a_folder_that_is_no_control_group_is_told() {
    let team = team("[\"cat\"]", "{ processes = 9 }");
    let mut command = team.command("check", &[]);
    command.env("ORCH_CGROUP", team.path());
    Ran::from(command.output().unwrap()).ended(2, &["is no folder of a control group"]);
}

#[test]
fn json_shows_what_each_attempt_used() {
    let team = Team::new(
        "[agents.a]\ncommand = [\"sh\", \"-c\", \"test -e again && echo done || { touch again; exit 1; }\"]\n\
         settings = { cwd = \".\" }\n[flow]\npipe = [\"a\"]\n",
    );
    let ran = ran(&team, "run", &["--json", "-i", "x"]);
    ran.ended(0, &[]);
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let used: Vec<Value> = events.filter(|event| event["event"] == "resources_used").collect();
    let attempts: Vec<u64> = used.iter().map(|event| event["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2]);
    assert!(used.iter().all(|event| event["resources"]["processes"].as_u64() >= Some(1)));
    assert!(used.iter().all(|event| event["resources"]["memory_bytes"].is_u64()));
    assert!(used.iter().all(|event| event["resources"]["measured_by"]["cpu"] == "proc"));
}

#[test]
fn a_fork_bomb_ends_with_its_limit_named_and_leaves_nothing() {
    let team = team(
        "[\"python3\", \"bomb.py\", \"300\", \"orch-test-fork-bomb\"]",
        "{ processes = 16, enforce = \"watch\" }",
    );
    team.file("bomb.py", BOMB);
    let ran = ran(&team, "run", &["-i", "x"]);
    // Once: what would reach its limit again is not tried again.
    ran.ended(6, &["it took", "more than 16 processes and threads (limits.processes)"]);
    assert_eq!(ran.stderr.matches("a  was stopped: it took").count(), 1, "{ran:#?}");
    assert_eq!(processes_with("orch-test-fork-bomb"), [] as [u32; 0]);
}
