//! Limits that the kernel holds, where this system has control groups that can be used.
//!
//! `ORCH_CGROUP` names folders that were set aside, separated by `:`. Without it the tests take those of
//! our own groups of version 1 that count processes and processor time, if we may write there; groups
//! that hold memory are taken only where they are named.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orch_connect::conformance::TestHost;
use orch_connect::resources::Held;
use orch_connect::{Containment, KeeperCommand, ResourceControl, Subprocess};
use orch_core::FailureKind::Final;
use orch_core::{LimitReached, Meter, Outcome, Reached, Resource, Resources};
use serde_json::{Value, json};

use crate::processes::{file, kept, mark, nothing_left, until, with};
use crate::support::{close, failure, open, turn_with};

/// The folders to make groups in.
fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("ORCH_CGROUP") {
        return std::env::split_paths(&named).collect();
    }
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let folder = |controller: &str| {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let is_its = parts.next()?.split(',').any(|it| it == controller);
            is_its.then(|| parts.next().map(|path| path.trim_start_matches('/').to_owned()))?
        })?;
        let mount = mounts.lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_its = words[2] == "cgroup" && words[3].split(',').any(|it| it == controller);
            is_its.then(|| words[1].to_owned())
        })?;
        Some(Path::new(&mount).join(path))
    };
    ["pids", "cpuacct"].into_iter().filter_map(folder).collect()
}

/// What a test uses, and what it has to leave behind.
struct Groups {
    folders: Vec<PathBuf>,
    /// Those of others that are there already.
    before: Vec<PathBuf>,
}

/// A keeper with groups that hold this resource; says so and answers `None` where there are none.
fn held(test: &str, resource: Resource) -> Option<(Containment, Groups)> {
    let folders = folders();
    let Containment::Keeper(keeper) = kept() else { unreachable!("it is kept by a keeper") };
    let containment = Containment::Keeper(KeeperCommand { cgroups: folders.clone(), ..keeper });
    match &ResourceControl::of(&containment).get(resource).held {
        Held::Not { reason } => {
            // Not by a macro, whose text is not shown where a test passes; see `xtask test`.
            let _ = write!(std::io::stdout(), "\nskipped: test groups::{test}, {reason}\n");
            None
        }
        _ => {
            let before = groups(&folders);
            Some((containment, Groups { folders, before }))
        }
    }
}

async fn attempt(
    containment: Containment,
    settings: Value,
) -> (Outcome, Resources, Option<LimitReached>) {
    let mut session = open(&Subprocess::new(containment), with(settings)).await;
    let host = Arc::new(TestHost::new());
    let outcome = turn_with(&mut session, host.context("x")).await;
    close(session).await;
    let (used, reached) = host.resources()[0];
    (outcome, used, reached)
}

fn python(script: &str, mark: &str, limits: Value) -> Value {
    json!({
        "command": ["python3", "-c", script],
        "env": { "TEST_MARK": mark },
        "grace_ms": 300,
        "limits": limits,
    })
}

/// The groups of runs that are there now.
fn groups(folders: &[PathBuf]) -> Vec<PathBuf> {
    let inside = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a group"));
    let paths = inside.flatten().map(|entry| entry.path());
    let is_run = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("orch-") && name != "orch-keepers"
    };
    paths.filter(is_run).collect()
}

impl Groups {
    /// Waits until the groups of this test are gone. Others run beside it: each that came since it began
    /// has to go.
    async fn go(self) {
        let since = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
            paths.into_iter().filter(|path| !self.before.contains(path)).collect()
        };
        let mut seen = since(groups(&self.folders));
        until("the groups are removed", || {
            let now = groups(&self.folders);
            seen.retain(|path| now.contains(path));
            seen.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_fork_bomb_never_has_more_processes_than_its_limit() {
    let name = "a_fork_bomb_never_has_more_processes_than_its_limit";
    let Some((containment, left)) = held(name, Resource::Processes) else { return };
    let mark = mark();
    let settings = json!({
        "command": ["python3", file("tests/agents/fork_bomb.py"), "2000"],
        "env": { "TEST_MARK": mark },
        "grace_ms": 300,
        "limits": { "processes": 16 },
    });
    let (outcome, used, reached) = attempt(containment, settings).await;
    nothing_left(&mark);
    let failure = failure(outcome);
    assert_eq!((failure.kind, failure.limit), (Final, reached));
    let reached = reached.expect("it was stopped");
    assert_eq!((reached.resource, reached.how), (Resource::Processes, Reached::Refused));
    assert!(used.processes <= 16, "{used:?}");
    assert!(matches!(used.measured_by.processes, Meter::CgroupV1 | Meter::CgroupV2));
    left.go().await;
}

/// Two and a half programs' worth of processes at once, within the limit to the last one.
#[tokio::test]
async fn a_limit_can_be_used_to_the_last_process() {
    let Some((containment, _)) =
        held("a_limit_can_be_used_to_the_last_process", Resource::Processes)
    else {
        return;
    };
    let script = "import os, time\n\
        time.sleep(0.2)\n\
        wait, end = os.pipe()\n\
        for _ in range(7):\n\
        \x20   if os.fork() == 0: os.close(end); os.read(wait, 1); os._exit(0)\n\
        print('all eight')\n";
    let settings = python(script, &mark(), json!({ "processes": 8 }));
    let (outcome, used, reached) = attempt(containment.clone(), settings).await;
    assert_eq!((outcome, reached), (Outcome::output("all eight"), None), "{used:?}");
    let settings = python(script, &mark(), json!({ "processes": 7 }));
    let (outcome, _, reached) = attempt(containment, settings).await;
    assert!(failure(outcome).limit.is_some() && reached.is_some());
}

/// `/proc` loses the processor time of children whose parent does not wait for them; a group has it.
#[tokio::test]
async fn a_group_counts_what_nobody_waited_for() {
    let Some((containment, _)) = held("a_group_counts_what_nobody_waited_for", Resource::Cpu)
    else {
        return;
    };
    let script = "import os, signal, time\n\
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
        for _ in range(3):\n\
        \x20   done, doing = os.pipe()\n\
        \x20   if os.fork() == 0:\n\
        \x20       until = time.process_time() + 0.3\n\
        \x20       while time.process_time() < until: pass\n\
        \x20       os._exit(0)\n\
        \x20   os.close(doing); os.read(done, 1)\n\
        print('burnt')\n";
    let settings = python(script, &mark(), json!({}));
    let (outcome, used, _) = attempt(containment, settings.clone()).await;
    assert_eq!(outcome, Outcome::output("burnt"));
    assert!(used.cpu_ms >= 900, "{used:?}");
    let (_, used, _) = attempt(kept(), settings).await;
    assert!(used.cpu_ms < 900, "the control: {used:?}");
}

#[tokio::test]
async fn cpu_time_is_held_without_being_watched_by_demand() {
    let Some((containment, left)) =
        held("cpu_time_is_held_without_being_watched_by_demand", Resource::Cpu)
    else {
        return;
    };
    let mark = mark();
    let settings = json!({
        "command": ["python3", file("tests/agents/worker.py"), "50000", "1", "ignore"],
        "env": { "TEST_MARK": mark },
        "grace_ms": 50_000,
        "limits": { "cpu": "1s" },
    });
    let (outcome, used, reached) = attempt(containment, settings).await;
    nothing_left(&mark);
    assert_eq!(failure(outcome).limit, reached);
    assert_eq!(reached.map(|it| it.resource), Some(Resource::Cpu));
    assert!(used.cpu_ms < 1_500, "{used:?}");
    left.go().await;
}

#[tokio::test]
async fn memory_is_held() {
    let Some((containment, left)) = held("memory_is_held", Resource::Memory) else { return };
    let script = "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))";
    let settings = python(script, &mark(), json!({ "memory": "64 MiB" }));
    let (outcome, used, reached) = attempt(containment, settings).await;
    assert_eq!(failure(outcome).limit, reached);
    let reached = reached.expect("it was stopped");
    assert_eq!((reached.resource, reached.how), (Resource::Memory, Reached::Refused));
    assert!(used.memory_bytes <= 64 << 20, "{used:?}");
    left.go().await;
}

/// A keeper that was killed leaves its group; the host ends what is in it, also what no mark tells.
#[tokio::test]
async fn a_group_whose_keeper_was_killed_is_swept() {
    let Some((containment, left)) =
        held("a_group_whose_keeper_was_killed_is_swept", Resource::Processes)
    else {
        return;
    };
    let mark = mark();
    let script = "import os, signal\n\
        if os.fork() == 0:\n\
        \x20   os.setsid()\n\
        \x20   os.execve('/bin/sh', ['sh', '-c', 'while :; do sleep 1; done'], {'OTHER': os.environ['TEST_MARK']})\n\
        os.kill(os.getppid(), signal.SIGKILL)\n\
        signal.pause()\n";
    let mut session =
        open(&Subprocess::new(containment), with(python(script, &mark, json!({})))).await;
    let outcome = turn_with(&mut session, Arc::new(TestHost::new()).context("x")).await;
    assert!(failure(outcome).error.contains("lost together with its keeper"));
    nothing_left(&mark);
    close(session).await;
    left.go().await;
}
