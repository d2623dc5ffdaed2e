//! What the figures were measured on, with and when.

use std::process::Command;

use serde::Serialize;

use super::load;

/// As it is printed with every table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    rustc: String,
    commit: String,
    date: String,
    pub(super) allocator: String,
    /// The load averages before the first round.
    load: String,
}

pub(super) fn describe(allocator: &str) -> Machine {
    Machine {
        cpu: cpu(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: said(Command::new("uname").arg("-sr")),
        rustc: said(Command::new("rustc").arg("-V")),
        commit: said(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"])),
        date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
        allocator: allocator.to_owned(),
        load: load::averages(),
    }
}

impl Machine {
    /// In two lines.
    pub(super) fn lines(&self) -> [String; 2] {
        let Self { cpu, cores, kernel, rustc, commit, date, allocator, load } = self;
        [
            format!("{cpu}, {cores} cores, {kernel}, {allocator}"),
            format!("commit {commit}, {rustc}, {date}, load before {load}"),
        ]
    }
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown CPU".to_owned(), |(_, name)| name.to_owned())
}

/// What a program says, or that it says nothing.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
