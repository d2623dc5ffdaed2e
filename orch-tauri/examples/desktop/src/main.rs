//! A small desktop app over orch-tauri: add agents, send messages, start, watch, stop.
//!
//! Its window uses the plugin. With `--plain-names` it uses the plain names instead; an app of your
//! own takes one of the two.

#![forbid(unsafe_code)]
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::process::ExitCode;

use orch_runtime::{Context, function};
use orch_tauri::{Host, Orchestrators};
use tauri::{App, Builder, WebviewWindowBuilder, Wry};

/// The argument under which this program keeps the processes of an agent; see
/// [`orch_runtime::keeper`].
#[cfg(target_os = "linux")]
const KEEPER: &str = "__keeper";

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|arg| arg == KEEPER) {
        return orch_runtime::keeper::main(std::env::args_os().skip(2));
    }
    let plain = std::env::args().any(|arg| arg == "--plain-names");
    match builder(plain).setup(move |app| open_window(app, plain)).run(tauri::generate_context!()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orch-desktop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn builder(plain: bool) -> Builder<Wry> {
    let orchestrators = Orchestrators::new(host());
    if plain {
        let plugin = orch_tauri::plain(orchestrators);
        Builder::default().plugin(plugin).invoke_handler(orch_tauri::handler![])
    } else {
        Builder::default().plugin(orch_tauri::init(orchestrators))
    }
}

/// What the page may make: one kind of Rust code, two programs, and scripts.
fn host() -> Host {
    let shout = function(|ctx: Context| async move { ctx.content().to_uppercase() });
    contained(Host::new())
        .with_connector("shout", shout)
        .with_program("sort", ["sort"])
        .with_program("count", ["wc", "-w"])
}

/// Programs run under a keeper where there is one, so that nothing they start outlives its message.
fn contained(host: Host) -> Host {
    #[cfg(target_os = "linux")]
    {
        use orch_runtime::{Containment, KeeperCommand, built_in_with};
        let keeper = KeeperCommand::this_program([KEEPER]);
        host.with_connectors(built_in_with(Containment::Keeper(keeper)))
    }
    #[cfg(not(target_os = "linux"))]
    host
}

/// Opens the window of the configuration, and tells its page in which form it has the commands.
fn open_window(app: &mut App, plain: bool) -> Result<(), Box<dyn std::error::Error>> {
    let window = app.config().app.windows.first().ok_or("the configuration has no window")?.clone();
    let mut window = WebviewWindowBuilder::from_config(app.handle(), &window)?;
    if plain {
        window = window.initialization_script("window.__ORCH_PLAIN__ = true;");
    }
    window.build()?;
    Ok(())
}
