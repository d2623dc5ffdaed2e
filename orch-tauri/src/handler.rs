//! The list of commands, as a macro because Tauri's own macro needs them by name.

/// The handler of all commands under their plain names, `invoke('list_agents')`, and of the app's
/// own commands: `handler![my_command, other]`. An app has one handler; see
/// [`Builder::invoke_handler`](tauri::Builder::invoke_handler).
///
/// Needs [`plain`](crate::plain). Tauri does not ask for permissions for an app's own commands: every
/// page of the app may call them.
#[macro_export]
macro_rules! handler {
    ($($own:path),* $(,)?) => {
        ::tauri::generate_handler![
            $crate::commands::register_agent,
            $crate::commands::unregister_agent,
            $crate::commands::list_agents,
            $crate::commands::get_agent_metadata,
            $crate::commands::create_orchestrator,
            $crate::commands::start_orchestrator,
            $crate::commands::stop_orchestrator,
            $crate::commands::get_orchestrator_metrics,
            $crate::commands::get_queue_depth,
            $crate::commands::send_message,
            $crate::commands::broadcast_message,
            $crate::commands::list_dead_letters,
            $crate::commands::resend_dead_letter,
            $crate::commands::subscribe_events,
            $($own),*
        ]
    };
}
