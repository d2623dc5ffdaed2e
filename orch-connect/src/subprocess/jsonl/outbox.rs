//! What is to be written to a program's stdin.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

/// How much may wait beside a message: more waits only for a program that does not read.
const BYTES_MAX: usize = 64 << 20;

/// Lines on their way to a program. Whole lines: what a cut-off turn left half written is finished
/// first.
#[derive(Debug)]
pub(super) struct Outbox {
    /// `None` once the program has closed it.
    stdin: Option<pipe::Sender>,
    bytes: VecDeque<u8>,
    /// What may wait: the longest message so far, and then some.
    bytes_max: usize,
}

impl Outbox {
    pub(super) fn new(stdin: pipe::Sender) -> Self {
        Self { stdin: Some(stdin), bytes: VecDeque::new(), bytes_max: BYTES_MAX }
    }

    pub(super) fn is_open(&self) -> bool {
        self.stdin.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() > self.bytes_max
    }

    /// Adds a line. To a program that has closed its stdin nothing can be said.
    pub(super) fn push(&mut self, line: &Value) {
        if !self.is_open() {
            return;
        }
        let line = line.to_string();
        if line.len() > self.bytes_max / 2 {
            self.bytes_max = line.len() * 2;
        }
        self.bytes.extend(line.as_bytes());
        self.bytes.push_back(b'\n');
    }

    /// Writes as much as the pipe takes, at least a byte. Cancel safe.
    pub(super) async fn write(&mut self) {
        let Some(stdin) = &mut self.stdin else {
            self.bytes.clear();
            return;
        };
        match stdin.write(self.bytes.as_slices().0).await {
            Ok(length) => drop(self.bytes.drain(..length)),
            Err(_) => self.close(),
        }
    }

    pub(super) async fn flush(&mut self) {
        while !self.is_empty() {
            self.write().await;
        }
    }

    pub(super) fn close(&mut self) {
        self.stdin = None;
        self.bytes.clear();
    }
}
