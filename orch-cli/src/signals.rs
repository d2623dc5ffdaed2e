//! Ctrl-C: the first stops gracefully, the second stops now, the third does not wait at all.

use std::io;
use std::time::Duration;

use orch_runtime::Orchestrator;

use crate::exit::Exit;
use crate::out::tell;
use crate::screen::seconds;

/// Stops the run when the user (or the system) asks for it. Returns only if signals cannot be heard.
pub(crate) async fn stop_on_signals(orchestrator: &Orchestrator, grace: Duration) -> io::Error {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    signals.next().await;
    tell(format_args!(
        "\norch: stopping; handlers in flight have {} to end (Ctrl-C again stops now)",
        seconds(grace)
    ));
    tokio::select! {
        biased; // The second signal before the end that the first one asked for.
        () = signals.next() => {}
        _ = orchestrator.stop() => return std::future::pending().await,
    }
    tell("orch: stopping now");
    tokio::select! {
        biased;
        () = signals.next() => {}
        _ = orchestrator.stop_now() => return std::future::pending().await,
    }
    // The keepers see our end, and kill what they keep.
    std::process::exit(Exit::Stopped as i32);
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
