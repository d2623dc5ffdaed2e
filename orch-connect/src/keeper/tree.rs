//! Finds the descendants of a process in `/proc`, and signals them without hitting anybody else.
//!
//! Between a look at `/proc` and a signal a process may be gone and its number another's. So each is
//! held by a pidfd first, and looked at again then: if it is a descendant now, the pidfd is its own.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Rounds in which what was forked meanwhile is stopped too, before all of it is killed.
const STOP_ROUNDS_MAX: u32 = 64;
/// More generations than a tree of processes has; bounds a look at one that changes meanwhile.
const DEPTH_MAX: u32 = 10_000;
/// Rounds of [`sweep`].
const SWEEP_ROUNDS_MAX: u32 = 200;

/// Sends SIGTERM to all descendants of `root`, once.
pub(super) fn terminate(root: Pid) {
    for pid in descendants(root) {
        signal(root, pid, Signal::TERM);
    }
}

/// Sends SIGKILL to all descendants of `root` that it finds. To be repeated until none is left.
///
/// They are stopped first, so that none can fork, or start its neighbour again, while the others
/// are killed.
pub(super) fn kill(root: Pid) {
    let mut stopped = HashSet::new();
    for _ in 0..STOP_ROUNDS_MAX {
        let found = descendants(root);
        let new: Vec<Pid> = found.into_iter().filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            signal(root, pid, Signal::STOP);
            stopped.insert(pid);
        }
    }
    for pid in stopped.into_iter().chain(descendants(root)) {
        signal(root, pid, Signal::KILL);
    }
}

/// Signals a process if it still is a descendant of `root`; answers whether it was.
fn signal(root: Pid, pid: Pid, signal: Signal) -> bool {
    // Both calls fail for a process that has ended, which is what is wanted.
    let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    is_descendant(root, pid) && pidfd_send_signal(&held, signal).is_ok()
}

/// The descendants of `root`, as far as they can be seen while they fork.
fn descendants(root: Pid) -> HashSet<Pid> {
    // The lists of children are quick to read, so that one who forks and exits all the time is
    // caught; they may miss some, and not every kernel has them. The full look misses only those
    // that are born meanwhile.
    let mut found = HashSet::new();
    by_children(root, &mut found);
    if found.is_empty() {
        by_parents(root, &mut found);
    }
    found
}

fn by_children(root: Pid, found: &mut HashSet<Pid>) {
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children(parent) {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
}

/// The children of all threads of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", parent.as_raw_pid()));
    let lists = threads.into_iter().flatten().flatten();
    lists
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(parse).collect::<Vec<_>>())
        .collect()
}

fn by_parents(root: Pid, found: &mut HashSet<Pid>) {
    let parents: Vec<(Pid, Pid)> =
        processes().filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut n_before = usize::MAX;
    while n_before != found.len() {
        n_before = found.len();
        for (pid, parent) in &parents {
            if *parent == root || found.contains(parent) {
                found.insert(*pid);
            }
        }
    }
}

fn is_descendant(root: Pid, pid: Pid) -> bool {
    let mut at = pid;
    for _ in 0..DEPTH_MAX {
        match parent_of(at) {
            Some(parent) if parent == root => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

/// The parent of a process; `None` if the process is gone, or has no parent here.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // "pid (name) state ppid …": the name may hold anything, parentheses too.
    let after_name = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    let after_name = std::str::from_utf8(after_name).ok()?;
    parse(after_name.split_whitespace().nth(1)?)
}

pub(super) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| parse(entry.file_name().to_str()?))
}

fn parse(pid: &str) -> Option<Pid> {
    Pid::from_raw(pid.parse().ok()?)
}

/// Kills every process whose environment has this entry, for when its keeper is gone. Answers how
/// many it killed. A process that changed its environment is not found.
pub(crate) fn sweep(entry: &str) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..SWEEP_ROUNDS_MAX {
        let marked: Vec<Pid> = processes().filter(|pid| is_marked(*pid, entry)).collect();
        if marked.is_empty() {
            break;
        }
        for pid in marked {
            if let Ok(held) = pidfd_open(pid, PidfdFlags::empty())
                && is_marked(pid, entry)
                && pidfd_send_signal(&held, Signal::KILL).is_ok()
            {
                killed.insert(pid);
            }
        }
    }
    killed.len()
}

/// A zombie has no environment any more, so one that was killed is not found again.
fn is_marked(pid: Pid, entry: &str) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_pid());
    let environment = fs::read(Path::new(&path)).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|it| it == entry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn pid_of(child: &Child) -> Pid {
        Pid::from_child(child)
    }

    #[test]
    fn both_looks_find_a_grandchild() {
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", "sleep 100 & sleep 100; wait"]).spawn().unwrap();
        let parent = pid_of(&child);
        let looks: [fn(Pid, &mut HashSet<Pid>); 2] = [by_children, by_parents];
        for look in looks {
            let found = loop {
                let mut found = HashSet::new();
                look(parent, &mut found);
                if found.len() == 2 {
                    break found;
                }
                std::thread::yield_now();
            };
            let own = rustix::process::getpid();
            assert!(
                found.iter().all(|pid| is_descendant(parent, *pid) && is_descendant(own, *pid))
            );
        }
        kill(parent);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_a_descendant_is_not_signalled() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let mut other = Command::new("sleep").arg("100").spawn().unwrap();
        assert!(!signal(pid_of(&child), pid_of(&other), Signal::KILL));
        assert!(signal(rustix::process::getpid(), pid_of(&other), Signal::KILL));
        for child in [&mut child, &mut other] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
