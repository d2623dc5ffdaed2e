//! Runs `orch` on team files of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a team file.
pub(crate) struct Team {
    folder: TempDir,
}

impl Team {
    pub(crate) fn new(text: &str) -> Self {
        let team = Self { folder: tempfile::tempdir().unwrap() };
        team.file("team.toml", text.as_bytes());
        team
    }

    /// Writes a file beside the team file.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `orch SUBCOMMAND team.toml ARGS`, in the folder.
    pub(crate) fn command(&self, subcommand: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        command.arg(subcommand).arg("team.toml").args(args).current_dir(self.path());
        command.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command("run", args).output().unwrap())
    }

    pub(crate) fn check(&self) -> Ran {
        Ran::from(self.command("check", &[]).output().unwrap())
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    /// Ended with this code and said all of this on standard error.
    #[track_caller]
    pub(crate) fn ended(&self, code: i32, said: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in said {
            assert!(self.stderr.contains(text), "`{text}` is missing in:\n{}", self.stderr);
        }
        self
    }
}

/// Waits for a condition; panics when that takes unreasonably long.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "still not true: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a program; kills it when that takes unreasonably long.
#[track_caller]
pub(crate) fn wait_for(mut child: Child) -> Ran {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("the program did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ran::from(child.wait_with_output().unwrap())
}

/// The living processes whose command line or environment has this text.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && is_alive(*pid) && mentions(*pid, text))
        .collect()
}

fn mentions(pid: u32, text: &str) -> bool {
    ["cmdline", "environ"].iter().any(|file| {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A zombie is no living process, but a process that was left behind all the same, so it counts.
fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
