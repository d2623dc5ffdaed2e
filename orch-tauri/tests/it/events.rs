//! Events through a channel: numbered, in order, resumed, lagging, ended.

use serde_json::{Value, json};
use tauri::Manager;
use tauri::webview::WebviewWindowBuilder;

use crate::page::{Page, call, has_stopped, page};

fn subscribe(page: &Page, channel: u32, after: Option<u64>) -> Value {
    let channel = format!("__CHANNEL__:{channel}");
    let mut arguments = json!({ "on_event": channel });
    if let Some(after) = after {
        arguments["after"] = after.into();
    }
    page.ok("subscribe_events", arguments)
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["number"].as_u64().expect("events have numbers")).collect()
}

#[test]
fn a_page_gets_every_event_once_in_order_and_can_resume() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    (0..30).for_each(|_| drop(page.send(&agent, "x")));
    page.ok("create_orchestrator", json!({ "request": {} }));
    let snapshot = subscribe(&page, 1, Some(0));
    assert_eq!(snapshot["number"], 31, "one agent, thirty messages");
    assert_eq!(snapshot["agents"][0]["id"], agent);
    assert_eq!(snapshot["metrics"]["queue_depth"], 30);
    page.ok("start_orchestrator", json!({}));
    let (missed, all) = page.events(1, has_stopped);
    assert_eq!(missed, 0);
    assert_eq!(numbers(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(all[0]["event"], "registered");
    let settled = all.iter().filter(|event| event["event"] == "settled").count();
    assert_eq!(settled, 30);
    subscribe(&page, 2, Some(10));
    let (_, rest) = page.events(2, has_stopped);
    assert_eq!(rest, all[10..]);
}

#[test]
fn a_page_that_comes_late_is_told_how_much_it_missed() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    (0..5000).for_each(|_| drop(page.send(&agent, "x")));
    subscribe(&page, 1, Some(0));
    let (missed, events) =
        page.events(1, |events| events.last().is_some_and(|last| last["number"] == 5001));
    assert_eq!((missed, events.len()), (5001 - 4096, 4096));
    assert_eq!(numbers(&events), (missed + 1..=5001).collect::<Vec<_>>());
    assert!(page.n_frames(1) >= 4096 / 256);
}

#[test]
fn an_event_that_has_not_happened_cannot_be_resumed_from() {
    let page = page();
    let (code, message, hint) =
        page.error("subscribe_events", json!({ "on_event": "__CHANNEL__:1", "after": 7 }));
    assert_eq!((code.as_str(), hint.is_empty()), ("invalid_arguments", false), "{message}");
}

#[test]
fn a_new_subscription_of_a_page_ends_its_former_one() {
    let page = page();
    subscribe(&page, 1, None);
    page.agent("a", "shout", json!({}));
    page.events(1, |events| events.len() == 1);
    subscribe(&page, 2, None);
    page.agent("b", "shout", json!({}));
    page.events(2, |events| events.len() == 1);
    assert_eq!(page.events(1, |_| true).1.len(), 1);
}

#[test]
fn two_pages_listen_side_by_side() {
    let page = page();
    let other = WebviewWindowBuilder::new(&page.app, "other", Default::default()).build().unwrap();
    subscribe(&page, 1, None);
    let arguments = json!({ "on_event": "__CHANNEL__:2" });
    call(&other, "subscribe_events", tauri::ipc::InvokeBody::Json(arguments)).unwrap();
    page.agent("a", "shout", json!({}));
    let first = page.events(1, |events| events.len() == 1);
    assert_eq!(page.events(2, |events| events.len() == 1), first);
    assert!(page.app.webview_windows().contains_key("other"));
}

#[test]
fn long_texts_reach_a_page_cut_and_marked() {
    let page = page();
    let agent = page.agent("a", "shout", json!({}));
    subscribe(&page, 1, None);
    page.send(&agent, &"x".repeat(1 << 20));
    page.send(&agent, "short");
    let (_, events) = page.events(1, |events| events.len() == 2);
    assert_eq!((&events[0]["cut"], &events[1]["cut"]), (&json!(true), &json!(false)));
    let content = events[0]["message"]["content"].as_str().unwrap();
    assert_eq!(content.len(), orch_tauri::EVENT_TEXT_BYTES_MAX);
}
