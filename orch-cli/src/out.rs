//! Standard output and standard error, either of which may be closed or full.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::exit::Stop;

/// Tells the person something, on a line of standard error. Nobody is told if that cannot be.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells several things, a line each.
pub(crate) fn tell_all(texts: impl IntoIterator<Item = String>) {
    texts.into_iter().for_each(tell);
}

/// Writes text to standard output.
///
/// A reader that went away has what it wanted; anything else means that the answer is lost.
pub(crate) fn write(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Stop::internal(format!("failed to write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
