//! A program that runs for each message.

use std::pin::pin;

use orch_core::{Content, Failure, LimitReached, Outcome, Resources};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use super::process::{DRAIN_MAX, Pipes, Process, Runner, spawn_failure};
use super::stderr::Tail;
use super::{env, exit};
use crate::Context;

/// A session whose program runs for each message.
#[derive(Debug)]
pub(super) struct OnceSession {
    /// The run of a turn that was cut off. First, so that it is dropped before its folder.
    running: Option<Run>,
    runner: Runner,
}

/// One run of the program.
#[derive(Debug)]
struct Run {
    process: Process,
    /// Taken by whoever feeds it: closing it is the end of the message.
    stdin: Option<pipe::Sender>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    /// Of its turn, which may have been cut off.
    context: Context,
}

impl OnceSession {
    pub(super) fn new(runner: Runner) -> Self {
        Self { running: None, runner }
    }

    pub(super) fn is_open(&self) -> bool {
        self.running.is_none()
    }

    pub(super) async fn turn(&mut self, context: &Context) -> Outcome {
        // A caller that uses a session after a cut-off turn still gets one program at a time.
        self.settle().await;
        if let Err(refusal) = context.reserve_resources(&self.runner.settings.limits.limits) {
            return Failure::from(refusal).into();
        }
        let beside = env::of_message(context.message(), context.attempt());
        let (process, Pipes { stdin, stdout, stderr }) = match self.runner.start(beside) {
            Ok(started) => started,
            Err(error) => {
                context.report_resources(Resources::default(), None);
                return spawn_failure(&error).into();
            }
        };
        let run = self.running.insert(Run {
            process,
            stdin: Some(stdin),
            stdout,
            stderr,
            context: context.clone(),
        });
        let outcome = run.handle(&self.runner, context).await;
        match self.settle().await {
            Some(reached) => exit::stopped(reached, true),
            None => outcome,
        }
    }

    pub(super) async fn close(mut self) {
        self.settle().await;
    }

    /// Ends what runs, and reports what it used. Answers the limit that it reached.
    async fn settle(&mut self) -> Option<LimitReached> {
        if let Some(run) = &mut self.running {
            run.stdin = None;
            let grace = self.runner.settings.grace;
            run.process.end(grace, &mut run.stdout, &mut run.stderr).await;
        }
        let run = self.running.take()?;
        let reached = run.process.limit_reached();
        run.context.report_resources(run.process.used(), reached);
        reached
    }
}

impl Run {
    /// Feeds the program, reads what it writes, and waits for its end. On an early return the
    /// caller ends the program.
    async fn handle(&mut self, runner: &Runner, context: &Context) -> Outcome {
        let settings = &runner.settings;
        let stderr = Tail::default();
        let mut stdout = Stdout::new(settings.output_bytes_max, settings.truncate);
        let reached = self.process.reached();
        let pumped = tokio::select! {
            pumped = self.pump(context.content(), &mut stdout, &stderr) => pumped,
            // The caller knows more of it by the time when the program has ended.
            () = reached => return Failure::last("the program reached a limit").into(),
        };
        if let Err(TooMuch) = pumped {
            let max = settings.output_bytes_max;
            return Failure::last(format!("the program wrote more than {max} bytes")).into();
        }
        if let Err(failure) = self.process.started().await
            && self.process.exit().is_none()
        {
            return failure.into();
        }
        if let Some(note) = stdout.truncation() {
            context.say(&note);
        }
        exit::outcome(self.process.exit(), stdout.captured(), &stderr)
    }

    async fn pump(
        &mut self,
        content: &Content,
        stdout: &mut Stdout,
        stderr: &Tail,
    ) -> Result<(), TooMuch> {
        let over = self.process.over();
        let (stdin, stderr) = (self.stdin.take(), stderr.clone());
        let pumps = async {
            let beside = async {
                tokio::join!(feed(stdin, content), stderr.drain(&mut self.stderr));
                Ok(())
            };
            tokio::try_join!(stdout.fill(&mut self.stdout), beside).map(|_| ())
        };
        let (mut pumps, mut over) = (pin!(pumps), pin!(over));
        tokio::select! {
            biased; // What was written counts, even if the program is gone by now.
            pumped = &mut pumps => {
                if pumped.is_ok() {
                    over.await;
                }
                pumped
            }
            () = &mut over => tokio::time::timeout(DRAIN_MAX, pumps).await.unwrap_or(Ok(())),
        }
    }
}

/// Writes the content. A program need not read it.
async fn feed(stdin: Option<pipe::Sender>, content: &Content) {
    let Some(mut stdin) = stdin else { return };
    if let Err(error) = stdin.write_all(content.as_bytes()).await {
        tracing::debug!(%error, "a program did not read all of its stdin");
    }
}

/// More output than is allowed.
struct TooMuch;

/// The output of a program, in bounded memory.
struct Stdout {
    bytes: Vec<u8>,
    bytes_max: usize,
    truncate: bool,
    truncated: bool,
}

/// What a program wrote, as a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Captured {
    /// Without the newline at its end.
    Text(String),
    NotUtf8,
}

impl Stdout {
    fn new(bytes_max: usize, truncate: bool) -> Self {
        Self { bytes: Vec::new(), bytes_max, truncate, truncated: false }
    }

    /// Reads to the end, or until there is too much. What goes beyond the bound is read and
    /// forgotten if the output may be truncated, so that the program can end by itself.
    async fn fill(&mut self, mut stdout: impl AsyncRead + Unpin) -> Result<(), TooMuch> {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = stdout.read(&mut chunk).await {
            // One newline more than the bound, since it is not part of the answer.
            let room = self.bytes_max.saturating_add(1) - self.bytes.len();
            self.bytes.extend_from_slice(&chunk[..length.min(room)]);
            self.truncated |= length > room || self.is_too_long();
            if self.truncated && !self.truncate {
                return Err(TooMuch);
            }
        }
        Ok(())
    }

    fn is_too_long(&self) -> bool {
        self.bytes.len() > self.bytes_max && self.bytes.last() != Some(&b'\n')
    }

    fn truncation(&self) -> Option<String> {
        let max = self.bytes_max;
        self.truncated.then(|| format!("[truncated: the program wrote more than {max} bytes]"))
    }

    fn captured(mut self) -> Captured {
        let note = self.truncation();
        if note.is_some() {
            self.bytes.truncate(self.bytes_max);
            self.cut_at_character();
        } else if self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
        }
        match (String::from_utf8(self.bytes), note) {
            (Ok(text), Some(note)) => Captured::Text(format!("{text}\n{note}")),
            (Ok(text), None) => Captured::Text(text),
            (Err(_), _) => Captured::NotUtf8,
        }
    }

    /// Drops a character that was cut in two.
    fn cut_at_character(&mut self) {
        if let Err(error) = std::str::from_utf8(&self.bytes)
            && error.error_len().is_none()
        {
            self.bytes.truncate(error.valid_up_to());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn capture(output: &[u8], max: usize, truncate: bool) -> Option<Captured> {
        let mut stdout = Stdout::new(max, truncate);
        stdout.fill(output).await.ok()?;
        Some(stdout.captured())
    }

    fn text(text: &str) -> Option<Captured> {
        Some(Captured::Text(text.to_owned()))
    }

    #[tokio::test]
    async fn one_newline_at_the_end_is_not_part_of_the_answer() {
        assert_eq!(capture(b"a\n", 10, false).await, text("a"));
        assert_eq!(capture(b"a\n\n", 10, false).await, text("a\n"));
        assert_eq!(capture(b"\n", 10, false).await, text(""));
        assert_eq!(capture(b"", 10, false).await, text(""));
        assert_eq!(capture(b"\xff", 10, false).await, Some(Captured::NotUtf8));
    }

    #[tokio::test]
    async fn an_answer_may_be_as_long_as_the_bound_and_no_longer() {
        assert_eq!(capture(b"abc", 3, false).await, text("abc"));
        assert_eq!(capture(b"abc\n", 3, false).await, text("abc"));
        assert_eq!(capture(b"abcd", 3, false).await, None);
        assert_eq!(capture(b"abc\n\n", 3, false).await, None);
    }

    #[tokio::test]
    async fn a_truncated_answer_ends_with_a_whole_character_and_says_so() {
        let note = "\n[truncated: the program wrote more than 4 bytes]";
        assert_eq!(capture("abcde".as_bytes(), 4, true).await, text(&format!("abcd{note}")));
        assert_eq!(capture("abcé".as_bytes(), 4, true).await, text(&format!("abc{note}")));
        assert_eq!(capture("🦀🦀".as_bytes(), 4, true).await, text(&format!("🦀{note}")));
        assert_eq!(capture(b"a\xffcdefg", 4, true).await, Some(Captured::NotUtf8));
    }
}
