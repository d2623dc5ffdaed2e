//! The plugin form without a display: refused without a permission; and a host's own commands.

use std::path::Path;

use orch_tauri::Orchestrators;
use serde_json::{Value, json};
use tauri::WebviewWindowBuilder;
use tauri::ipc::InvokeBody;
use tauri::test::{mock_builder, mock_context, noop_assets};

use crate::page::call;

mod mine {
    #[tauri::command]
    pub(super) fn my_command() -> u8 {
        9
    }
}

#[test]
fn without_a_permission_the_plugin_refuses() {
    let app = mock_builder()
        .plugin(orch_tauri::init(Orchestrators::default()))
        .build(mock_context(noop_assets()))
        .unwrap();
    let window = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
    let refused = call(&window, "plugin:orchestrator|list_agents", InvokeBody::default());
    assert!(refused.unwrap_err().as_str().is_some_and(|error| error.contains("not")));
    let plain = call(&window, "list_agents", InvokeBody::default());
    assert!(plain.is_err(), "the plugin has no plain names");
}

#[test]
fn a_host_adds_commands_of_its_own_to_the_plain_names() {
    let app = mock_builder()
        .plugin(orch_tauri::plain(Orchestrators::default()))
        .invoke_handler(orch_tauri::handler![mine::my_command])
        .build(mock_context(noop_assets()))
        .unwrap();
    let window = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
    assert_eq!(call(&window, "my_command", InvokeBody::default()), Ok(json!(9)));
    assert_eq!(call(&window, "list_agents", InvokeBody::default()), Ok(json!([])));
}

#[test]
fn a_host_without_orchestrators_is_told_so() {
    let app = mock_builder()
        .invoke_handler(orch_tauri::handler![])
        .build(mock_context(noop_assets()))
        .unwrap();
    let window = WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap();
    let error = call(&window, "list_agents", InvokeBody::default()).unwrap_err();
    assert_eq!(error["code"], "not_managed");
}

/// A command that is in one list and not in the others would be there for half of the apps.
#[test]
fn the_permissions_and_the_handler_have_the_same_commands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let handler = read("src/handler.rs");
    let in_handler = |line: &str| line.trim().strip_prefix("$crate::commands::").map(str::to_owned);
    let handled: Vec<String> =
        handler.lines().filter_map(in_handler).map(|it| it.trim_end_matches(',').into()).collect();
    let build = read("build.rs");
    let in_build =
        |line: &str| Some(line.trim().strip_prefix('"')?.strip_suffix("\",")?.to_owned());
    let built: Vec<String> = build.lines().filter_map(in_build).collect();
    assert_eq!(handled, built);
    let permissions = read("permissions/default.toml");
    for command in handled {
        let allow = format!("\"allow-{}\"", command.replace('_', "-"));
        assert_eq!(permissions.matches(&allow).count(), 1, "{allow} stands in one set");
    }
}

#[test]
fn answers_are_values_that_a_page_can_hold() {
    let answer = orch_tauri::Answer(json!({ "n": u64::MAX }));
    let body = tauri::ipc::IpcResponse::body(answer).unwrap();
    let value: Value = body.deserialize().unwrap();
    assert_eq!(value["n"], orch_tauri::UNLIMITED);
}
