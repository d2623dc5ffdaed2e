//! Runs: every other command works meanwhile, and several orchestrators do not meet.

use serde_json::{Value, json};

use crate::page::{Page, has_stopped, page};

fn hanging(page: &Page) -> String {
    page.agent("stuck", "scripted", json!({ "steps": [{ "hang": true }], "repeat": true }))
}

fn subscribe(page: &Page, channel: u32) -> Value {
    page.ok("subscribe_events", json!({ "on_event": format!("__CHANNEL__:{channel}") }))
}

fn has_started(events: &[Value]) -> bool {
    events.iter().any(|event| event["event"] == "started")
}

#[test]
fn other_commands_work_during_a_run_and_stop_ends_it() {
    let page = page();
    let agent = hanging(&page);
    page.ok("create_orchestrator", json!({ "request": {} }));
    page.send(&agent, "for ever");
    subscribe(&page, 1);
    let running = page.begin("start_orchestrator", json!({}));
    page.events(1, has_started);
    assert_eq!(page.error("start_orchestrator", json!({})).0, "already_running");
    assert_eq!(page.error("create_orchestrator", json!({ "request": {} })).0, "already_running");
    assert_eq!(page.ok("get_orchestrator_metrics", json!({}))["in_flight"], 1);
    assert_eq!(page.ok("list_agents", json!({}))[0]["status"], "Processing");
    assert!(subscribe(&page, 2)["is_running"].as_bool().unwrap());
    page.send(&agent, "later");
    let stopped = page.ok("stop_orchestrator", json!({}));
    assert_eq!(stopped, json!({ "stop_reason": "ManualStop", "still_running": [] }));
    assert_eq!(running.join().unwrap().unwrap(), json!({ "stop_reason": "ManualStop" }));
    assert_eq!(page.ok("get_queue_depth", json!({})), 2);
    let snapshot = subscribe(&page, 3);
    assert_eq!(
        (&snapshot["is_running"], &snapshot["stop_reason"]),
        (&json!(false), &json!("ManualStop"))
    );
}

#[test]
fn urgent_messages_overtake_and_broadcasts_reach_all() {
    let page = page();
    let (a, b) = (page.agent("a", "shout", json!({})), page.agent("b", "shout", json!({})));
    page.send(&a, "low");
    page.ok(
        "send_message",
        json!({ "request": { "to": a, "content": "now", "priority": "Critical",
        "metadata": { "k": "v" } } }),
    );
    let sent = page.ok("broadcast_message", json!({ "request": { "content": "all" } }));
    assert_eq!(sent, json!({ "recipients": 2 }));
    let metrics = page.ok("get_orchestrator_metrics", json!({}));
    let depth = json!({ "critical": 1, "high": 0, "normal": 3, "low": 0 });
    assert_eq!(metrics["queue_depth_by_priority"], depth);
    page.ok("create_orchestrator", json!({ "request": {} }));
    subscribe(&page, 1);
    assert_eq!(page.ok("start_orchestrator", json!({}))["stop_reason"], "Completed");
    let (_, events) = page.events(1, has_stopped);
    let outputs = |agent: &str| {
        let of_agent = events.iter().filter(|it| it["event"] == "settled" && it["agent"] == *agent);
        of_agent.map(|event| event["output"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(outputs(&a), ["NOW", "LOW", "ALL"]);
    assert_eq!(outputs(&b), ["ALL"]);
}

#[test]
fn guards_stop_a_run() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    (0..10).for_each(|_| drop(page.send(&agent, "x")));
    page.ok("create_orchestrator", json!({ "request": { "max_iterations": 5 } }));
    assert_eq!(page.ok("start_orchestrator", json!({}))["stop_reason"], "MaxIterations");
    assert_eq!(page.ok("get_queue_depth", json!({})), 5);
    page.ok("create_orchestrator", json!({ "request": { "max_messages_per_agent": 2 } }));
    let reason = page.ok("start_orchestrator", json!({}))["stop_reason"].clone();
    assert_eq!(reason, json!({ "MaxMessagesPerAgent": { "agent_id": agent, "count": 2 } }));
}

#[test]
fn orchestrators_under_two_ids_do_not_meet() {
    let page = page();
    for (run_id, reply) in [("one", "1"), ("two", "2")] {
        let config = json!({ "name": "a", "role": "Worker", "connector_type": "scripted",
            "settings": { "steps": [{ "reply": reply }] } });
        let agent =
            page.ok("register_agent", json!({ "request": { "config": config }, "run_id": run_id }));
        let message = json!({ "to": agent["agent_id"], "content": "x" });
        page.ok("send_message", json!({ "request": message, "run_id": run_id }));
        page.ok("create_orchestrator", json!({ "request": {}, "run_id": run_id }));
    }
    assert_eq!(page.ok("list_agents", json!({})), json!([]));
    assert_eq!(
        page.ok("start_orchestrator", json!({ "run_id": "one" }))["stop_reason"],
        "Completed"
    );
    assert_eq!(page.ok("get_queue_depth", json!({ "run_id": "one" })), 0);
    assert_eq!(page.ok("get_queue_depth", json!({ "run_id": "two" })), 1);
    let metrics = page.ok("get_orchestrator_metrics", json!({ "run_id": "two" }));
    assert_eq!(metrics["total_messages"], 0);
}

#[test]
fn an_agent_that_cannot_run_refuses_the_start_and_says_so() {
    let page = page();
    let config = json!({ "name": "c", "role": "Worker", "connector_type": "claude_code" });
    let agent = page.ok("register_agent", json!({ "request": { "config": config } }));
    page.send(agent["agent_id"].as_str().unwrap(), "x");
    page.ok("create_orchestrator", json!({ "request": {} }));
    let (code, message, _) = page.error("start_orchestrator", json!({}));
    assert_eq!(code, "cannot_run");
    assert!(message.contains("agent `c`"), "{message}");
    page.ok("unregister_agent", json!({ "agent_id": agent["agent_id"] }));
    assert_eq!(page.ok("start_orchestrator", json!({}))["stop_reason"], "Completed");
}

#[test]
fn a_stop_just_after_a_start_is_not_lost() {
    let page = page();
    let steps = json!({ "steps": [{ "delay_ms": 20 }, { "done": true }], "repeat": true });
    let agent = page.agent("slow", "scripted", steps);
    (0..2000).for_each(|_| drop(page.send(&agent, "x")));
    page.ok("create_orchestrator", json!({ "request": {} }));
    for _ in 0..20 {
        let running = page.begin("start_orchestrator", json!({}));
        while !subscribe(&page, 1)["is_running"].as_bool().unwrap() {
            std::thread::yield_now();
        }
        assert_eq!(page.ok("stop_orchestrator", json!({}))["stop_reason"], "ManualStop");
        assert_eq!(running.join().unwrap().unwrap()["stop_reason"], "ManualStop");
    }
}
