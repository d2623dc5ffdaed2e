//! Where log lines go.

use tracing_subscriber::EnvFilter;

use crate::args::{Level, LogArgs};

/// Sends log lines of this level and above to standard error; nothing without a level.
pub(crate) fn set_up(log: &LogArgs) {
    let Some(level) = log.level else { return };
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("orch={level}")))
        .with_writer(std::io::stderr);
    if log.json {
        builder.json().init();
    } else {
        builder.init();
    }
}
