//! What programs use is measured, and limits on it hold for all that they fork.

use std::sync::Arc;

use orch_connect::conformance::TestHost;
use orch_connect::resources::Held;
use orch_connect::{ConnectError, Connector, Containment, ResourceControl, Session, Subprocess};
use orch_core::FailureKind::{Final, Transient};
use orch_core::{LimitReached, Meter, Outcome, Reached, Resource, Resources};
use serde_json::{Value, json};

use crate::processes::{file, kept, mark, marked, nothing_left, until, with};
use crate::support::{close, failure, open, turn_with};

/// A program of these tests, with limits that are watched.
fn agent(command: &[&str], mark: &str, mut limits: Value) -> Value {
    let program = file(&format!("tests/agents/{}", command[0]));
    let command: Vec<&str> =
        ["python3", &program].into_iter().chain(command[1..].to_vec()).collect();
    if limits != json!({}) {
        limits["enforce"] = "watch".into();
    }
    json!({
        "command": command,
        "env": { "TEST_MARK": mark },
        "grace_ms": 300,
        "limits": limits,
    })
}

/// One attempt, and what was reported of it.
async fn attempt(settings: Value) -> (Outcome, Resources, Option<LimitReached>) {
    let mut session = open(&Subprocess::new(kept()), with(settings)).await;
    let host = Arc::new(TestHost::new());
    let outcome = turn_with(&mut session, host.context("x")).await;
    close(session).await;
    assert_eq!((host.reserved().len(), host.resources().len()), (1, 1));
    let (used, reached) = host.resources()[0];
    (outcome, used, reached)
}

/// Checks that an attempt was stopped by this limit, and that the error names it.
#[track_caller]
fn stopped(outcome: Outcome, reached: Option<LimitReached>, resource: Resource) -> LimitReached {
    let failure = failure(outcome);
    assert_eq!((failure.kind, failure.limit), (Final, reached), "{failure:?}");
    let reached = reached.expect("a limit was reached");
    assert_eq!(reached.resource, resource);
    let key = format!("(limits.{})", resource.key());
    assert!(failure.error.starts_with("the program was stopped: it "), "{failure:?}");
    assert!(failure.error.contains(&key), "{failure:?}");
    reached
}

#[tokio::test]
async fn what_the_whole_tree_used_is_reported() {
    let mark = mark();
    let (outcome, used, reached) =
        attempt(agent(&["worker.py", "900", "64"], &mark, json!({}))).await;
    assert_eq!((outcome, reached), (Outcome::output("worked"), None));
    assert!((900..60_000).contains(&used.cpu_ms), "{used:?}");
    assert!((64 << 20..1 << 30).contains(&used.memory_bytes), "{used:?}");
    assert!((3..10).contains(&used.processes), "{used:?}");
    assert_eq!((used.measured_by.cpu, used.measured_by.processes), (Meter::Proc, Meter::Proc));
    assert!(matches!(used.measured_by.memory, Meter::ProcPss | Meter::ProcRss), "{used:?}");
}

#[tokio::test]
async fn what_a_cut_off_attempt_used_is_reported() {
    let mark = mark();
    let settings = agent(&["worker.py", "60000", "1", "ignore"], &mark, json!({}));
    let mut session = open(&Subprocess::new(kept()), with(settings)).await;
    let host = Arc::new(TestHost::new());
    {
        let mut turn = Box::pin(session.turn(host.context("x")));
        tokio::select! {
            ended = &mut turn => panic!("it was to stay: {ended:?}"),
            () = until("it works", || marked(&mark).len() == 3) => {}
        }
    }
    assert_eq!(host.resources(), []);
    close(session).await;
    assert_eq!(host.resources().len(), 1);
    nothing_left(&mark);
}

#[tokio::test]
async fn each_turn_of_a_long_lived_program_is_reported_by_itself() {
    let script = "import json, sys, time\n\
        for line in sys.stdin:\n\
        \x20   message = json.loads(line)\n\
        \x20   if message['type'] == 'stop': break\n\
        \x20   until = time.process_time() + int(message['content']) / 1000\n\
        \x20   while time.process_time() < until: pass\n\
        \x20   print(json.dumps({'type': 'ack'}), flush=True)\n";
    let settings = json!({ "command": ["python3", "-c", script], "mode": "jsonl" });
    let mut session = open(&Subprocess::new(kept()), with(settings)).await;
    let host = Arc::new(TestHost::new());
    for burn in ["0", "600", "0"] {
        assert_eq!(turn_with(&mut session, host.context(burn)).await, Outcome::done());
    }
    let cpu: Vec<u64> = host.resources().iter().map(|(used, _)| used.cpu_ms).collect();
    // /proc counts in ticks of 10 ms, and each of four readings loses a part of one.
    assert!(cpu[1] >= 560 && cpu[2] < 300, "{cpu:?}");
    assert!(host.resources().iter().all(|(used, _)| used.memory_bytes > 1 << 20));
    close(session).await;
    assert_eq!(host.resources().len(), 3, "nothing is reported twice");
}

#[tokio::test]
async fn what_nothing_can_hold_is_refused_as_a_limit_and_watched_on_demand() {
    for (key, limit) in [("cpu", json!("1s")), ("memory", json!("1 MiB")), ("processes", json!(1))]
    {
        let mut settings = json!({ "command": ["true"], "limits": { key: limit } });
        let check = |settings: &Value, containment| {
            Subprocess::new(containment).check(&with(settings.clone()))
        };
        for containment in [kept(), Containment::Group] {
            let error = check(&settings, containment).expect_err("nothing holds it");
            let ConnectError::LimitNotEnforceable { limit, .. } = &error else { panic!("{error}") };
            assert_eq!(*limit, format!("limits.{key}"));
        }
        settings["limits"]["enforce"] = "watch".into();
        assert_eq!(check(&settings, kept()), Ok(()));
        let error = check(&settings, Containment::Group).expect_err("nothing sees it");
        assert!(error.to_string().contains("without a keeper"), "{error}");
    }
    let control = ResourceControl::of(&kept());
    assert_eq!((control.cpu.meter, control.memory.meter), (Meter::Proc, Meter::ProcPss));
    assert!(matches!(control.cpu.held, Held::Not { .. }));
}

#[tokio::test]
async fn a_fork_bomb_is_stopped_and_nothing_of_it_is_left() {
    let mark = mark();
    let settings = agent(&["fork_bomb.py", "400"], &mark, json!({ "processes": 16 }));
    let (outcome, used, reached) = attempt(settings).await;
    nothing_left(&mark);
    let reached = stopped(outcome, reached, Resource::Processes);
    assert_eq!((reached.how, reached.limit), (Reached::SeenAbove, 16));
    assert!(16 < reached.figure && reached.figure <= used.processes, "{reached:?} {used:?}");
}

#[tokio::test]
async fn cpu_time_of_grandchildren_is_limited_by_force() {
    let mark = mark();
    let mut settings = agent(&["worker.py", "50000", "1", "ignore"], &mark, json!({ "cpu": "1s" }));
    // The limit does not wait for it.
    settings["grace_ms"] = json!(50_000);
    let (outcome, used, reached) = attempt(settings).await;
    nothing_left(&mark);
    let reached = stopped(outcome, reached, Resource::Cpu);
    assert!(900 <= reached.figure, "{reached:?}");
    // The limit, and what a machine that is busy with other things makes of the margin.
    assert!(used.cpu_ms < 1_500, "{used:?}");
}

#[tokio::test]
async fn a_program_is_asked_to_end_before_its_cpu_time_is_used_up() {
    let (mark, folder) = (mark(), tempfile::tempdir().expect("a folder"));
    let mut settings = agent(&["worker.py", "50000", "1"], &mark, json!({ "cpu": "2s" }));
    settings["cwd"] = json!(folder.path().to_str());
    settings["grace_ms"] = json!(60_000);
    let (outcome, _, reached) = attempt(settings).await;
    let reached = stopped(outcome, reached, Resource::Cpu);
    assert_eq!((reached.how, reached.limit), (Reached::Nearly, 2_000));
    assert!(folder.path().join("asked").exists(), "it was killed without being asked");
    nothing_left(&mark);
}

#[tokio::test]
async fn memory_of_orphans_is_limited() {
    let mark = mark();
    let limits = json!({ "memory": "96 MiB" });
    let settings = agent(&["worker.py", "50000", "256", "ignore", "orphan"], &mark, limits);
    let (outcome, used, reached) = attempt(settings).await;
    nothing_left(&mark);
    let reached = stopped(outcome, reached, Resource::Memory);
    assert!(96 << 20 < reached.figure && reached.figure <= used.memory_bytes, "{used:?}");
}

#[tokio::test]
async fn memory_that_processes_share_is_counted_once() {
    // A parent of 48 MiB and eight children that change nothing of it.
    let script = "import os, sys\n\
        held = os.urandom(48 << 20)\n\
        ready, tell = os.pipe()\n\
        wait, end = os.pipe()\n\
        for _ in range(8):\n\
        \x20   if os.fork() == 0:\n\
        \x20       os.close(end); os.write(tell, b'x'); os.read(wait, 1); os._exit(0)\n\
        for _ in range(8): os.read(ready, 1)\n\
        import time\n\
        until = time.process_time() + 0.9\n\
        while time.process_time() < until: pass\n\
        os.close(end); print('shared')\n";
    let limits = json!({ "memory": "256 MiB", "enforce": "watch" });
    let settings = json!({ "command": ["python3", "-c", script], "limits": limits });
    let (outcome, used, reached) = attempt(settings).await;
    if used.measured_by.memory == Meter::ProcPss {
        assert_eq!((outcome, reached), (Outcome::output("shared"), None));
        assert!((48 << 20..200 << 20).contains(&used.memory_bytes), "{used:?}");
    }
    assert_eq!(used.processes, 9);
}

#[tokio::test]
async fn a_session_that_used_its_limit_up_may_be_tried_again_with_a_new_one() {
    let script = "import json, sys, time\n\
        for line in sys.stdin:\n\
        \x20   message = json.loads(line)\n\
        \x20   if message['type'] == 'stop':\n\
        \x20       open('stopped', 'w').close(); break\n\
        \x20   until = time.process_time() + int(message['content']) / 1000\n\
        \x20   while time.process_time() < until: pass\n\
        \x20   print(json.dumps({'type': 'ack'}), flush=True)\n";
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({
        "command": ["python3", "-c", script], "mode": "jsonl", "cwd": folder.path().to_str(),
        "grace_ms": 120_000, "limits": { "cpu": "4s", "enforce": "watch" },
    });
    let mut session = open(&Subprocess::new(kept()), with(settings)).await;
    let host = Arc::new(TestHost::new());
    assert_eq!(turn_with(&mut session, host.context("50")).await, Outcome::done());
    // Into the last tenth, and not to its end.
    let failure = failure(turn_with(&mut session, host.context("3650")).await);
    assert_eq!(failure.kind, Transient, "{failure:?}");
    assert_eq!(failure.limit.map(|limit| limit.resource), Some(Resource::Cpu));
    assert!(folder.path().join("stopped").exists(), "it was not asked by a line");
    assert!(!session.is_open());
    close(session).await;
}
