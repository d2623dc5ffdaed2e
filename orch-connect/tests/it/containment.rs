//! No process outlives its attempt or session, whatever it does to get away.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use orch_connect::conformance::TestHost;
use orch_connect::{Containment, KeeperCommand, Session, Subprocess, SubprocessSession};
use orch_core::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::processes::{file, kept, mark, marked, nothing_left, until, wait_until, with, zombies};
use crate::support::{LIMIT, close, fails, open, turn};

fn agent(name: &str, mode: &str, mark: &str) -> Value {
    let program = file(&format!("tests/agents/{name}"));
    let mode_of_session = if mode == "jsonl" { "jsonl" } else { "once" };
    json!({
        "command": ["python3", program, mode],
        "env": { "TEST_MARK": mark },
        "mode": mode_of_session,
        "grace_ms": 100,
    })
}

async fn open_agent(containment: Containment, settings: Value) -> SubprocessSession {
    open(&Subprocess::new(containment), with(settings)).await
}

/// Begins a turn and cuts it off when so many processes with the mark run.
async fn cut_off(session: &mut SubprocessSession, mark: &str, n_processes: usize) {
    let mut turn = Box::pin(session.turn(Arc::new(TestHost::new()).context("x")));
    let begun = async {
        while marked(mark).len() < n_processes {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = &mut turn => panic!("it was to stay: {ended:?}"),
        begun = tokio::time::timeout(LIMIT, begun) => begun.expect("the processes start"),
    }
}

fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process");
    let _ = kill_process(pid, Signal::KILL);
}

#[tokio::test]
async fn nothing_is_left_after_a_normal_end() {
    let mark = mark();
    let mut session = open_agent(kept(), agent("survivor.py", "leave", &mark)).await;
    assert_eq!(turn(&mut session, "x").await, Outcome::output("left"));
    nothing_left(&mark); // Before the session is closed.
    close(session).await;
}

#[tokio::test]
async fn nothing_is_left_after_a_cut_off_turn_and_a_close() {
    let mark = mark();
    let mut session = open_agent(kept(), agent("survivor.py", "stay", &mark)).await;
    cut_off(&mut session, &mark, 2).await;
    assert!(!session.is_open());
    close(session).await;
    nothing_left(&mark);
}

#[tokio::test]
async fn closing_waits_until_the_keeper_itself_is_gone() {
    for mode in ["once", "jsonl"] {
        let folder = tempfile::tempdir().expect("a folder");
        let noted = folder.path().join("keeper");
        let settings = json!({
            "command": ["sh", "-c", "echo $PPID > new; mv new keeper; sleep 600"],
            "mode": mode,
            "cwd": folder.path().to_str(),
        });
        let mut session = open_agent(kept(), settings).await;
        {
            let mut turn = Box::pin(session.turn(Arc::new(TestHost::new()).context("x")));
            tokio::select! {
                ended = &mut turn => panic!("it was to stay: {ended:?}"),
                () = until("the program runs", || noted.exists()) => {}
            }
        }
        let keeper = std::fs::read_to_string(&noted).expect("a process id");
        let keeper = std::path::Path::new("/proc").join(keeper.trim());
        assert!(keeper.exists(), "the keeper runs as long as its program");
        close(session).await;
        assert!(!keeper.exists(), "the keeper, or its zombie, outlived the close");
    }
}

#[tokio::test]
async fn nothing_is_left_after_a_session_was_dropped() {
    let mark = mark();
    let mut session = open_agent(kept(), agent("survivor.py", "stay", &mark)).await;
    cut_off(&mut session, &mark, 2).await;
    drop(session);
    until("the keeper kills what a dropped session ran", || marked(&mark).is_empty()).await;
}

#[tokio::test]
async fn nothing_is_left_after_a_long_lived_session_was_closed_or_dropped() {
    for is_closed in [true, false] {
        let mark = mark();
        let mut session = open_agent(kept(), agent("survivor.py", "jsonl", &mark)).await;
        assert_eq!(turn(&mut session, "x").await, Outcome::done());
        assert!(marked(&mark).len() >= 2, "the survivor runs beside the program");
        if is_closed {
            close(session).await;
            nothing_left(&mark);
        } else {
            drop(session);
            until("the keeper kills what it kept", || marked(&mark).is_empty()).await;
        }
    }
}

/// The control: what the tests above look for can be seen where it is not contained.
#[tokio::test]
async fn a_group_lets_a_session_of_its_own_escape() {
    let mark = mark();
    let mut session = open_agent(Containment::Group, agent("survivor.py", "leave", &mark)).await;
    assert_eq!(turn(&mut session, "x").await, Outcome::output("left"));
    close(session).await;
    let escaped = marked(&mark);
    assert_eq!(escaped.len(), 1, "the survivor was to be seen");
    kill(escaped[0]);
    until("the survivor is cleaned up", || marked(&mark).is_empty()).await;
}

#[tokio::test]
async fn a_group_kills_what_stays_in_it() {
    for is_closed in [true, false] {
        let mark = mark();
        let settings = json!({
            "command": ["sh", "-c", "trap '' TERM; sleep 600 & sleep 600; wait"],
            "env": { "TEST_MARK": mark },
            "grace_ms": 100,
        });
        let mut session = open_agent(Containment::Group, settings).await;
        cut_off(&mut session, &mark, 3).await;
        if is_closed {
            close(session).await;
        } else {
            drop(session);
        }
        until("the group is killed", || marked(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn a_process_that_never_stays_the_same_is_caught() {
    let mark = mark();
    let mut session = open_agent(kept(), agent("hopper.py", "", &mark)).await;
    // Its first process exits at once with 0 and no answer; the others are killed then.
    let outcome = turn(&mut session, "x").await;
    fails(outcome, orch_core::FailureKind::Transient, &["without an answer"]);
    nothing_left(&mark);
    close(session).await;
}

#[tokio::test]
async fn processes_that_start_each_other_again_are_caught() {
    let mark = mark();
    let mut session = open_agent(kept(), agent("bomb.py", "", &mark)).await;
    cut_off(&mut session, &mark, 30).await;
    close(session).await;
    nothing_left(&mark);
}

#[tokio::test]
async fn a_stopped_program_is_killed() {
    let mark = mark();
    let settings = json!({
        "command": ["sh", "-c", "kill -STOP $$; echo woken"],
        "env": { "TEST_MARK": mark },
        "grace_ms": 100,
    });
    let mut session = open_agent(kept(), settings).await;
    cut_off(&mut session, &mark, 1).await;
    close(session).await;
    nothing_left(&mark);
}

#[tokio::test]
async fn a_program_that_listens_to_sigterm_ends_within_its_grace() {
    let folder = tempfile::tempdir().expect("a folder");
    let heard = folder.path().join("heard");
    let ready = folder.path().join("ready");
    let script = format!(
        "trap 'touch {}; exit 0' TERM; touch {}; while :; do sleep 0.01; done",
        heard.display(),
        ready.display()
    );
    let settings = json!({ "command": ["sh", "-c", script], "grace_ms": 60_000 });
    let mut session = open_agent(kept(), settings).await;
    {
        let mut turn = Box::pin(session.turn(Arc::new(TestHost::new()).context("x")));
        tokio::select! {
            biased;
            ended = &mut turn => panic!("it was to stay: {ended:?}"),
            // Blocks this thread, so that tokio never looks at the keeper's socket before SIGTERM
            // is wanted: a busy machine once did so, and a write that tokio refused was lost.
            () = async { wait_until("the trap is set", || ready.exists()) } => {}
        }
    }
    let closed = tokio::time::timeout(Duration::from_secs(50), session.close()).await;
    assert!(closed.is_ok(), "closing waited for the whole grace");
    assert!(heard.exists());
}

#[tokio::test]
async fn a_program_that_kills_its_keeper_is_found_by_its_mark() {
    let mark = mark();
    let settings = json!({
        "command": ["sh", "-c", "setsid sleep 600 & kill -9 $PPID; sleep 600"],
        "env": { "TEST_MARK": mark },
    });
    let mut session = open_agent(kept(), settings).await;
    let outcome = turn(&mut session, "x").await;
    fails(outcome, orch_core::FailureKind::Transient, &["lost together with its keeper"]);
    nothing_left(&mark);
    close(session).await;
}

#[tokio::test]
async fn a_program_that_stops_its_keeper_is_found_by_its_mark() {
    let mark = mark();
    let settings = json!({
        "command": ["sh", "-c", "setsid sleep 600 & kill -STOP $PPID; sleep 600"],
        "env": { "TEST_MARK": mark },
        "grace_ms": 100,
    });
    let mut session = open_agent(kept(), settings).await;
    cut_off(&mut session, &mark, 3).await;
    close(session).await;
    nothing_left(&mark);
}

/// The keeper of the test below: this test, run in a process of its own. A keeper's environment is
/// empty, which that of a person's or a machine's test run never is.
#[test]
fn keeper_among_the_tests() {
    if std::env::vars_os().next().is_none() {
        let _ = orch_connect::keeper::main([]);
    }
}

#[tokio::test]
async fn a_program_can_be_its_own_keeper() {
    let args = ["--exact", "containment::keeper_among_the_tests", "--nocapture"];
    let own = Containment::Keeper(KeeperCommand::this_program(args));
    let mark = mark();
    let mut session = open_agent(own, agent("survivor.py", "leave", &mark)).await;
    assert_eq!(turn(&mut session, "x").await, Outcome::output("left"));
    nothing_left(&mark);
    close(session).await;
}

#[tokio::test]
async fn sigterm_reaches_a_descendant_in_a_session_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (heard, ready) = (folder.path().join("heard"), folder.path().join("ready"));
    std::fs::write(
        folder.path().join("inner"),
        "trap 'touch heard; exit 0' TERM; touch ready; while :; do sleep 0.01; done",
    )
    .expect("a file");
    // The outer one outlives SIGTERM until the inner one has ended.
    let script = "trap : TERM; setsid sh inner & wait; wait";
    let settings = json!({
        "command": ["sh", "-c", script], "cwd": folder.path().to_str(), "grace_ms": 60_000,
    });
    let mut session = open_agent(kept(), settings).await;
    {
        let mut turn = Box::pin(session.turn(Arc::new(TestHost::new()).context("x")));
        tokio::select! {
            ended = &mut turn => panic!("it was to stay: {ended:?}"),
            () = until("the trap is set", || ready.exists()) => {}
        }
    }
    close(session).await;
    assert!(heard.exists());
}

#[tokio::test]
async fn no_zombie_of_ours_remains() {
    let mark = mark();
    for name in ["survivor.py", "hopper.py"] {
        let mut session = open_agent(kept(), agent(name, "leave", &mark)).await;
        turn(&mut session, "x").await;
        close(session).await;
    }
    let mut session = open_agent(kept(), agent("survivor.py", "stay", &mark)).await;
    cut_off(&mut session, &mark, 2).await;
    drop(session);
    // Other tests of this process have children too: each zombie that is there has to go.
    let mut seen = zombies();
    until("zombies are reaped", || {
        let now = zombies();
        seen.retain(|pid| now.contains(pid));
        seen.is_empty()
    })
    .await;
    until("everything is killed", || marked(&mark).is_empty()).await;
}

/// The body of a host that is killed: this test, run by the one below in a process of its own.
#[tokio::test]
async fn host_of_the_kill_test() {
    let Ok(mark) = std::env::var("ORCH_TEST_HOST") else { return };
    let mut session = open_agent(kept(), agent("survivor.py", "stay", &mark)).await;
    let _ = session.turn(Arc::new(TestHost::new()).context("x")).await;
}

#[test]
fn nothing_is_left_after_the_host_was_killed() {
    let mark = mark();
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "containment::host_of_the_kill_test", "--nocapture"])
        .env("ORCH_TEST_HOST", &mark)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the host starts");
    // The host has the mark in its environment too.
    wait_until("host, program and survivor run", || marked(&mark).len() >= 3);
    host.kill().expect("it is our child");
    assert_eq!(host.wait().expect("it is our child").signal(), Some(9));
    wait_until("nothing of the program is left", || marked(&mark).is_empty());
    wait_until("the session's folder is removed", || {
        std::fs::read_dir(folder.path()).expect("the folder").next().is_none()
    });
}

#[test]
fn a_keeper_that_is_started_by_hand_says_so() {
    let keeper = Command::new(env!("CARGO_BIN_EXE_orch-keeper"))
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(keeper.status.code(), Some(2));
    let said = String::from_utf8_lossy(&keeper.stderr).into_owned();
    assert!(said.contains("started by its host"), "{said}");
}
