//! Programs that live as long as their session and speak JSON lines.

use std::sync::Arc;
use std::time::Duration;

use orch_connect::conformance::TestHost;
use orch_connect::{Session, SubprocessSession, ToolEnd};
use orch_core::FailureKind::{Final, Transient};
use orch_core::{
    Access, AgentId, AgentMessage, Content, Decision, Failure, MessagePriority, Outcome,
    PermissionLevel, StepKey, ToolPolicy, Usage,
};
use serde_json::json;

use crate::processes::{file, kept, mark, nothing_left, open_program, with};
use crate::support::{close, fails, open, turn, turn_with};

/// A program that says these lines (in the syntax of `printf`) as soon as it has its message.
async fn says(lines: &str) -> SubprocessSession {
    let script = "read -r message; printf \"$LINES_TO_SAY\"; cat > /dev/null";
    open_program(json!({
        "command": ["sh", "-c", script],
        "mode": "jsonl",
        "env": { "LINES_TO_SAY": lines },
        "output_bytes_max": 100_000,
    }))
    .await
}

async fn one_turn(lines: &str, host: &Arc<TestHost>) -> Outcome {
    let mut session = says(lines).await;
    let outcome = turn_with(&mut session, host.context("x")).await;
    close(session).await;
    outcome
}

/// Checks that the attempt fails, may be tried again, and that the session is at an end.
async fn breaks(lines: &str, words: &[&str]) {
    let mut session = says(lines).await;
    fails(turn(&mut session, "x").await, Transient, words);
    assert!(!session.is_open(), "a session is open after {lines}");
    close(session).await;
}

#[tokio::test]
async fn one_process_handles_message_after_message() {
    let command = ["sh", &file("examples/agents/greeter.sh")];
    let mut session = open_program(json!({ "command": command, "mode": "jsonl" })).await;
    for number in 1..=3 {
        let expected = Outcome::output(format!("hello, number {number}"));
        assert_eq!(turn(&mut session, "hi").await, expected);
        assert!(session.is_open());
    }
    close(session).await;
}

#[tokio::test]
async fn an_agent_asks_others_and_for_permission() {
    let policy = ToolPolicy::new("write".into(), PermissionLevel::ReadWrite);
    let settings = json!({
        "command": ["python3", file("examples/agents/reviewer.py")],
        "mode": "jsonl",
        "asks_permission": true,
    });
    let connector = orch_connect::Subprocess::new(kept());
    let mut session = open(&connector, with(settings).with_tool_policy(policy)).await;
    let answering = || {
        TestHost::new().with_agent("expert").with_agent("author").answering(|question| {
            let answer = format!("{} is fine", question.content()).into();
            async move { Ok(answer) }
        })
    };
    let host = Arc::new(answering().deciding(|_| Decision::Allow));
    let outcome = turn_with(&mut session, host.context("the parser")).await;
    assert_eq!(outcome, Outcome::output("the parser is fine (noted)"));
    assert_eq!(host.sent()[0].content(), "noted");
    assert_eq!(host.sent()[0].priority(), MessagePriority::High);
    assert_eq!(host.tools()[0].access, Access::Write);
    assert_eq!(host.tools()[0].paths, ["/notes/review.md"]);

    let host = Arc::new(answering().deciding(|_| Decision::deny("not today")));
    let outcome = turn_with(&mut session, host.context("the lexer")).await;
    assert_eq!(outcome, Outcome::output("the lexer is fine (not noted: not today)"));

    let outcome = turn(&mut session, "nobody is there").await;
    fails(outcome, Final, &["no opinion: no agent is called `expert`"]);
    assert!(session.is_open(), "a failure that the program reports ends only its turn");
    close(session).await;
}

/// Calls a tool twice, and tells how each call ended; then it tells of one that it never began.
const CALLS: &str = r#"
import json, sys
def say(**line):
    print(json.dumps(line), flush=True)
    return json.loads(sys.stdin.readline())
message = json.loads(sys.stdin.readline())
keys = []
for n in (1, 2):
    begun = say(type="tool", id=n, tool="pay", access="write", idempotent=n == 2)
    assert begun["decision"] == "allow", begun
    keys.append(begun["key"])
ended = [
    say(type="tool_end", id=3, key=keys[0], output="paid"),
    say(type="tool_end", id=4, key=keys[1], error="no connection"),
    say(type="tool_end", id=5, key=keys[0], output="paid twice"),
    say(type="tool_end", id=6, key="nonsense", output="x"),
    say(type="tool_end", id=7, key=keys[0]),
]
print(json.dumps({"type": "reply", "content": " ".join(it["type"] for it in ended)}))
print(json.dumps({"type": "ack"}), flush=True)
sys.stdin.read()
"#;

#[tokio::test]
async fn an_agent_tells_how_its_tool_calls_ended() {
    let settings = json!({ "command": ["python3", "-c", CALLS], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    let host = Arc::new(TestHost::new().deciding(|_| Decision::Allow));
    let context = host.context("x");
    let delivery = context.delivery_key();
    let outcome = turn_with(&mut session, context).await;
    assert_eq!(outcome, Outcome::output("recorded recorded error error error"));
    let error = "no connection".to_owned();
    let expected = [(1, ToolEnd::Done("paid".into())), (2, ToolEnd::NotDone { error })];
    let expected = expected.map(|(n, end)| (StepKey { delivery, n }, end));
    assert_eq!(host.tools_ended(), expected);
    close(session).await;
}

#[tokio::test]
async fn the_message_has_all_that_is_known_of_it() {
    let script =
        "read -r line; printf %s \"$line\" > seen; echo '{\"type\":\"ack\"}'; cat > /dev/null";
    let folder = tempfile::tempdir().expect("a folder");
    let settings = json!({
        "command": ["sh", "-c", script], "mode": "jsonl", "cwd": folder.path().to_str(),
    });
    let mut session = open_program(settings).await;
    let message = AgentMessage::new(AgentId::new(), AgentId::new(), "two\nlines")
        .with_priority(MessagePriority::Critical)
        .with_metadata("k", "v");
    let expected = json!({
        "type": "message",
        "id": message.id().to_string(),
        "delivery_key": message.id().to_string(),
        "from": message.from().to_string(),
        "to": message.to().to_string(),
        "content": "two\nlines",
        "priority": "critical",
        "attempt": 2,
        "metadata": { "k": "v" },
        "deadline_ms": null,
    });
    let host = Arc::new(TestHost::new());
    assert_eq!(turn_with(&mut session, host.context_of(message, 2)).await, Outcome::done());
    close(session).await;
    let seen = std::fs::read(folder.path().join("seen")).expect("the program wrote it");
    let seen: serde_json::Value = serde_json::from_slice(&seen).expect("it is a line of JSON");
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn every_line_reaches_the_host() {
    let host = Arc::new(TestHost::new().with_agent("b"));
    let outcome = one_turn(
        r#"{"type":"log","text":"hm"}
{"type":"usage","input_tokens":2,"output_tokens":3}
{"type":"send","to":"b","content":"1"}
{"type":"send","to":"b","content":"2","priority":"low","unknown":"ignored"}
{"type":"broadcast","content":"3"}
{"type":"publish","topic":"t","content":"4"}
{"type":"reply","content":"first"}
{"type":"reply","content":"last"}
{"type":"ack"}
"#,
        &host,
    )
    .await;
    assert_eq!(outcome, Outcome::output("last"));
    assert_eq!(host.said(), ["hm"]);
    assert_eq!(host.used(), Usage { input_tokens: 2, output_tokens: 3, ..Usage::default() });
    let sent: Vec<Content> = host.sent().iter().map(|it| it.content().clone()).collect();
    assert_eq!(sent, [Content::from("1"), Content::from("2")]);
    assert_eq!(host.broadcasts(), [Content::from("3")]);
    assert_eq!(host.published(), [("t".to_owned(), Content::from("4"))]);
}

#[tokio::test]
async fn a_failure_line_says_its_kind_and_its_wait() {
    let host = Arc::new(TestHost::new());
    let outcome = one_turn(r#"{"type":"fail","error":"busy","retry_after_ms":9}\n"#, &host).await;
    assert_eq!(
        outcome,
        Outcome::Nack(Failure::transient("busy").with_retry_after(Duration::from_millis(9)))
    );
    let outcome = one_turn(r#"{"type":"fail","error":"no","transient":false}\n"#, &host).await;
    assert_eq!(outcome, Outcome::Nack(Failure::last("no")));
}

#[tokio::test]
async fn a_line_that_means_nothing_ends_the_session() {
    breaks("hello\\n", &["a line that means nothing", "hello"]).await;
    breaks("\\n", &["means nothing"]).await;
    breaks(r#"{"type":"repyl","content":"a"}\n"#, &["unknown variant `repyl`"]).await;
    breaks(r#"{"type":"reply"}\n"#, &["missing field `content`"]).await;
    breaks(r#"{"type":"log","text":"\377"}\n"#, &["means nothing"]).await;
    breaks(r#"{"type":"reply","message":"message-1","content":"a"}\n"#, &["answered `message-1`"])
        .await;
    let long = format!("{{\"type\":\"log\",\"text\":\"{}\"}}\\n", "x".repeat(100_000));
    breaks(&long, &["a line has more than 100000 bytes"]).await;
}

#[tokio::test]
async fn an_exit_in_the_middle_is_a_failure_with_the_last_words() {
    let script = "read -r message; echo 'out of memory' >&2; exit 3";
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    let words = ["exited with 3 before it acknowledged", "out of memory"];
    fails(turn(&mut session, "x").await, Transient, &words);
    assert!(!session.is_open());
    close(session).await;
}

#[tokio::test]
async fn an_exit_after_the_acknowledgement_is_no_failure_of_the_turn() {
    let script = r#"read -r message; echo '{"type":"ack"}'; exit 3"#;
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    assert_eq!(turn(&mut session, "x").await, Outcome::done());
    crate::processes::until("the exit is seen", || !session.is_open()).await;
    close(session).await;
}

#[tokio::test]
async fn a_closed_stdout_is_a_failure() {
    let script = "exec >&-; sleep 600";
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl", "grace_ms": 100 });
    let mut session = open_program(settings).await;
    fails(turn(&mut session, "x").await, Transient, &["closed its stdout"]);
    close(session).await;
}

#[tokio::test]
async fn a_line_between_turns_ends_the_session_but_logs_and_usage_do_not() {
    for (line, is_allowed) in [
        (r#"{"type":"log","text":"late"}"#, true),
        (r#"{"type":"usage","input_tokens":5}"#, true),
        (r#"{"type":"reply","content":"late"}"#, false),
        (r#"{"type":"send","to":"b","content":"late"}"#, false),
        ("late", false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (go, gone) = (folder.path().join("go"), folder.path().join("gone"));
        let script = r#"read -r m; echo '{"type":"ack"}'; until [ -e go ]; do sleep 0.01; done
                        echo "$LINE"; touch gone; read -r m; echo '{"type":"ack"}'; read -r m"#;
        let settings = json!({
            "command": ["sh", "-c", script],
            "mode": "jsonl",
            "cwd": folder.path().to_str(),
            "env": { "LINE": line },
        });
        let mut session = open_program(settings).await;
        assert_eq!(turn(&mut session, "1").await, Outcome::done());
        std::fs::write(&go, "").expect("a file");
        crate::processes::until("the late line is written", || gone.exists()).await;
        let host = Arc::new(TestHost::new());
        let outcome = turn_with(&mut session, host.context("2")).await;
        if is_allowed {
            assert_eq!(outcome, Outcome::done(), "{line}");
            assert!(session.is_open());
            assert!(host.said() == ["late"] || host.used().input_tokens == 5);
        } else {
            fails(outcome, Transient, &[]);
            assert!(!session.is_open(), "{line}");
            assert!(host.sent().is_empty());
        }
        close(session).await;
    }
}

#[tokio::test]
async fn questions_wait_side_by_side_and_are_answered_by_id() {
    let script = r#"read -r m
        echo '{"type":"ask","id":"slow","to":"b","content":"slow"}'
        echo '{"type":"ask","id":"fast","to":"b","content":"fast"}'
        read -r first; read -r second
        case "$first$second" in *fast*'"id":"fast"'*slow*'"id":"slow"'*) echo '{"type":"ack"}';; esac
        read -r m"#;
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    let fast_is_done = Arc::new(tokio::sync::Notify::new());
    let host = TestHost::new().with_agent("b").answering(move |question| {
        let (content, done) = (question.content().clone(), Arc::clone(&fast_is_done));
        async move {
            if content == "slow" {
                done.notified().await;
            } else {
                done.notify_one();
            }
            Ok(content)
        }
    });
    assert_eq!(turn_with(&mut session, Arc::new(host).context("x")).await, Outcome::done());
    close(session).await;
}

#[tokio::test]
async fn more_than_64_open_questions_are_refused_by_id() {
    let script = r#"read -r m; i=0
        while [ $i -lt 65 ]; do i=$((i+1)); echo '{"type":"ask","id":'$i',"to":"b","content":""}'; done
        read -r refusal
        case "$refusal" in *'"id":65'*'"type":"error"'*) echo '{"type":"ack"}';; esac; read -r m"#;
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    let host = TestHost::new().with_agent("b").answering(|_| std::future::pending());
    assert_eq!(turn_with(&mut session, Arc::new(host).context("x")).await, Outcome::done());
    close(session).await;
}

#[tokio::test]
async fn a_program_that_floods_before_it_reads_does_not_hang() {
    let script = r#"yes '{"type":"log","text":"x"}' | head -n 20000; cat > all &
        sleep 0; echo '{"type":"ack"}'; wait"#;
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    let host = Arc::new(TestHost::new());
    let content = "x".repeat(4 << 20);
    assert_eq!(turn_with(&mut session, host.context(content)).await, Outcome::done());
    assert_eq!(host.said().len(), 20_000);
    close(session).await;
}

#[tokio::test]
async fn a_program_that_never_reads_its_answers_is_a_failure() {
    // Each refusal names the agent that is not there: a kilobyte for which nobody reads.
    let script = r#"read -r message; name=$(printf '%01000d' 0)
        yes '{"type":"send","to":"'$name'","content":""}'"#;
    let settings = json!({ "command": ["sh", "-c", script], "mode": "jsonl" });
    let mut session = open_program(settings).await;
    fails(turn(&mut session, "x").await, Transient, &["does not read its stdin"]);
    close(session).await;
}

#[tokio::test]
async fn a_program_is_told_to_stop_before_it_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"while read -r line; do case "$line" in
        *'"type":"message"'*) echo '{"type":"ack"}' ;;
        *'"type":"stop"'*) touch stopped; exit 0 ;; esac; done"#;
    let settings = json!({
        "command": ["sh", "-c", script],
        "mode": "jsonl",
        "cwd": folder.path().to_str(),
        "grace_ms": 60_000,
    });
    let mut session = open_program(settings).await;
    assert_eq!(turn(&mut session, "x").await, Outcome::done());
    let closed = tokio::time::timeout(Duration::from_secs(25), session.close()).await;
    assert!(closed.is_ok(), "closing waited for the grace of a program that had stopped");
    assert!(folder.path().join("stopped").exists());
}

#[tokio::test]
async fn a_cut_off_session_takes_no_other_turn() {
    let mark = mark();
    let settings = json!({
        "command": ["sleep", "600"], "mode": "jsonl", "env": { "M": mark }, "grace_ms": 100,
    });
    let mut session = open_program(settings).await;
    let context = Arc::new(TestHost::new()).context("x");
    let cut = tokio::time::timeout(Duration::from_millis(50), session.turn(context)).await;
    assert!(cut.is_err());
    assert!(!session.is_open());
    fails(turn(&mut session, "x").await, Transient, &["was cut off"]);
    close(session).await;
    nothing_left(&mark);
}
