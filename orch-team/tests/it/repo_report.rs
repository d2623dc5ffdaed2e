//! `examples/repo-report`, run as it stands.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use orch_runtime::{
    AgentId, Event, EventKind, MessagePriority, Observer, Orchestrator, StopReason, built_in,
};
use orch_team::{Sets, Team, TeamOutcome};

/// What is seen of a run: retries, and the order in which messages of `measure` are handed out.
#[derive(Default)]
struct Seen {
    retries: Mutex<u32>,
    started: Mutex<Vec<(AgentId, MessagePriority)>>,
}

impl Observer for Seen {
    fn on_event(&self, event: &Event) {
        match &event.kind {
            EventKind::RetryScheduled { .. } => *self.retries.lock().unwrap() += 1,
            EventKind::Started { agent, priority, .. } => {
                self.started.lock().unwrap().push((*agent, *priority));
            }
            _ => {}
        }
    }
}

async fn report(folder: &Path) -> (TeamOutcome, Vec<MessagePriority>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/repo-report/team.toml");
    let sets = Sets::new().with("repo", folder.display().to_string());
    let team = Team::load(path.as_ref(), &sets).unwrap();
    assert!(team.warnings.is_empty(), "{}", team.warnings);
    team.check(&built_in()).unwrap();
    let seen = Arc::new(Seen::default());
    let orchestrator = Orchestrator::new(Arc::default(), Arc::default())
        .with_connectors(built_in())
        .with_observer(seen.clone());
    let run = team.build_on(orchestrator).await.unwrap();
    let outcome = run.run(Vec::new()).await.unwrap();
    assert_eq!(*seen.retries.lock().unwrap(), 2, "one agent fails twice on purpose");
    let measure = run.agents()["measure"];
    let started = seen.started.lock().unwrap();
    let of_measure = started.iter().filter(|(agent, _)| *agent == measure);
    (outcome, of_measure.map(|(_, priority)| *priority).collect())
}

/// Folders with texts that have comments, and names that scripts easily trip over.
fn fill(folder: &Path) {
    for number in 0..8 {
        let inner = folder.join(format!("part {number}"));
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("a b=c.rs"), "// TODO: more\nfn long() {\n    x();\n}\n").unwrap();
    }
    fs::write(folder.join("-n.txt"), "one\ntwo\n").unwrap();
    fs::write(folder.join("data.bin"), [0, 159, 146, 150]).unwrap();
}

#[track_caller]
fn has_line(outcome: &TeamOutcome, words: &str) {
    let spaced = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = outcome.answer.content.lines().any(|line| spaced(line) == words);
    assert!(found, "no line `{words}` in\n{}", outcome.answer.content);
}

#[tokio::test]
async fn a_plain_folder_is_reported_without_history() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let (outcome, started) = report(folder.path()).await;
    assert_eq!(outcome.stop_reason, StopReason::Completed, "{outcome:?}");
    assert!(!outcome.answer.partial, "{:?}", outcome.answer.problems);
    has_line(&outcome, "part 3 1 4 3 25 % 1 - -");
    has_line(&outcome, "(top) 1 2 0 - - - -");
    has_line(&outcome, "Total 9 34 24 25 % 8 -");
    has_line(&outcome, "No history: this folder is not a git checkout.");
    has_line(&outcome, "part 0/a b=c.rs:1 TODO: more");
    has_line(&outcome, "3 part 0/a b=c.rs:2 long");
    assert!(outcome.answer.urgent[0].content.starts_with("the largest file is part "));
    let urgent = started.iter().position(|it| *it == MessagePriority::Critical).unwrap();
    assert!(urgent + 2 < started.len(), "it overtakes what waits: {started:?}");
}

#[tokio::test]
async fn a_checkout_is_reported_with_its_history() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let git = |args: &[&str]| {
        let status = Command::new("git")
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(args)
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "first"]);
    fs::write(folder.path().join("-n.txt"), "one\n").unwrap();
    git(&["commit", "--quiet", "--all", "--message", "second"]);
    let (outcome, _) = report(folder.path()).await;
    assert_eq!(outcome.stop_reason, StopReason::Completed, "{outcome:?}");
    has_line(&outcome, "part 3 1 4 3 25 % 1 1 4");
    has_line(&outcome, "(top) 1 1 0 - - 2 3");
    has_line(&outcome, "2 3 -n.txt");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/repo-report/team.toml");
    let sets = Sets::new().with("repo", folder.path().join("none").display().to_string());
    let team = Team::load(path.as_ref(), &sets).unwrap().build(built_in()).await.unwrap();
    let outcome = team.run(Vec::new()).await.unwrap();
    assert!(outcome.answer.partial && outcome.answer.content.is_empty());
    let problem = outcome.answer.problems[0].to_string();
    assert!(problem.contains("there is no folder") && problem.contains("--set repo="), "{problem}");
}
