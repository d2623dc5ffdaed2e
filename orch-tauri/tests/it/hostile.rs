//! What a page must not be able to do: crash, hang or flood its host.

use std::time::Instant;

use orch_tauri::Host;
use serde_json::{Value, json};
use tauri::ipc::InvokeBody;

use crate::page::{SOON, call, page, page_of};

const COMMANDS: &[&str] = &[
    "register_agent",
    "unregister_agent",
    "list_agents",
    "get_agent_metadata",
    "create_orchestrator",
    "start_orchestrator",
    "stop_orchestrator",
    "get_orchestrator_metrics",
    "get_queue_depth",
    "send_message",
    "broadcast_message",
    "list_dead_letters",
    "resend_dead_letter",
    "subscribe_events",
];

fn big() -> String {
    "<b>ä</b>\u{0}".repeat(1 << 20)
}

#[test]
fn ten_megabytes_are_taken_or_refused_with_short_words() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    page.send(&agent, &big());
    let big = big();
    assert!(10 << 20 <= big.len());
    let too_large = "x".repeat(17 << 20);
    let config = |name: &str, settings: Value| {
        json!({ "request": { "config": { "name": name, "role": "Worker",
            "connector_type": "shout", "settings": settings } } })
    };
    let key = Value::Object([(big.clone(), Value::Null)].into_iter().collect());
    for (command, arguments, expected) in [
        ("send_message", json!({ "request": { "to": agent, "content": too_large } }), "too_large"),
        ("send_message", json!({ "request": { "to": big, "content": "x" } }), "invalid_arguments"),
        ("unregister_agent", json!({ "agent_id": big }), "invalid_arguments"),
        ("register_agent", config(&big, json!({})), "invalid_arguments"),
        ("register_agent", config("b", json!({ "x": big })), "invalid_arguments"),
        ("register_agent", json!({ "request": { "config": key } }), "invalid_arguments"),
        ("list_agents", json!({ "run_id": big }), "unknown_run"),
        ("create_orchestrator", json!({ "request": {}, "run_id": big }), "invalid_arguments"),
        ("list_agents", key, "invalid_arguments"),
        ("subscribe_events", json!({ "on_event": big }), "invalid_arguments"),
    ] {
        let (code, message, hint) = page.error(command, arguments);
        assert_eq!(code, expected, "{command}: {message}");
        assert!(message.len() + hint.len() < 4096, "{command}: an error repeats what was sent");
    }
    assert_eq!(page.ok("list_agents", json!({})).as_array().unwrap().len(), 1);
}

#[test]
fn wrong_types_are_refused_by_every_command() {
    let page = page();
    let wrong = [
        json!([]),
        json!("text"),
        json!(5),
        json!({ "run_id": 5 }),
        json!({ "run_id": { "a": [] } }),
        json!({ "unknown": true }),
        json!({ "__proto__": {} }),
    ];
    for command in COMMANDS {
        for arguments in &wrong {
            let (code, ..) = page.error(command, arguments.clone());
            assert_eq!(code, "invalid_arguments", "{command} {arguments}");
        }
        let error = call(&page.window, command, InvokeBody::Raw(vec![0; 16])).unwrap_err();
        assert_eq!(error["code"], "invalid_arguments", "{command}");
    }
}

#[test]
fn deep_json_is_refused_or_kept_and_does_not_overflow() {
    let page = page();
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let agent = page.agent("a", "shout", json!({ "deep": deep }));
    assert_eq!(page.ok("list_agents", json!({}))[0]["id"], agent);
}

#[test]
fn there_is_a_limit_to_orchestrators() {
    let page = page();
    let create = |i: usize| json!({ "request": {}, "run_id": format!("run-{i}") });
    (0..256).for_each(|i| drop(page.ok("create_orchestrator", create(i))));
    assert_eq!(page.error("create_orchestrator", create(256)).0, "too_many");
    assert_eq!(
        page.error("create_orchestrator", json!({ "request": {}, "run_id": "" })).0,
        "invalid_arguments"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the limit is on real time")]
fn a_thousand_commands_at_once_are_all_answered() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    page.ok(
        "create_orchestrator",
        json!({ "request": { "max_messages_per_agent": 4_294_967_295_u32,
        "max_iterations": 4_294_967_295_u32 } }),
    );
    let begun = Instant::now();
    let calls: Vec<_> = (0..1000)
        .map(|i| {
            let request = json!({ "to": agent, "content": "x" });
            match i % 5 {
                0 => page.begin("send_message", json!({ "request": request })),
                1 => page.begin("get_orchestrator_metrics", json!({})),
                2 => page.begin("list_agents", json!({})),
                3 => page.begin("start_orchestrator", json!({})),
                _ => page.begin("unregister_agent", json!({ "agent_id": 1 })),
            }
        })
        .collect();
    let answers: Vec<Result<Value, Value>> =
        calls.into_iter().map(|it| it.join().unwrap()).collect();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let refused = |code: &str| {
        answers.iter().filter(|it| it.as_ref().is_err_and(|error| error["code"] == code)).count()
    };
    assert_eq!(refused("invalid_arguments"), 200);
    let others = answers.iter().filter(|it| it.is_err()).count() - 200;
    assert_eq!(others, refused("already_running"), "nothing else fails");
    page.ok("start_orchestrator", json!({}));
    assert_eq!(page.ok("get_orchestrator_metrics", json!({}))["total_messages"], 200);
}

#[test]
fn a_host_that_allows_nothing_allows_scripts_alone() {
    let page = page_of(Host::new());
    let config = |kind: &str| json!({ "request": { "config": { "name": "a", "role": "Worker", "connector_type": kind } } });
    assert_eq!(page.error("register_agent", config("subprocess")).0, "program_not_allowed");
    assert_eq!(page.error("register_agent", config("function")).0, "connector_not_allowed");
    assert_eq!(page.error("register_agent", config("scripted")).0, "cannot_run");
    page.agent("a", "scripted", json!({ "steps": [{ "done": true }] }));
}
