//! One JSON object a line on standard output.

use std::io::Write;

use orch_runtime::Event;

pub(super) fn print(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        print_line(&line);
    }
}

/// Prints a line; a reader that went away is no reason to fail.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
