//! The JSON of the types, pinned: each file must be what is written, and must read back equal.
//!
//! A file that changes is a change of the contract with every program that speaks this JSON.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use orch_core::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The golden file `name` is exactly `value` in JSON. `ORCH_GOLDEN=write` writes it instead.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    let written = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("ORCH_GOLDEN").is_some() {
        fs::write(&path, &written).unwrap();
    }
    let golden =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, golden, "{name}");
    assert_eq!(&serde_json::from_str::<T>(&golden).unwrap(), value, "{name}");
}

fn agent(n: u128) -> AgentId {
    AgentId::from_uuid(uuid::Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + n))
}

fn message_id(n: u128) -> MessageId {
    MessageId::from_uuid(uuid::Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0001_0000 + n))
}

fn message() -> AgentMessage {
    let form = json!({
        "id": message_id(1), "from": agent(1), "to": agent(2), "content": "Task 1",
        "priority": "High", "created_at": 1_700_000_000_000_u64,
    });
    serde_json::from_value(form).unwrap()
}

#[test]
fn an_agent_config_is_what_the_register_command_takes() {
    let policy = ToolPolicy::new("file_system".into(), PermissionLevel::ReadWrite)
        .with_rate_limit(100)
        .with_allowed_path("/srv/data");
    let config = AgentConfig::new("worker-1".into(), AgentRole::Worker, "claude_code".into())
        .with_tool_policy(policy)
        .with_setting("model", "m");
    check("agent_config", &config);
    check("agent_metadata", &AgentMetadata::new(agent(1), config, Timestamp::from_millis(1)));
}

#[test]
fn the_json_of_the_register_command_stays_valid() {
    let json = json!({
        "name": "worker-1", "role": "Worker", "connector_type": "claude_code",
        "max_retries": 3, "timeout_ms": 300_000, "tool_policies": [],
    });
    let config: AgentConfig = serde_json::from_value(json).unwrap();
    let default = AgentConfig::new("worker-1".into(), AgentRole::Worker, "claude_code".into());
    assert_eq!(config, default);
}

#[test]
fn roles_statuses_and_levels_are_spelt_as_they_are_shown() {
    check(
        "roles",
        &vec![
            AgentRole::Coordinator,
            AgentRole::Worker,
            AgentRole::Reviewer,
            AgentRole::Custom("planner".into()),
        ],
    );
    check(
        "statuses",
        &vec![
            AgentStatus::Idle,
            AgentStatus::Processing,
            AgentStatus::Waiting,
            AgentStatus::Failed { reason: "broken".into() },
        ],
    );
    check("priorities", &MessagePriority::MOST_URGENT_FIRST.to_vec());
    use PermissionLevel::{Denied, Full, ReadOnly, ReadWrite};
    check("permission_levels", &vec![Denied, ReadOnly, ReadWrite, Full]);
}

#[test]
fn a_message_shows_nothing_where_there_is_nothing() {
    check("message", &message());
    let follow_up = AgentMessage::clone(&message())
        .caused_by(&message())
        .with_correlation(message_id(7))
        .with_metadata("file", "a.rs")
        .with_deadline(Timestamp::from_millis(9));
    check("message_with_everything", &follow_up);
}

#[test]
fn where_a_message_was_sent_never_leaves_the_process() {
    let sent = message().with_origin(Origin { run: 3, round: 4 });
    let json: Value = serde_json::to_value(&sent).unwrap();
    assert!(json.get("origin").is_none());
    assert_eq!(serde_json::from_value::<AgentMessage>(json).unwrap().origin(), Origin::default());
}

#[test]
fn guards_and_stop_reasons_have_the_names_of_the_document() {
    check("loop_guard", &LoopGuard::default());
    check(
        "stop_reasons",
        &vec![
            StopReason::Completed,
            StopReason::MaxIterations,
            StopReason::MaxMessagesPerAgent { agent_id: agent(1), count: 50 },
            StopReason::MaxExecutionTime,
            StopReason::AgentError { agent_id: agent(1), error: "broken".into() },
            StopReason::ManualStop,
            StopReason::JournalFailed { error: "disk I/O error".into() },
        ],
    );
}

#[test]
fn deliveries_outcomes_and_dead_letters_can_be_kept() {
    let at = Timestamp::from_millis;
    check(
        "delivery_states",
        &vec![
            DeliveryState::Queued { attempt: 1, ready_at: at(5) },
            DeliveryState::Running { attempt: 2, deadline: Timestamp::NEVER },
            DeliveryState::Acked { attempts: 2 },
            DeliveryState::DeadLettered { attempts: 4 },
        ],
    );
    check(
        "outcomes",
        &vec![
            Outcome::output("done"),
            Outcome::done(),
            Outcome::Nack(
                Failure::transient("busy").with_retry_after(std::time::Duration::from_secs(2)),
            ),
            Outcome::Nack(Failure::last("no such file")),
        ],
    );
    let attempts = vec![AttemptError::new(1, "busy", at(7))];
    let reason = DeadLetterReason::RetryAfterTooLong { retry_after_ms: 3_600_000 };
    check("dead_letter", &DeadLetter::new(message(), reason, at(8)).with_attempts(attempts));
}

#[test]
fn decisions_say_when_the_next_call_is_possible() {
    let possible_at = Some(Timestamp::from_millis(3_600_000));
    check(
        "decisions",
        &vec![
            Decision::Allow,
            Decision::deny("no policy on tool `rm`"),
            Decision::Deny { reason: "rate".into(), possible_at },
            Decision::Ask { reason: "the policy asks".into() },
        ],
    );
}

#[test]
fn metrics_have_the_fields_of_the_document() {
    let mut metrics = OrchestratorMetrics::default();
    metrics.messages_per_agent.insert(agent(1), 2);
    metrics.queue_depth = 3;
    check("metrics", &metrics);
}

#[test]
fn an_event_is_one_flat_object() {
    let kinds = vec![
        EventKind::Registered {
            agent: agent(1),
            name: "lister".into(),
            connector_type: "subprocess".into(),
            parent: None,
        },
        EventKind::Accepted { message: message() },
        EventKind::Settled {
            agent: agent(2),
            message: message_id(1),
            attempt: 1,
            output: Some("done".into()),
            usage: Usage { input_tokens: 5, output_tokens: 7, ..Usage::default() },
            handling_ms: 12,
        },
        EventKind::Stopped { run: 1, reason: StopReason::Completed },
    ];
    let at = Timestamp::from_millis(1);
    let event = |kind| serde_json::from_value::<Event>(merge(at, &kind)).unwrap();
    check("events", &kinds.into_iter().map(event).collect::<Vec<_>>());
}

/// An event as JSON from its two parts: the time, and the kind's own fields.
fn merge(at: Timestamp, kind: &EventKind) -> Value {
    let mut json = serde_json::to_value(kind).unwrap();
    json["at"] = json!(at);
    json
}
