//! `kill -9` of the real program at random moments: what was accepted is handled, what was acked is
//! not handled again, in order, with the answer of a run that nobody killed; and nothing is left over.
//!
//! Teams of small programs, which write into a log of their own what they handle. The log and what
//! `orch` printed are outside of the journal, and say what was acknowledged. `ORCH_KILLS=n` and
//! `ORCH_KILL_SEED=n` choose how often and which moments.
#![cfg(target_os = "linux")]

mod log;
mod teams;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{processes_with, wait_until};

use log::Log;
use teams::{Dice, Story};

/// Lives of one run, far more than any needs.
const LIVES_MAX: usize = 400;

/// A run that is killed until it is done.
struct World {
    folder: TempDir,
    story: Story,
    is_planted: bool,
    /// The programs' environment has it.
    mark: String,
}

/// What came of a run.
#[derive(Debug, Default)]
struct Verdict {
    n_runs: u64,
    n_kills: u64,
    /// Acknowledgements that were seen and could have been broken.
    n_acks: usize,
    objections: Vec<String>,
}

impl Verdict {
    fn add(&mut self, other: Self) {
        self.n_runs += other.n_runs;
        self.n_kills += other.n_kills;
        self.n_acks += other.n_acks;
        self.objections.extend(other.objections);
    }
}

impl World {
    fn new(dice: &mut Dice, is_planted: bool) -> Self {
        let (folder, story) = (tempfile::tempdir().unwrap(), Story::roll(dice));
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let mark = format!("orch-kills-{}-{name}", std::process::id());
        std::fs::write(folder.path().join("team.toml"), story.team(&mark)).unwrap();
        Self { folder, story, is_planted, mark }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `orch run`, or `orch resume` if there is something to go on with.
    fn start(&self, life: usize) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orch"));
        let is_begun = std::fs::metadata(self.path("run.journal")).is_ok_and(|it| it.len() > 0);
        if is_begun && self.was_begun() {
            // From elsewhere: the journal knows where its team is.
            command.arg("resume").arg(self.path("run.journal")).current_dir("/");
        } else {
            command.args(["run", "team.toml", "--journal", "run.journal"]);
            command.args(self.story.inputs().iter().flat_map(|it| ["-i", it]));
            command.current_dir(self.folder.path());
        }
        command.args(["--json", "--durability", self.story.durability]);
        command.env("TMPDIR", self.folder.path()).env_remove("RUST_BACKTRACE");
        if self.is_planted {
            command.env("ORCH_PLANT", "ack-before-commit");
        }
        let said = |name| File::create(self.path(&format!("{name}.{life}"))).unwrap();
        command.stdin(Stdio::null()).stdout(said("out")).stderr(said("err"));
        command.spawn().unwrap()
    }

    /// Whether a run was begun in the journal: a kill may come before that.
    fn was_begun(&self) -> bool {
        let reader = orch_journal::SqliteReader::open(self.path("run.journal"));
        reader.is_ok_and(|reader| reader.stats().is_ok_and(|stats| stats.last.0 > 0))
    }

    /// Lives and is killed until it comes to its end.
    fn play(&self, dice: &mut Dice) -> Verdict {
        let mut verdict = Verdict { n_runs: 1, ..Verdict::default() };
        let mut log = Log::default();
        for life in 0..LIVES_MAX {
            let mut child = self.start(life);
            // Now and then it is stopped, and not killed.
            let signal = if dice.roll(8) == 0 { Signal::TERM } else { Signal::KILL };
            // Each may live a little longer than the one before, or a busy machine gets nowhere.
            let longest = self.story.life + life as u64 * 5_000;
            let after = Duration::from_micros(dice.roll(longest));
            // Most of them once they are at work: while it starts there is little at risk.
            if dice.roll(4) > 0 {
                self.is_at_work(&mut child, life);
            }
            let ended = end_after(&mut child, after, signal);
            self.nothing_is_left();
            let is_stopped = ended.code() == Some(130);
            log.read_life(&self.path(&format!("out.{life}")), &self.path("log"), is_stopped);
            match (ended.code(), signal) {
                (None, Signal::KILL) => {
                    verdict.n_kills += 1;
                    continue;
                }
                // 130: it stopped. None: it heard no signals yet.
                (None | Some(130), Signal::TERM) => continue,
                _ => {}
            }
            verdict.n_acks = log.n_acks();
            verdict.objections = log.objections(&self.path("run.journal"), &self.story);
            verdict.objections.extend(self.wrong_end(life, ended));
            verdict.objections.iter_mut().for_each(|it| *it = format!("{}: {it}", self.story.name));
            return verdict;
        }
        verdict.objections.push(format!("{}: no end after {LIVES_MAX} lives", self.story.name));
        verdict
    }

    /// Returns when a run has started, or ended.
    fn is_at_work(&self, child: &mut Child, life: usize) {
        let out = self.path(&format!("out.{life}"));
        wait_until("the run has started", || {
            let said = std::fs::read_to_string(&out).unwrap_or_default();
            said.contains("\"run_started\"") || child.try_wait().unwrap().is_some()
        });
    }

    fn wrong_end(&self, life: usize, ended: ExitStatus) -> Option<String> {
        let out = std::fs::read_to_string(self.path(&format!("out.{life}"))).unwrap();
        let last = out.lines().last().unwrap_or_default();
        let answer: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
        let expected = self.story.answer();
        let found = answer["content"].as_str().unwrap_or_default().trim_end();
        if ended.success() && found == expected && answer["partial"] == false {
            return None;
        }
        let error = std::fs::read_to_string(self.path(&format!("err.{life}"))).unwrap();
        Some(format!("ended with {ended}, {answer}, {error}; expected {expected}"))
    }

    fn nothing_is_left(&self) {
        let mark = format!("MARK={}", self.mark);
        wait_until("no process is left", || processes_with(&mark).is_empty());
    }
}

/// Lets it live for so long, unless it ends by itself; how it ended.
fn end_after(child: &mut Child, after: Duration, signal: Signal) -> ExitStatus {
    let until = std::time::Instant::now() + after;
    while std::time::Instant::now() < until {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        std::thread::sleep(Duration::from_millis(2).min(after));
    }
    kill_process(Pid::from_child(child), signal).unwrap();
    child.wait().unwrap()
}

/// Plays runs until there were so many kills, in a few threads: most of the time is waiting.
fn kill(n_kills: u64, is_planted: bool, seed: u64) -> Verdict {
    const THREADS: u64 = 4;
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let play = |thread: u64| {
        let mut dice = Dice::new(seed.wrapping_mul(31).wrapping_add(thread));
        let mut sum = Verdict::default();
        while sum.n_kills < n_kills.div_ceil(THREADS) {
            sum.add(World::new(&mut dice, is_planted).play(&mut dice));
        }
        sum
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|it| scope.spawn(move || play(it))).collect();
        let mut sum = Verdict::default();
        threads.into_iter().for_each(|thread| sum.add(thread.join().unwrap()));
        sum
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("ORCH_KILL_SEED").unwrap_or(1)
}

#[test]
fn a_run_that_is_killed_again_and_again_does_all_of_it_once() {
    let n_kills = number("ORCH_KILLS").unwrap_or(24);
    let Verdict { n_runs, n_kills, n_acks, objections } = kill(n_kills, false, seed());
    let n_wrong = objections.len();
    println!("{n_runs} runs, {n_kills} kills, {n_acks} acknowledgements, {n_wrong} objections");
    assert_eq!(objections, [""; 0], "ORCH_KILL_SEED={}", seed());
    assert!(2 * n_acks as u64 > n_kills, "hardly anything was at risk");
}

/// The planted bug: acknowledging before the commit must be noticed.
#[cfg(feature = "planted")]
#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    let mut sum = Verdict::default();
    // On a busy machine a kill rarely falls between an acknowledgement and its commit.
    for round in 0..20 {
        sum.add(kill(50, true, seed().wrapping_add(round)));
        if sum.objections.len() > 3 {
            break;
        }
    }
    let Verdict { n_runs, n_kills, objections, .. } = sum;
    println!("{n_runs} runs, {n_kills} kills: {objections:#?}");
    assert!(objections.len() > 3, "only {} objections", objections.len());
}
