//! Nothing that a team started outlives its run: not by setsid, not by ignoring TERM, not when
//! `orch` itself is killed.
#![cfg(target_os = "linux")]

use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ran, Team, processes_with, wait_for, wait_until};

/// An agent whose child leaves the session and the group, ignores TERM, and never ends.
const STUBBORN: &str = r#"
[run]
grace = "300ms"
[agents.a]
command = ["sh", "-c", "trap '' TERM; setsid sh -c 'trap \"\" TERM; touch started; while :; do sleep 1; done' & wait"]
settings = { cwd = ".", grace_ms = 200, env = { MARK = "${mark}" } }
[set]
mark = "none"
[flow]
pipe = ["a"]
"#;

struct Stubborn {
    team: Team,
    mark: String,
    orch: Child,
}

/// Starts the team, and waits until the stubborn child runs.
fn start() -> Stubborn {
    let team = Team::new(STUBBORN);
    let mark = format!("orch-test-{}", team.path().file_name().unwrap().to_string_lossy());
    let set = format!("mark={mark}");
    let mut command = team.command("run", &["-i", "x", "--set", &set]);
    let orch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = team.path().join("started");
    wait_until("the child has started", || started.exists());
    assert!(processes_with(&format!("MARK={mark}")).len() >= 2, "the test sees what it looks for");
    Stubborn { team, mark, orch }
}

impl Stubborn {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.orch);
        kill_process(pid, signal).unwrap();
    }

    /// Ends, and leaves nothing of it behind.
    fn ended(self) -> Ran {
        let ran = wait_for(self.orch);
        let mark = format!("MARK={}", self.mark);
        wait_until("nothing is left", || processes_with(&mark).is_empty());
        drop(self.team);
        ran
    }
}

#[test]
fn ctrl_c_stops_gracefully_with_code_130() {
    let stubborn = start();
    stubborn.signal(Signal::INT);
    stubborn.ended().ended(130, &["stopping", "stopped by hand"]);
}

#[test]
fn ctrl_c_twice_stops_now() {
    let stubborn = start();
    stubborn.signal(Signal::INT);
    stubborn.signal(Signal::INT);
    stubborn.ended().ended(130, &[]);
}

#[test]
fn a_term_is_a_stop_too() {
    let stubborn = start();
    stubborn.signal(Signal::TERM);
    stubborn.ended().ended(130, &["stopping"]);
}

#[test]
fn a_kill_of_orch_itself_leaves_nothing() {
    let stubborn = start();
    stubborn.signal(Signal::KILL);
    let ran = stubborn.ended();
    assert_eq!(ran.code, None);
}

#[test]
fn the_time_guard_leaves_nothing() {
    let team = Team::new(&format!("[guards]\nmax_execution_time = \"1s\"\n{STUBBORN}"));
    team.run(&["-i", "x", "--set", "mark=orch-test-time-guard"]).ended(5, &[]);
    assert_eq!(processes_with("MARK=orch-test-time-guard"), [] as [u32; 0]);
}

#[test]
fn a_run_that_completes_leaves_nothing() {
    // The program answers, and leaves a daemon behind.
    let team = Team::new(
        "[agents.a]\ncommand = [\"sh\", \"-c\", \"setsid sleep 1000 >/dev/null 2>&1 & echo done\"]\n\
         settings = { env = { MARK = \"orch-test-daemon\" } }\n[flow]\npipe = [\"a\"]\n",
    );
    let ran = team.run(&["-q", "-i", "x"]);
    ran.ended(0, &[]);
    assert_eq!(ran.stdout, "done\n");
    assert_eq!(processes_with("MARK=orch-test-daemon"), [] as [u32; 0]);
}
