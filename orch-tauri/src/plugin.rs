//! The two ways into an app, of which it uses one; see the crate's documentation for which.

use tauri::plugin::{Builder, TauriPlugin};
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Manager, RunEvent, Runtime, WindowEvent};

use crate::orchestrators::Orchestrators;

/// The plugin: `invoke('plugin:orchestrator|list_agents')`, for pages whose capability has
/// `orchestrator:default` or single permissions.
#[must_use]
pub fn init<R: Runtime>(orchestrators: Orchestrators) -> TauriPlugin<R> {
    with_pages("orchestrator", orchestrators).invoke_handler(crate::handler![]).build()
}

/// What the plain form needs beside [`handler!`](crate::handler): puts the orchestrators under
/// Tauri's management, and ends subscriptions with their pages. It has no commands.
#[must_use]
pub fn plain<R: Runtime>(orchestrators: Orchestrators) -> TauriPlugin<R> {
    with_pages("orchestrator-pages", orchestrators).build()
}

fn with_pages<R: Runtime>(name: &'static str, orchestrators: Orchestrators) -> Builder<R> {
    Builder::new(name)
        .setup(move |app, _| {
            app.manage(orchestrators);
            Ok(())
        })
        .on_page_load(|webview, load| {
            // The new page's scripts have not begun; what the old one listened to has no reader.
            if matches!(load.event(), PageLoadEvent::Started) {
                webview.state::<Orchestrators>().subscriptions().end(webview.label());
            }
        })
        .on_event(end_with_window)
}

fn end_with_window<R: Runtime>(app: &AppHandle<R>, event: &RunEvent) {
    if let RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } = event {
        app.state::<Orchestrators>().subscriptions().end(label);
    }
}
