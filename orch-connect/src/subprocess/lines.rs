//! Reads lines with a bound on their length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("a line has more than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads lines of at most a given length, without their newline.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line_bytes_max: usize,
    /// What was read and not yet handed out, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// How much of the rest has been searched for a newline.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, line_bytes_max: usize) -> Self {
        Self { reader, line_bytes_max, buffer: Vec::new(), start: 0, searched: 0 }
    }

    /// The next line; `None` at the end. What follows the last newline is a line too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            if let Some(line) = self.buffered()? {
                return Ok(Some(line));
            }
            self.make_room();
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                let rest = self.buffer.split_off(self.start);
                self.buffer.clear();
                (self.start, self.searched) = (0, 0);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// What the lines come from, for who wants no more of them.
    pub(super) fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    fn buffered(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let rest = &self.buffer[self.start..];
        let found = rest[self.searched..].iter().position(|byte| *byte == b'\n');
        let length = found.map_or(rest.len(), |at| self.searched + at);
        if length > self.line_bytes_max {
            return Err(LineError::TooLong(self.line_bytes_max));
        }
        self.searched = length;
        if found.is_none() {
            return Ok(None);
        }
        let line = rest[..length].to_vec();
        self.start += length + 1;
        self.searched = 0;
        Ok(Some(line))
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(CHUNK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    async fn read_all(chunks: Vec<Vec<u8>>, max: usize) -> Result<Vec<Vec<u8>>, LineError> {
        let (mut writer, reader) = tokio::io::duplex(7);
        let mut lines = Lines::new(reader, max);
        let write = async move {
            for chunk in chunks {
                // The reader may be gone after a line that is too long.
                let _ = writer.write_all(&chunk).await;
            }
        };
        let read = async move {
            let mut all = Vec::new();
            while let Some(line) = lines.next().await? {
                all.push(line);
            }
            Ok(all)
        };
        tokio::join!(write, read).1
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_come(
            lines in prop::collection::vec("[a-z]{0,20}", 0..20),
            cuts in prop::collection::vec(1_usize..50, 0..20),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let (mut rest, mut chunks) = (text.as_bytes(), Vec::new());
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = after;
            }
            chunks.push(rest.to_vec());
            let read = run(read_all(chunks, 20)).unwrap();
            let expected: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        let read = |text: &str| run(read_all(vec![text.as_bytes().to_vec()], 3));
        assert_eq!(read("abc\nd").unwrap(), [b"abc".to_vec(), b"d".to_vec()]);
        assert!(matches!(read("abcd\n"), Err(LineError::TooLong(3))));
        assert!(matches!(read("abcd"), Err(LineError::TooLong(3))));
    }
}
