//! What a journal says, and what is taken out of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use orch_journal::conformance::History;
use orch_journal::{
    ContentHash, Prepared, Record, Redactor, SqliteOptions, SqliteStore, StepKey, StepKind, Store,
};
use orch_runtime::{
    AgentConfig, AgentId, AgentMessage, AgentRole, AttemptError, DeadLetter, DeadLetterReason,
    LoopGuard, MessageId, StopReason, Timestamp, Usage,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Ran;

/// 2027-01-15 08:00:00 UTC.
const BEGIN: u64 = 1_800_000_000_000;
const OUTSIDE: AgentId = AgentId::OUTSIDE;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN + millis)
}

fn agent(n: u8) -> AgentId {
    format!("01998877-0000-7000-8000-0000000000a{n}").parse().unwrap()
}

fn id(n: u8) -> MessageId {
    format!("01998877-0000-7000-8000-0000000000b{n}").parse().unwrap()
}

fn message(n: u8, from: AgentId, to: AgentId, text: &str) -> AgentMessage {
    serde_json::from_value(json!({
        "id": id(n), "from": from, "to": to, "content": text, "created_at": at(0),
    }))
    .unwrap()
}

/// A journal in a folder of its own.
struct Journal {
    folder: TempDir,
}

impl Journal {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run.journal")
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.path(), SqliteOptions::new()).unwrap()
    }

    fn append(&self, records: Vec<(u64, Record)>) {
        let mut store = self.store();
        for (millis, record) in records {
            let redactor = Redactor::new().with_secrets(["hunter22"]);
            let set = Prepared::new(at(millis), [record], &redactor).unwrap();
            store.append(&[set]).unwrap()[0].clone().unwrap();
        }
    }

    /// `orch ARGS`, where `run.journal` is this one, in a place five hours and a half before
    /// Greenwich.
    fn orch(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        command.args(args).current_dir(self.folder.path()).env("TZ", "<+0530>-5:30");
        Ran::from(command.output().unwrap())
    }

    #[track_caller]
    fn says(&self, args: &[&str], expected: &str) {
        let ran = self.orch(args);
        ran.ended(0, &[]);
        assert_eq!(ran.stdout, expected, "\n{}", ran.stdout);
    }

    /// The objects that it prints.
    #[track_caller]
    fn objects(&self, args: &[&str]) -> Vec<Value> {
        let ran = self.orch(args);
        ran.ended(0, &[]);
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn register(n: u8, name: &str) -> Record {
    let config = AgentConfig::new(name.to_owned(), AgentRole::Worker, "function".to_owned());
    let config = config.with_setting("api_key", "sk-123456");
    Record::AgentRegistered { agent: agent(n), config, parent: None }
}

fn accepted(message: AgentMessage) -> Record {
    Record::Accepted { message, origin_run: 0, origin_round: 0, step: None }
}

fn started(n: u8, who: u8, attempt: u32, round: u64) -> Record {
    Record::AttemptStarted { agent: agent(who), message: id(n), attempt, round }
}

/// A writer hands on to a critic, who fails twice.
fn a_run() -> Journal {
    let first = message(1, OUTSIDE, agent(1), "write the parser\nwith tests, pass hunter22");
    let second = message(2, agent(1), agent(2), "look at \u{1b}[31mthis\u{9b}\u{202e}");
    let second = second.caused_by(&first);
    let letter = DeadLetter::new(second.clone(), DeadLetterReason::AttemptsExhausted, at(4_600));
    let failed = |attempt, millis| AttemptError::new(attempt, "busy\u{1b}[31m\nreally", at(millis));
    let letter = letter.with_attempts(vec![failed(1, 2_000), failed(2, 4_600)]);
    let usage =
        Usage { input_tokens: 5, output_tokens: 7, cost_micro_usd: 1_500, ..Usage::default() };
    let step = Record::StepTaken {
        agent: agent(1),
        key: StepKey { delivery: id(1), n: 1 },
        kind: StepKind::Send,
        name: "critic".to_owned(),
        input: ContentHash::of(b"look"),
        output: None,
    };
    let retry = Record::RetryScheduled {
        agent: agent(2),
        message: id(2),
        attempt: 1,
        error: "busy\u{1b}[31m\nreally".to_owned(),
        retry_at: at(4_500),
    };
    let settled = Record::Settled {
        agent: agent(1),
        message: id(1),
        attempt: 1,
        output: Some("done".into()),
        usage,
        handling_ms: 1_200,
    };
    let chain = Some(first.chain());
    let journal = Journal::new();
    journal.append(vec![
        (0, register(1, "writer")),
        (0, register(2, "critic")),
        (10, Record::RunStarted { run: 1, team: None, guard: LoopGuard::default(), since: None }),
        (20, accepted(first)),
        (30, started(1, 1, 1, 1)),
        (40, step),
        (40, accepted(second)),
        (1_230, settled),
        (1_230, Record::Used { agent: agent(1), chain, usage }),
        (1_300, started(2, 2, 1, 2)),
        (2_000, retry),
        (4_500, started(2, 2, 2, 2)),
        (4_600, Record::DeadLettered { letter }),
        (4_700, accepted(message(3, OUTSIDE, agent(1), "later"))),
        (5_000, Record::RunEnded { run: 1, reason: StopReason::Completed }),
    ]);
    journal
}

#[test]
fn show_tells_the_runs_the_agents_and_what_waits() {
    a_run().says(
        &["journal", "show", "run.journal"],
        "\
15 events, the last at 2027-01-15 13:30:05.000; nobody is writing it

run  began                     took  iterations  used                   ended
  1  2027-01-15 13:30:00.010  5.0 s           2  12 tokens, 0.0015 USD  completed

agent   connector  waiting  used
writer  function         1  12 tokens, 0.0015 USD
critic  function         0

message  for     priority  is       content
     14  writer  Normal    waiting  later

1 dead letter: orch dead-letters list
",
    );
}

#[test]
fn a_timeline_is_in_order_and_local_and_moves_no_cursor() {
    a_run().says(
        &["journal", "timeline", "run.journal"],
        "\
event  at                       message  agent   what
    1  2027-01-15 13:30:00.000           writer  registered: function
    2  2027-01-15 13:30:00.000           critic  registered: function
    3  2027-01-15 13:30:00.010                   run 1 started, limits: 100 iterations, 50 messages an agent, 10 min 0 s
    4  2027-01-15 13:30:00.020        4  writer  accepted from outside: write the parser (+1 line)
    5  2027-01-15 13:30:00.030        4  writer  attempt 1 began in round 1
    6  2027-01-15 13:30:00.040        4  writer  step 1: sends to critic
    7  2027-01-15 13:30:00.040        7  critic  accepted from writer: look at ·[31mthis··
    8  2027-01-15 13:30:01.230        4  writer  handled in 1.2 s (12 tokens, 0.0015 USD): done
    9  2027-01-15 13:30:01.230           writer  used 12 tokens, 0.0015 USD
   10  2027-01-15 13:30:01.300        7  critic  attempt 1 began in round 2
   11  2027-01-15 13:30:02.000        7  critic  attempt 1 failed (busy·[31m (+1 line)), tried again in 2.5 s
   12  2027-01-15 13:30:04.500        7  critic  attempt 2 began in round 2
   13  2027-01-15 13:30:04.600        7  critic  given up: every allowed attempt failed
   14  2027-01-15 13:30:04.700       14  writer  accepted from outside: later
   15  2027-01-15 13:30:05.000                   run 1 ended: completed
",
    );
}

#[test]
fn a_timeline_can_be_shortened_to_the_last_the_newest_a_run_and_a_message() {
    let journal = a_run();
    let seqs = |args: &[&str]| -> Vec<u64> {
        let args = [&["journal", "timeline", "run.journal", "--json"], args].concat();
        journal.objects(&args).iter().map(|it| it["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&["--limit", "2"]), [14, 15]);
    assert_eq!(seqs(&["--limit", "all"]).len(), 15);
    assert_eq!(seqs(&["--since", "2027-01-15 13:30:04.6"]), [13, 14, 15]);
    assert_eq!(seqs(&["--since", "2027-01-15T08:00:04.6Z", "--limit", "2"]), [14, 15]);
    assert_eq!(seqs(&["--run", "1"]), (3..=15).collect::<Vec<_>>());
    let of_the_first = [4, 5, 6, 8];
    assert_eq!(seqs(&["--message", "4"]), of_the_first);
    assert_eq!(seqs(&["--message", "8"]), of_the_first);
    assert_eq!(seqs(&["--message", "00b1"]), of_the_first);
    assert_eq!(seqs(&["--message", &id(1).to_string()]), of_the_first);
}

#[test]
fn an_agent_is_found_by_its_name_and_by_a_part_of_its_id() {
    let journal = a_run();
    let expected = "\
critic (agent-01998877-0000-7000-8000-0000000000a2)
Worker, driven by function

event  at                       message  agent   what
   12  2027-01-15 13:30:04.500        7  critic  attempt 2 began in round 2
   13  2027-01-15 13:30:04.600        7  critic  given up: every allowed attempt failed
";
    for name in ["critic", "00a2", &agent(2).to_string()] {
        journal.says(&["journal", "agent", "run.journal", name, "--limit", "2"], expected);
    }
    let object = &journal.objects(&["journal", "agent", "run.journal", "writer", "--json"])[0];
    assert_eq!(object["agent"]["config"]["name"], "writer");
    assert_eq!(object["waiting"][0]["message"]["content"], "later");
    assert_eq!(object["events"].as_array().unwrap().len(), 7);
}

#[test]
fn a_chain_is_a_tree_with_what_its_messages_came_to() {
    let journal = a_run();
    let expected = "\
message  at                       way                came to                                 content
      4  2027-01-15 13:30:00.020  outside → writer   handled in 1.2 s                        write the parser (+1 line)
      7  2027-01-15 13:30:00.040    writer → critic  given up: every allowed attempt failed  look at ·[31mthis··
";
    for message in ["4", "13", "00b2", "chain-01998877-0000-7000-8000-0000000000b1"] {
        journal.says(&["journal", "chain", "run.journal", message], expected);
    }
}

#[test]
fn stats_and_verify_give_figures() {
    let journal = a_run();
    let stats = &journal.objects(&["journal", "stats", "run.journal", "--json"])[0];
    assert_eq!((&stats["n_events"], &stats["n_letters"]), (&json!(15), &json!(1)));
    assert_eq!(stats["n_by_kind"]["accepted"], 3);
    assert_eq!(stats["spent"]["output_tokens"], 7);
    let ran = journal.orch(&["journal", "stats", "run.journal"]);
    ran.ended(0, &[]);
    for text in ["15  events kept", "3  accepted", "1  dead letters"] {
        assert!(ran.stdout.contains(text), "`{text}` is missing in:\n{}", ran.stdout);
    }
    journal.says(
        &["journal", "verify", "run.journal"],
        "undamaged: 15 events; what is live is what follows from them\n",
    );
}

#[test]
fn a_dead_letter_is_listed_shown_and_dropped() {
    let journal = a_run();
    journal.says(
        &["dead-letters", "list", "run.journal", "--agent", "critic"],
        "\
message  given up at              for     attempts  why                           content
      7  2027-01-15 13:30:04.600  critic         2  every allowed attempt failed  look at ·[31mthis··
",
    );
    journal
        .orch(&["dead-letters", "list", "run.journal", "--agent", "writer"])
        .ended(0, &["no dead"]);
    journal.says(
        &["dead-letters", "show", "run.journal", "7"],
        "\
message      7 (message-01998877-0000-7000-8000-0000000000b2)
from         writer
for          critic
priority     Normal
chain        chain-01998877-0000-7000-8000-0000000000b1, hop 1
sent at      2027-01-15 13:30:00.000
given up at  2027-01-15 13:30:04.600
why          every allowed attempt failed

attempt 1 at 2027-01-15 13:30:02.000
  busy·[31m
  really

attempt 2 at 2027-01-15 13:30:04.600
  busy·[31m
  really

content
  look at ·[31mthis··
",
    );
    journal.orch(&["dead-letters", "drop", "run.journal", "4"]).ended(2, &["no dead letter `4`"]);
    journal.orch(&["dead-letters", "drop", "run.journal"]).ended(2, &["MESSAGE", "--all"]);
    journal
        .orch(&["dead-letters", "drop", "run.journal", "13", "00b2"])
        .ended(0, &["dropped 1 dead letter\n"]);
    assert!(journal.objects(&["dead-letters", "list", "run.journal", "--json"]).is_empty());
    journal.orch(&["dead-letters", "drop", "run.journal", "--all"]).ended(0, &["dropped 0"]);
    journal.orch(&["journal", "verify", "run.journal"]).ended(0, &[]);
}

#[test]
fn what_waits_and_dead_letters_survive_a_prune() {
    let journal = a_run();
    let prune = |before| journal.orch(&["prune", "run.journal", "--before", before]);
    prune("2027-01-15 13:30").ended(0, &["removed 0 events", "15 events are left"]);
    let ran = prune("2027-01-15 13:31");
    ran.ended(0, &["removed ", "of runs that ended before 2027-01-15 13:31:00.000"]);
    let letters = journal.objects(&["dead-letters", "list", "run.journal", "--json"]);
    assert_eq!(letters[0]["letter"]["message"]["id"], json!(id(2)));
    let shown = &journal.objects(&["journal", "show", "run.journal", "--json"])[0];
    assert_eq!(shown["waiting"][0]["message"]["content"], "later");
    let verified = &journal.objects(&["journal", "verify", "run.journal", "--json"])[0];
    let n = |key: &str| verified[key].as_u64().unwrap();
    assert!(n("n_pruned") > 0 && n("n_pruned") + n("n_events") == 15, "{verified}");
    // Its timeline ends where it was pruned.
    journal.orch(&["journal", "timeline", "run.journal"]).ended(0, &[]);
    journal.orch(&["journal", "agent", "run.journal", "writer"]).ended(0, &[]);
    prune("soon").ended(2, &["--before", "7d"]);
}

#[test]
fn a_journal_that_is_written_can_be_asked_and_not_changed() {
    let journal = a_run();
    let _writer = journal.store();
    let process = format!("process {}", std::process::id());
    let shown = journal.orch(&["journal", "show", "run.journal"]);
    shown.ended(0, &[]);
    assert!(shown.stdout.contains(&format!("{process} is writing it")), "{}", shown.stdout);
    journal.orch(&["journal", "verify", "run.journal"]).ended(0, &[]);
    let in_use = ["is in use by ", &process, "stop that first"];
    journal.orch(&["dead-letters", "drop", "run.journal", "--all"]).ended(2, &in_use);
    journal.orch(&["prune", "run.journal", "--before", "1s"]).ended(2, &in_use);
}

#[test]
fn a_journal_that_was_cut_off_says_so_and_dropping_a_letter_leaves_it_so() {
    let journal = a_run();
    journal.append(vec![
        (
            6_000,
            Record::RunStarted { run: 2, team: None, guard: LoopGuard::unlimited(), since: None },
        ),
        (6_000, started(3, 1, 1, 1)),
    ]);
    let is_cut_off = || {
        let shown = &journal.objects(&["journal", "show", "run.journal", "--json"])[0];
        shown["cut_off"] == true && shown["runs"][1]["ended"].is_null()
    };
    assert!(is_cut_off());
    journal.orch(&["dead-letters", "drop", "run.journal", "--all"]).ended(0, &["dropped 1"]);
    assert!(is_cut_off());
    let shown = journal.orch(&["journal", "show", "run.journal"]);
    for text in ["the process that wrote it was cut off", "at attempt 1", "open\n"] {
        assert!(shown.stdout.contains(text), "`{text}` is missing in:\n{}", shown.stdout);
    }
}

#[test]
fn secrets_are_masked_wherever_it_is_looked() {
    let journal = a_run();
    for args in [
        &["journal", "show", "run.journal", "--json"][..],
        &["journal", "timeline", "run.journal", "--json"],
        &["journal", "agent", "run.journal", "writer", "--json"],
        &["journal", "chain", "run.journal", "4", "--json"],
    ] {
        let ran = journal.orch(args);
        ran.ended(0, &[]);
        assert!(ran.stdout.contains("***"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("hunter22") && !ran.stdout.contains("sk-123456"), "{args:?}");
    }
}

#[test]
fn damage_is_named_with_its_place_and_has_a_code_of_its_own() {
    let journal = a_run();
    let mut bytes = std::fs::read(journal.path()).unwrap();
    let text = b"write the parser";
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place] = b'W');
    std::fs::write(journal.path(), bytes).unwrap();
    for args in [["journal", "verify", "run.journal"], ["journal", "timeline", "run.journal"]] {
        journal.orch(&args).ended(7, &["damage at event 4"]);
    }
}

#[test]
fn what_is_no_journal_is_refused_and_nothing_is_made() {
    let journal = Journal::new();
    let refused = |args: &[&str], said: &[&str]| {
        journal.orch(args).ended(2, said);
    };
    refused(&["journal", "show", "none.journal"], &["none.journal", "No such file"]);
    refused(&["dead-letters", "drop", "none.journal", "--all"], &["none.journal", "No such file"]);
    refused(&["prune", "none.journal", "--before", "7d"], &["none.journal", "No such file"]);
    assert_eq!(std::fs::read_dir(journal.folder.path()).unwrap().count(), 0);
    std::fs::write(journal.path(), "not a journal, but long enough to be taken for one".repeat(99))
        .unwrap();
    refused(&["journal", "show", "run.journal"], &["run.journal is no journal"]);
    std::fs::write(journal.path(), "").unwrap();
    refused(&["journal", "stats", "run.journal"], &["run.journal is no journal"]);
    refused(&["prune", "run.journal", "--before", "7d"], &["run.journal is no journal"]);
}

#[test]
fn what_is_not_there_is_told_with_what_was_asked_for() {
    let journal = a_run();
    let refused = |args: &[&str], said: &[&str]| {
        journal.orch(&[&["journal"], args].concat()).ended(2, said);
    };
    refused(&["agent", "run.journal", "nobody"], &["there is no agent `nobody`"]);
    refused(&["agent", "run.journal", "0199"], &["`0199` may be any of these: critic ("]);
    refused(&["chain", "run.journal", "99"], &["there is no event 99"]);
    refused(&["chain", "run.journal", "3"], &["event 3 is about no message"]);
    refused(&["chain", "run.journal", "\u{1b}[31m"], &["there is no message `·[31m`"]);
    refused(&["timeline", "run.journal", "--run", "2"], &["there is no run 2"]);
    refused(&["timeline", "run.journal", "--limit", "0"], &["--limit", "from 1 on"]);
    refused(&["timeline", "run.journal", "--since", "soon"], &["--since", "30m"]);
    refused(&["timeline", "run.journal", "--run", "1", "--message", "4"], &["cannot be used with"]);
}

/// Every kind of record, in any order that could have happened.
#[test]
fn whatever_happened_is_shown_on_lines_that_move_no_cursor() {
    for seed in 1..=4 {
        let journal = Journal::new();
        let (mut store, mut history) = (journal.store(), History::new(seed));
        for _ in 0..300 {
            let set = history.next_set();
            let set = Prepared::new(set.at, set.records, &Redactor::new()).unwrap();
            store.append(&[set]).unwrap()[0].clone().unwrap();
        }
        drop(store);
        let all = ["--limit", "all"];
        let timeline = journal
            .objects(&[&["journal", "timeline", "run.journal", "--json"], &all[..]].concat());
        for args in [
            &["journal", "show", "run.journal"][..],
            &["journal", "timeline", "run.journal", "--limit", "all"],
            &["journal", "agent", "run.journal", "agent 1"],
            &["journal", "stats", "run.journal"],
            &["journal", "verify", "run.journal"],
            &["dead-letters", "list", "run.journal"],
        ] {
            let ran = journal.orch(args);
            ran.ended(0, &[]);
            assert!(!ran.stdout.contains(|c: char| c.is_control() && c != '\n'), "{}", ran.stdout);
            assert!(!ran.stdout.contains("does not know"), "{}", ran.stdout);
            if args[1] == "timeline" {
                assert_eq!(ran.stdout.lines().count(), 1 + timeline.len());
            }
        }
        let accepted = timeline.iter().find(|it| it["record"].get("accepted").is_some());
        let seq = accepted.unwrap()["seq"].to_string();
        journal.orch(&["journal", "chain", "run.journal", &seq]).ended(0, &[]);
    }
}

/// One that an earlier program wrote.
#[test]
fn a_journal_of_the_first_format_is_shown() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../orch-journal/tests/golden/v2.journal");
    let journal = Journal::new();
    std::fs::copy(golden, journal.path()).unwrap();
    for args in [["journal", "show"], ["journal", "verify"], ["dead-letters", "list"]] {
        journal.orch(&[&args[..], &["run.journal"]].concat()).ended(0, &[]);
    }
}
