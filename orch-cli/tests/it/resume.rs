//! Runs that are kept in a journal, and go on from it: what is refused, shown and kept. `kills` has the
//! kills.
#![cfg(unix)]

use std::process::{Command, Stdio};

use orch_journal::{
    ContentHash, Prepared, Record, Redactor, SqliteOptions, SqliteStore, StepKey, Store,
};
use orch_runtime::{
    Access, AgentId, AgentMessage, DeadLetter, DeadLetterReason, Decision, LoopGuard, MessageId,
    Timestamp, ToolCall,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Ran, Team, wait_until};

/// `a` says in `log` what it is told, and waits for a file before it answers to `slow`; `b` does not
/// answer to `x` until there is a file `mended`.
const TEAM: &str = r#"
[run]
grace = "100ms"
[agents.a]
command = ["sh", "-c", 'x=$(cat); echo "a $x" >> log; while [ "$x" = slow ] && ! [ -e go ]; do sleep 0.02; done; echo "$x"']
settings = { cwd = ".", env = { KEY = "${api_key}" } }
[agents.b]
command = ["sh", "-c", 'x=$(cat); echo "b $x" >> log; [ "$x" != x ] || [ -e mended ] || exit 64; echo "b($x)"']
settings = { cwd = "." }
[set]
api_key = "none"
[flow]
pipe = ["a", "b"]
"#;

impl Team {
    /// `orch ARGS` in the folder.
    fn orch(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        Ran::from(command.output().unwrap())
    }

    /// Kills a run while `a` handles `slow`, after the other input is through.
    fn killed(&self, args: &[&str]) {
        let mut command = self.command("run", &["-i", "one", "-i", "slow", "--journal", "j"]);
        let mut orch = command.args(args).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the second input is handled, and the first is through", || {
            let log = self.log();
            log.contains(&"a slow".to_owned()) && log.contains(&"b one".to_owned())
        });
        // The answer to the first is on disk before the run goes on.
        wait_until("the first is settled", || {
            self.orch(&["journal", "timeline", "j"]).stdout.contains("b(one)")
        });
        orch.kill().unwrap();
        orch.wait().unwrap();
    }

    fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_run_that_was_killed_is_refused_and_resumed_with_what_it_left_shown_first() {
    let team = Team::new(TEAM);
    team.killed(&[]);
    let again = team.run(&["-i", "one", "--journal", "j"]);
    again.ended(2, &["j holds a run of", "has not ended", "orch resume j"]);
    team.orch(&["prune", "j", "--before", "2100-01-01"]).ended(2, &["has not ended"]);
    let show = team.orch(&["journal", "show", "j"]).stdout;
    assert!(show.ends_with("to go on: orch resume j\n"), "{show}");
    team.file("go", b"");
    let resumed = team.orch(&["resume", "j"]);
    let left = ["run 1 was cut off", "3 attempts", "1 message for a", "at attempt 1", "slow"];
    resumed.ended(0, &left).ended(0, &["completed in"]);
    assert_eq!(resumed.stdout, "b(one)\nb(slow)\n");
    let mut log = team.log();
    log.sort();
    assert_eq!(log, ["a one", "a slow", "a slow", "b one", "b slow"]);

    // The answer can be had again, and the file is not written over.
    let ended = team.orch(&["resume", "j"]);
    ended.ended(0, &["has ended (completed), and nothing waits"]);
    assert_eq!(ended.stdout, resumed.stdout);
    assert_eq!(team.log().len(), 5, "nothing is done again");
    assert!(!team.orch(&["journal", "show", "j"]).stdout.contains("resume"));
    let again = team.run(&["-i", "one", "--journal", "j"]);
    again.ended(2, &["has ended", "another file", "orch journal show j"]);
}

#[test]
fn a_program_reads_what_was_left_before_the_events() {
    let team = Team::new(TEAM);
    team.killed(&[]);
    team.file("go", b"");
    let resumed = team.orch(&["resume", "j", "--json"]);
    let first: Value = serde_json::from_str(resumed.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["n_attempts"]), (&"resumes".into(), &3.into()));
    assert_eq!(first["waiting"][0]["was_running"], true);
    assert_eq!(first["waiting"].as_array().unwrap().len(), 1);
    let last: Value = serde_json::from_str(resumed.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(last["content"], "b(one)\nb(slow)");
}

#[test]
fn a_changed_team_is_refused_unless_its_changes_are_accepted() {
    let team = Team::new(TEAM);
    team.killed(&[]);
    team.file("go", b"");
    team.file("team.toml", TEAM.replace("b($x)", "B($x)").as_bytes());
    let refused = team.orch(&["resume", "j"]);
    refused.ended(2, &["is not the team that this run began with", "--accept-changes"]);
    let log = team.log();
    assert_eq!(log.len(), 3, "nothing was done: {log:?}");
    let resumed = team.orch(&["resume", "j", "--accept-changes"]);
    resumed.ended(0, &[]);
    assert_eq!(resumed.stdout, "b(one)\nB(slow)\n", "what was done stays done");
    // From now on that is the team.
    assert_eq!(team.orch(&["resume", "j", "-q"]).stdout, resumed.stdout);
}

#[test]
fn a_team_file_that_moved_is_named() {
    let team = Team::new(TEAM);
    team.killed(&[]);
    team.file("go", b"");
    std::fs::rename(team.path().join("team.toml"), team.path().join("moved.toml")).unwrap();
    team.orch(&["resume", "j"]).ended(2, &["team.toml: there is no such file"]);
    // A team is called as its file is, unless it says otherwise: that is a change.
    let resumed = team.orch(&["resume", "j", "--team", "moved.toml", "--accept-changes", "-q"]);
    resumed.ended(0, &[]);
    assert_eq!(resumed.stdout, "b(one)\nb(slow)\n");
}

#[test]
fn secrets_are_not_kept_and_have_to_be_given_again() {
    let team = Team::new(TEAM);
    team.killed(&["--set", "api_key=s3cr3t-value"]);
    team.file("go", b"");
    for file in ["j", "j-wal"] {
        let bytes = std::fs::read(team.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(12).any(|it| it == b"s3cr3t-value"), "it is in {file}");
    }
    team.orch(&["resume", "j"]).ended(2, &["--set api_key=…"]);
    // Another value of a secret is no other team.
    team.orch(&["resume", "j", "--set", "api_key=other-value"]).ended(0, &["completed in"]);
}

/// A secret is written in another way where it stands in JSON.
#[test]
fn a_secret_in_an_input_is_masked_too() {
    let team = Team::new(TEAM);
    let secret = "pass\"word-1";
    let (set, input) = (format!("api_key={secret}"), format!("text:say {secret}"));
    let ran = team.run(&["-i", &input, "--journal", "j", "--set", &set]);
    ran.ended(0, &[]);
    assert_eq!(ran.stdout, format!("b(say {secret})\n"));
    for file in ["j", "j-wal"] {
        let bytes = std::fs::read(team.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|it| it == b"word-1"), "it is in {file}");
    }
    let again = team.orch(&["resume", "j", "--set", &set, "-q"]);
    assert_eq!(again.ended(0, &[]).stdout, "b(say ***)\n");
}

#[test]
fn a_stop_by_hand_can_be_resumed_too() {
    let team = Team::new(TEAM);
    let mut command = team.command("run", &["-i", "one", "-i", "slow", "--journal", "j"]);
    let mut orch = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("it is handled", || team.log().contains(&"a slow".to_owned()));
    kill_process(Pid::from_child(&orch), Signal::TERM).unwrap();
    assert_eq!(orch.wait().unwrap().code(), Some(130));
    team.file("go", b"");
    let resumed = team.orch(&["resume", "j"]);
    resumed.ended(0, &["run 1 ended (stopped by hand)"]);
    assert_eq!(resumed.stdout, "b(one)\nb(slow)\n");
}

#[test]
fn a_dead_letter_that_is_sent_again_makes_the_answer_whole() {
    let team = Team::new(TEAM);
    let ran = team.run(&["-i", "x", "-i", "y", "--journal", "j"]);
    ran.ended(6, &["gave up on input 1", "orch dead-letters list j"]);
    assert_eq!(ran.stdout, "b(y)\n");
    let list = team.orch(&["dead-letters", "list", "j", "--json"]).stdout;
    let letter: Value = serde_json::from_str(&list).unwrap();
    let id = letter["letter"]["message"]["id"].as_str().unwrap();
    team.orch(&["dead-letters", "resend", "j", "0000nothing"]).ended(2, &["no dead letter"]);
    team.orch(&["dead-letters", "resend", "j", id]).ended(0, &["orch resume j"]);
    team.orch(&["dead-letters", "resend", "j", id]).ended(2, &["no dead letter"]);
    team.file("mended", b"");
    let resumed = team.orch(&["resume", "j"]);
    resumed.ended(0, &["1 message for b", "completed in"]);
    assert_eq!(resumed.stdout, "b(x)\nb(y)\n");
    assert_eq!(team.log().iter().filter(|it| *it == "a x").count(), 1, "{:?}", team.log());
}

#[test]
fn a_message_that_killed_its_process_in_all_its_attempts_is_given_up_and_the_flow_goes_on() {
    let team = Team::new(&TEAM.replace("[agents.a]", "[agents.a]\nretries = 0"));
    team.killed(&[]);
    let resumed = team.orch(&["resume", "j"]);
    resumed.ended(6, &["`a` gave up on input 2", "the process ended during this attempt"]);
    assert_eq!(resumed.stdout, "b(one)\n");
    assert_eq!(team.log().iter().filter(|it| *it == "a slow").count(), 1);
}

#[test]
fn what_cannot_begin_makes_no_journal() {
    let team = Team::new(&TEAM.replace("[flow]\npipe", "[flow]\n#"));
    team.run(&["-i", "x", "--journal", "j"]).ended(2, &[]);
    let team_of_two =
        Team::new(&TEAM.replace("pipe = [\"a\", \"b\"]", "map = [\"a\"]\nover = \"lines\""));
    team_of_two.run(&["--journal", "j"]).ended(2, &["nothing to map"]);
    for team in [team, team_of_two] {
        assert!(!team.path().join("j").exists());
        team.orch(&["resume", "j"]).ended(2, &["j"]);
        assert!(!team.path().join("j").exists());
    }
}

#[test]
fn journals_of_others_are_left_alone() {
    let team = Team::new(TEAM);
    drop(SqliteStore::open(team.path().join("j"), SqliteOptions::new()).unwrap());
    team.orch(&["resume", "j"]).ended(2, &["no run was begun in j: orch run TEAM --journal j"]);
    let mut store = SqliteStore::open(team.path().join("j"), SqliteOptions::new()).unwrap();
    let started =
        Record::RunStarted { run: 1, team: None, guard: LoopGuard::default(), since: None };
    let set = Prepared::new(Timestamp::now(), [started], &Redactor::new()).unwrap();
    store.append(&[set]).unwrap()[0].clone().unwrap();
    team.run(&["-i", "x", "--journal", "j"]).ended(2, &["is in use by process"]);
    drop(store);
    team.run(&["-i", "x", "--journal", "j"]).ended(2, &["not of `orch run`"]);
    team.orch(&["resume", "j"]).ended(2, &["not of `orch run`"]);
    team.run(&["-i", "x", "--journal", "team.toml"]).ended(2, &["no journal"]);
}

/// As on a terminal, where it asks: `script` gives it one.
#[cfg(target_os = "linux")]
#[test]
fn a_person_is_shown_all_that_is_open_and_asked() {
    let team = Team::new(TEAM);
    team.killed(&[]);
    leave_more(&team.path().join("j"));
    let asked = |answer: &str| {
        let orch = env!("CARGO_BIN_EXE_orch");
        let script = format!("echo {answer} | script -qec '{orch} resume j' /dev/null");
        let mut command = Command::new("sh");
        Ran::from(command.args(["-c", &script]).current_dir(team.path()).output().unwrap())
    };
    let ran = asked("no");
    assert_eq!(ran.code, Some(130), "{ran:#?}");
    for text in [
        "waiting until 2100-",
        "for attempt 2",
        "a waits for the answer of b to ",
        "nobody knows how step 1 of ",
        "which called deploy",
        "1 dead letter: orch dead-letters list j",
        "go on? [Y/n]",
        "nothing was changed",
    ] {
        assert!(ran.stdout.contains(text), "`{text}` is missing in:\n{}", ran.stdout);
    }
    assert_eq!(team.log().len(), 3, "nothing was done");
    let state = SqliteStore::open(team.path().join("j"), SqliteOptions::new()).unwrap();
    assert!(state.state().is_cut_off(), "nothing was recorded");
}

/// What a cut-off process may leave besides: a question, a call that nobody knows the end of, a retry
/// and a dead letter.
fn leave_more(journal: &std::path::Path) {
    let mut store = SqliteStore::open(journal, SqliteOptions::new()).unwrap();
    let state = store.state();
    let delivery = state.mailboxes()[0];
    let (agent, message) = (delivery.message.to(), delivery.message.id());
    let to = state.agents().find(|it| it.config.name == "b").unwrap().id;
    let letter = AgentMessage::new(AgentId::OUTSIDE, to, "lost");
    let letter = DeadLetter::new(letter, DeadLetterReason::Expired, Timestamp::now());
    let key = StepKey { delivery: message, n: 1 };
    let call = ToolCall::new("deploy", Access::Execute);
    let input = ContentHash::of_call(&call);
    let retry_at = Timestamp::from_millis(4_118_083_200_000);
    let records = [
        Record::ToolDecided { agent, key, call, input, decision: Decision::Allow },
        Record::ToolStarted { agent, key, idempotent: false },
        Record::Asked { agent, question: MessageId::new(), to },
        Record::RetryScheduled { agent, message, attempt: 1, error: "x".into(), retry_at },
        Record::DeadLettered { letter },
    ];
    let set = Prepared::new(Timestamp::now(), records, &Redactor::new()).unwrap();
    store.append(&[set]).unwrap()[0].clone().unwrap();
}
