//! Programs that run for each message.

use std::sync::Arc;

use orch_connect::conformance::TestHost;
use orch_connect::{Containment, Session, Subprocess};
use orch_core::FailureKind::{Final, Transient};
use orch_core::{AgentId, AgentMessage, MessagePriority, Outcome};
use serde_json::json;

use crate::processes::{file, open_program, run_once, with};
use crate::support::{close, fails, failure, open, turn, turn_with};

async fn shell(script: &str, content: &str) -> Outcome {
    run_once(json!({ "command": ["sh", "-c", script] }), content).await
}

#[tokio::test]
async fn the_content_is_stdin_and_stdout_is_the_answer() {
    let command = [file("examples/agents/shout.sh")];
    let outcome = run_once(json!({ "command": ["sh", command[0]] }), "make it loud").await;
    assert_eq!(outcome, Outcome::output("MAKE IT LOUD"));
}

#[tokio::test]
async fn arguments_are_never_read_by_a_shell() {
    let command = ["printf", "%s", "$HOME `id` ; rm -rf *"];
    let outcome = run_once(json!({ "command": command }), "").await;
    assert_eq!(outcome, Outcome::output("$HOME `id` ; rm -rf *"));
}

#[tokio::test]
async fn exit_0_without_an_answer_is_a_failure() {
    fails(shell("exit 0", "x").await, Transient, &["exited with 0 without an answer"]);
    fails(shell("echo >&2 no model; echo", "x").await, Transient, &["without", "no model"]);
}

#[tokio::test]
async fn an_exit_code_is_the_outcome_and_stderr_explains_it() {
    let script = "cat >&2; exit $CODE";
    for (code, kind, name) in [
        (1, Transient, "exited with 1:"),
        (75, Transient, "75 (EX_TEMPFAIL)"),
        (64, Final, "64 (EX_USAGE)"),
        (65, Final, "65 (EX_DATAERR)"),
        (77, Final, "77 (EX_NOPERM)"),
        (78, Final, "78 (EX_CONFIG)"),
    ] {
        let env = json!({ "CODE": code.to_string() });
        let settings = json!({ "command": ["sh", "-c", script], "env": env });
        fails(run_once(settings, "first\nlast words").await, kind, &[name, "first / last words"]);
    }
    fails(shell("echo answer; exit 3", "x").await, Transient, &["exited with 3"]);
}

#[tokio::test]
async fn a_signal_is_a_failure_that_may_be_tried_again() {
    fails(shell("kill -9 $$", "x").await, Transient, &["was killed by signal 9"]);
}

#[tokio::test]
async fn output_that_is_not_utf8_fails_for_good() {
    fails(shell("printf 'a\\377b'", "x").await, Final, &["not UTF-8"]);
}

#[tokio::test]
async fn a_program_need_not_read_its_stdin() {
    let content = "x".repeat(10 << 20);
    assert_eq!(shell("echo done", &content).await, Outcome::output("done"));
    assert_eq!(shell("exec <&-; sleep 0.1; echo done", &content).await, Outcome::output("done"));
}

#[tokio::test]
async fn ten_megabytes_go_both_ways_at_once() {
    let content = "0123456789abcdef".repeat(10 << 16);
    let both = run_once(json!({ "command": ["tee", "/dev/stderr"] }), content.as_str()).await;
    assert!(both == Outcome::output(content.as_str()), "it came back changed");
}

#[tokio::test]
async fn a_flood_of_output_is_cut_off_for_good() {
    let settings = json!({ "command": ["yes"], "output_bytes_max": 1_000_000 });
    fails(run_once(settings, "").await, Final, &["wrote more than 1000000 bytes"]);
}

#[tokio::test]
async fn a_flood_of_stderr_is_read_and_forgotten() {
    let script = "yes | head -c 20000000 >&2; echo done";
    assert_eq!(shell(script, "").await, Outcome::output("done"));
}

#[tokio::test]
async fn a_truncated_answer_says_so_twice() {
    let script = "yes é | head -c 100000";
    let settings = json!({
        "command": ["sh", "-c", script], "output_bytes_max": 1000, "truncate": true,
    });
    let mut session = open_program(settings).await;
    let host = Arc::new(TestHost::new());
    let outcome = turn_with(&mut session, host.context("")).await;
    let Outcome::Ack { output: Some(output) } = outcome else { panic!("{outcome:?}") };
    let note = "[truncated: the program wrote more than 1000 bytes]";
    assert!(output.ends_with(&format!("\n{note}")), "{output}");
    assert_eq!(host.said(), [note]);
    close(session).await;
}

#[tokio::test]
async fn the_message_is_described_in_the_environment() {
    let script = "echo $ORCH_MESSAGE_ID $ORCH_DELIVERY_KEY $ORCH_ATTEMPT $ORCH_FROM $ORCH_PRIORITY $ORCH_METADATA_FILE \
                  $ORCH_AGENT_NAME";
    let mut session = open_program(json!({ "command": ["sh", "-c", script] })).await;
    let from = AgentId::new();
    let message = AgentMessage::new(from, AgentId::new(), "x")
        .with_priority(MessagePriority::High)
        .with_metadata("file", "a.rs");
    let id = message.id();
    let host = Arc::new(TestHost::new());
    let outcome = turn_with(&mut session, host.context_of(message, 3)).await;
    assert_eq!(outcome, Outcome::output(format!("{id} {id} 3 {from} high a.rs subject")));
    close(session).await;
}

#[tokio::test]
async fn hostile_metadata_does_not_break_the_start() {
    let message = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "x")
        .with_metadata("nul", "a\0b")
        .with_metadata("=", "c")
        .with_metadata("long", "y".repeat(1 << 20));
    let mut session = open_program(json!({ "command": ["cat"] })).await;
    let outcome = turn_with(&mut session, Arc::new(TestHost::new()).context_of(message, 1)).await;
    assert_eq!(outcome, Outcome::output("x"));
    close(session).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_fails_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("broken");
    std::fs::write(&program, "\0 no program").expect("a file");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("its mode");
    let settings = json!({ "command": [program.to_str()] });
    fails(run_once(settings.clone(), "").await, Final, &["could not be started"]);

    let mut session = open(&Subprocess::new(Containment::Group), with(settings)).await;
    fails(turn(&mut session, "").await, Final, &["could not be started"]);
}

#[tokio::test]
async fn a_session_goes_on_after_failures_and_keeps_its_folders() {
    let script = "test -e $HOME/seen || { touch $HOME/seen; exit 1; }; echo again";
    let mut session = open_program(json!({ "command": ["sh", "-c", script] })).await;
    failure(turn(&mut session, "").await);
    assert!(session.is_open());
    assert_eq!(turn(&mut session, "").await, Outcome::output("again"));
    close(session).await;
}
