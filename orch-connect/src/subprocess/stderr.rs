//! The last of what a program wrote to stderr.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is kept.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// How much of it goes into an error.
const LINES_MAX: usize = 3;
const LINE_CHARS_MAX: usize = 300;

/// The last 64 KiB of a stderr; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<u8>>>);

impl Tail {
    /// Reads to the end, and keeps the last of it.
    pub(super) async fn drain(self, mut stderr: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; 8 << 10];
        while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
            self.push(&chunk[..length]);
        }
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.lock();
        tail.extend(bytes);
        let surplus = tail.len().saturating_sub(TAIL_BYTES_MAX);
        tail.drain(..surplus);
    }

    /// `error`, and the last lines if there are any.
    pub(super) fn explain(&self, error: impl Into<String>) -> String {
        let (error, lines) = (error.into(), self.last_lines());
        if lines.is_empty() { error } else { format!("{error}: {lines}") }
    }

    fn last_lines(&self) -> String {
        let text = String::from_utf8_lossy(self.lock().make_contiguous()).into_owned();
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
        last.iter().map(|line| shorten(line)).collect::<Vec<_>>().join(" / ")
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_last_lines_and_the_tail_is_bounded() {
        let tail = Tail::default();
        assert_eq!(tail.explain("failed"), "failed");
        for number in 0..100_000 {
            tail.push(format!("line {number}\n\n").as_bytes());
        }
        assert!(tail.lock().len() <= TAIL_BYTES_MAX);
        assert_eq!(tail.explain("failed"), "failed: line 99997 / line 99998 / line 99999");
    }
}
