//! One JSON object a line on standard output.

use std::io::Write;

use orch_runtime::Event;

pub(super) fn print(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        // What cannot be written is missed at the answer, whose line comes last.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}
