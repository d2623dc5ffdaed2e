//! Tells Tauri the plugin's commands, from which it makes their permissions.

#![forbid(unsafe_code)]

/// Also in `handler!`; a test holds the two together.
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

fn main() {
    tauri_plugin::Builder::new(COMMANDS).build();
}
