//! One cell: this program once more, as a child that runs one contender in one scenario.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::ValueEnum;

use crate::clock::stop_for_mint;
use crate::contenders;
use crate::scenario::{Sample, Scenario};

/// The first argument of a child.
const WORD: &str = "cell";

/// A cell that takes longer has failed.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Runs the cell, if this process was started as one.
pub(super) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [word, scenario, contender] = &arguments[..] else { return None };
    let is_cell = word == WORD;
    is_cell.then(|| run(scenario, contender))
}

fn run(scenario: &str, contender: &str) -> ExitCode {
    // A panic of an agent would otherwise leave all others waiting for what it does not do.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(101);
    }));
    stop_for_mint();
    let scenario = Scenario::from_str(scenario, false).expect("the parent knows the scenarios");
    let contender = contenders::find(contender).expect("the parent knows the contenders");
    let sample = contender.run(scenario).expect("the parent asks for what can be expressed");
    println!("{}", serde_json::to_string(&sample).expect("numbers have a form in JSON"));
    // Without taking down a million agents first.
    std::process::exit(0)
}

/// Runs a cell in a child. The error is for a person.
pub(super) fn in_child(
    program: &Path,
    scenario: Scenario,
    contender: &str,
) -> Result<Sample, String> {
    let mut command = Command::new(program);
    command.args([WORD, scenario.name(), contender]);
    let said = finish_within(&mut command, TIME_MAX)?;
    serde_json::from_str(&said).map_err(|error| format!("it printed no sample: {error}"))
}

/// What the command printed. It is ended if it takes too long.
fn finish_within(command: &mut Command, time_max: Duration) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("it did not start: {error}"))?;
    let (said, complaints) = read(&mut child);
    match said.recv_timeout(time_max) {
        Ok(said) => {
            let status = child.wait().map_err(|error| error.to_string())?;
            let complaints = complaints.recv().unwrap_or_default();
            if status.success() {
                Ok(said)
            } else {
                Err(format!("{status}: {}", complaints.trim()))
            }
        }
        Err(_) => {
            // The only error is that it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("took longer than {} s", time_max.as_secs()))
        }
    }
}

/// Reads what a child prints and complains of, each on a thread of its own.
fn read(child: &mut Child) -> (mpsc::Receiver<String>, mpsc::Receiver<String>) {
    (text(child.stdout.take()), text(child.stderr.take()))
}

fn text(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is all there is to show.
            let _ = pipe.read_to_string(&mut text);
        }
        // Nobody listens any more if the child was ended.
        let _ = sender.send(text);
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, time_max: Duration) -> Result<String, String> {
        finish_within(Command::new("sh").args(["-c", script]), time_max)
    }

    #[test]
    fn a_cell_that_takes_too_long_is_ended_and_said_so() {
        let ended = sh("sleep 600", Duration::from_millis(20));
        assert_eq!(ended, Err("took longer than 0 s".to_owned()));
    }

    #[test]
    fn a_cell_that_fails_says_why() {
        let failed = sh("echo half; echo lost >&2; exit 3", TIME_MAX);
        assert_eq!(failed, Err("exit status: 3: lost".to_owned()));
    }
}
