//! Names, spelling, answers and errors.

use serde_json::{Value, json};

use crate::page::page;

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000001";

/// What SPEC.md's snippet passes to `register_agent`.
fn spec_agent() -> Value {
    json!({ "request": { "config": { "name": "worker-1", "role": "Worker",
        "connector_type": "claude_code", "max_retries": 3, "timeout_ms": 300_000,
        "tool_policies": [] } } })
}

#[test]
fn the_documented_calls_answer_what_is_documented() {
    let page = page();
    let registered = page.ok("register_agent", spec_agent());
    let agent_id = registered["agent_id"].as_str().unwrap();
    assert!(registered["cannot_run"].as_str().unwrap().contains("`claude_code` is unknown"));
    let guard = json!({ "max_iterations": 100, "max_messages_per_agent": 50,
        "max_execution_time_ms": 600_000 });
    assert_eq!(page.ok("create_orchestrator", json!({ "request": guard })), Value::Null);
    let ended = page.ok("start_orchestrator", json!({}));
    assert_eq!(ended, json!({ "stop_reason": "Completed" }));
    let metrics = page.ok("get_orchestrator_metrics", json!({}));
    for figure in
        ["total_iterations", "total_messages", "retry_count", "error_count", "queue_depth"]
    {
        assert_eq!(metrics[figure], 0, "{figure}");
    }
    assert_eq!(metrics["messages_per_agent"], json!({}));
    assert_eq!(page.ok("get_queue_depth", json!({})), 0);
    let stopped = page.ok("stop_orchestrator", json!({}));
    assert_eq!(stopped, json!({ "stop_reason": null, "still_running": [] }));
    let agents = page.ok("list_agents", json!({}));
    assert_eq!((agents[0]["id"].as_str(), &agents[0]["status"]), (Some(agent_id), &json!("Idle")));
    assert_eq!(agents[0]["config"]["name"], "worker-1");
    let metadata = page.ok("get_agent_metadata", json!({ "agent_id": agent_id }));
    assert_eq!(metadata, agents[0]);
    assert_eq!(page.ok("unregister_agent", json!({ "agent_id": agent_id })), Value::Null);
    assert_eq!(page.ok("list_agents", json!({})), json!([]));
}

#[test]
fn camel_case_is_refused_with_the_right_spelling() {
    let page = page();
    for (command, wrong, right) in [
        ("unregister_agent", json!({ "agentId": UNKNOWN }), "write `agent_id`"),
        ("start_orchestrator", json!({ "runId": "a" }), "write `run_id`"),
        ("subscribe_events", json!({ "onEvent": "__CHANNEL__:1" }), "write `on_event`"),
        ("resend_dead_letter", json!({ "messageId": UNKNOWN }), "write `message_id`"),
        ("list_agents", json!({ "agents": 1 }), "known are run_id"),
    ] {
        let (code, _, hint) = page.error(command, wrong);
        assert_eq!(code, "invalid_arguments");
        assert!(hint.starts_with(right), "{hint}");
    }
}

#[test]
fn a_missing_or_wrong_argument_is_named() {
    let page = page();
    for (command, arguments, says) in [
        ("unregister_agent", json!({}), "missing field `agent_id`"),
        ("unregister_agent", json!({ "agent_id": 5 }), "`agent_id`: invalid type"),
        ("unregister_agent", json!({ "agent_id": "agent-1" }), "`agent_id`: UUID parsing failed"),
        ("register_agent", json!({ "request": {} }), "`request`: missing field `config`"),
        (
            "register_agent",
            json!({ "request": { "config": { "name": "a" } } }),
            "missing field `role`",
        ),
        ("create_orchestrator", json!({}), "missing field `request`"),
        ("create_orchestrator", json!({ "request": { "maxIterations": 1 } }), "unknown field"),
        (
            "create_orchestrator",
            json!({ "request": { "max_iterations": -1 } }),
            "`request.max_iter",
        ),
        ("send_message", json!({ "request": { "to": UNKNOWN } }), "missing field `content`"),
        ("subscribe_events", json!({ "on_event": "x" }), "`on_event` is not a channel"),
        ("list_agents", json!([1]), "no object"),
    ] {
        let (code, message, hint) = page.error(command, arguments.clone());
        assert_eq!(code, "invalid_arguments", "{command} {arguments}");
        assert!(message.contains(says), "{command} {arguments}: {message}");
        assert!(!hint.is_empty(), "{command} {arguments}: {message}");
    }
}

#[test]
fn what_is_not_there_is_said_by_its_kind() {
    let page = page();
    let letter = json!({ "message_id": UNKNOWN });
    for (command, arguments, expected) in [
        ("unregister_agent", json!({ "agent_id": UNKNOWN }), "unknown_agent"),
        ("get_agent_metadata", json!({ "agent_id": UNKNOWN }), "unknown_agent"),
        ("send_message", json!({ "request": { "to": UNKNOWN, "content": "x" } }), "unknown_agent"),
        ("resend_dead_letter", letter, "unknown_message"),
        ("list_agents", json!({ "run_id": "other" }), "unknown_run"),
        ("start_orchestrator", json!({}), "not_created"),
    ] {
        let (code, _, hint) = page.error(command, arguments);
        assert_eq!(code, expected);
        assert!(!hint.is_empty(), "{command}");
    }
}

#[test]
fn a_page_starts_no_program_that_the_host_has_not_named() {
    let page = page();
    let config = |settings: Value| {
        json!({ "request": { "config": { "name": "a", "role": "Worker",
            "connector_type": "subprocess", "settings": settings } } })
    };
    let (code, _, hint) = page.error("register_agent", config(json!({ "command": ["sh"] })));
    assert_eq!((code.as_str(), hint.contains("sort")), ("program_not_allowed", true), "{hint}");
    assert_eq!(page.ok("list_agents", json!({})), json!([]));
    page.ok("register_agent", config(json!({ "program": "sort" })));
    let agents = page.ok("list_agents", json!({}));
    assert_eq!(agents[0]["config"]["settings"], json!({ "program": "sort" }));
}

#[test]
fn numbers_that_mean_no_limit_survive_javascript() {
    let page = page();
    let unlimited = orch_tauri::UNLIMITED;
    let config = json!({ "name": "a", "role": { "Custom": "planner" }, "connector_type": "shout",
        "timeout_ms": unlimited });
    page.ok("register_agent", json!({ "request": { "config": config } }));
    let agents = page.ok("list_agents", json!({}));
    assert_eq!(agents[0]["config"]["timeout_ms"], unlimited);
    let guard = json!({ "request": { "max_execution_time_ms": 18_446_744_073_709_552_000.0_f64 } });
    page.ok("create_orchestrator", guard);
    assert_eq!(page.ok("start_orchestrator", json!({}))["stop_reason"], "Completed");
}

#[test]
fn dead_letters_are_listed_and_sent_again() {
    let page = page();
    let steps = json!({ "steps": [{ "fail": "no", "final": true }, { "done": true }] });
    let agent = page.agent("a", "scripted", steps);
    let message = page.send(&agent, "x")["message_id"].clone();
    page.ok("create_orchestrator", json!({ "request": {} }));
    let ended = page.ok("start_orchestrator", json!({}));
    assert_eq!(ended["stop_reason"]["AgentError"]["agent_id"], agent);
    let letters = page.ok("list_dead_letters", json!({}));
    assert_eq!(letters[0]["message"]["id"], message);
    assert_eq!(page.ok("resend_dead_letter", json!({ "message_id": message })), Value::Null);
    assert_eq!(page.ok("get_queue_depth", json!({})), 1);
    assert_eq!(page.ok("start_orchestrator", json!({}))["stop_reason"], "Completed");
    assert_eq!(page.ok("list_dead_letters", json!({})), json!([]));
}
