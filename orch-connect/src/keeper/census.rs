//! Finds the processes below a keeper in `/proc`, look after look.

use std::collections::{HashMap, HashSet};
use std::fs;

use rustix::process::Pid;

/// Looks after which the processes that are none of ours are looked at again: a number may be
/// another's by then.
const STRANGERS_LOOKS_MAX: u32 = 64;

/// A line of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: Pid,
    parent: i32,
    /// Processor time of its own and of the children that it reaped.
    pub(super) ticks: u64,
    pub(super) n_threads: u64,
    pub(super) rss_pages: u64,
}

impl Stat {
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let line = fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
        Self::parse(pid, &line)
    }

    fn parse(pid: Pid, line: &[u8]) -> Option<Self> {
        // "pid (name) state ppid …": the name may hold anything, parentheses too.
        let after_name = line.get(line.iter().rposition(|byte| *byte == b')')? + 1..)?;
        let words: Vec<&str> = std::str::from_utf8(after_name).ok()?.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: words.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)? + number(13)? + number(14)?,
            // A zombie is one as well until it is reaped.
            n_threads: number(17)?.max(1),
            rss_pages: number(21)?,
        })
    }
}

/// Finds the descendants of the keeper again and again.
#[derive(Debug)]
pub(super) struct Tree {
    keeper: Pid,
    /// Processes that were seen to be none of ours. Nobody becomes a descendant of ours later, so they
    /// need no second look.
    strangers: HashSet<Pid>,
    n_looks: u32,
}

impl Tree {
    pub(super) fn new(keeper: Pid) -> Self {
        Self { keeper, strangers: HashSet::new(), n_looks: 0 }
    }

    /// All descendants; `members` of a group spare the search.
    pub(super) fn look(&mut self, members: Option<Vec<Pid>>) -> Vec<Stat> {
        match members {
            Some(members) => members.into_iter().filter_map(Stat::of).collect(),
            None => self.search(),
        }
    }

    fn search(&mut self) -> Vec<Stat> {
        self.n_looks += 1;
        if self.n_looks.is_multiple_of(STRANGERS_LOOKS_MAX) {
            self.strangers.clear();
        }
        let is_new = |pid: &Pid| *pid != self.keeper && !self.strangers.contains(pid);
        let new = super::tree::processes().filter(is_new);
        let found: HashMap<i32, Stat> =
            new.filter_map(Stat::of).map(|stat| (stat.pid.as_raw_pid(), stat)).collect();
        let (mut ours, mut alive) = (HashMap::new(), Vec::new());
        for stat in found.values() {
            match self.is_ours(stat, &found, &mut ours) {
                Some(true) => alive.push(*stat),
                Some(false) => {
                    self.strangers.insert(stat.pid);
                }
                // Its parent was born after the list was read, or died before it was looked at: the
                // next look knows.
                None => {}
            }
        }
        alive
    }

    /// Whether a process is a descendant; `None` if that cannot be told from what was found.
    fn is_ours(
        &self,
        stat: &Stat,
        found: &HashMap<i32, Stat>,
        known: &mut HashMap<i32, Option<bool>>,
    ) -> Option<bool> {
        let keeper = self.keeper.as_raw_pid();
        let (mut at, mut way) = (*stat, Vec::new());
        let answer = loop {
            let pid = at.pid.as_raw_pid();
            if let Some(answer) = known.get(&pid) {
                break *answer;
            }
            if way.contains(&pid) {
                break None;
            }
            way.push(pid);
            let is_stranger = || {
                let parent = Pid::from_raw(at.parent);
                parent.is_none_or(|parent| self.strangers.contains(&parent))
            };
            if at.parent == keeper {
                break Some(true);
            } else if is_stranger() {
                break Some(false);
            }
            match found.get(&at.parent) {
                Some(parent) => at = *parent,
                None => break None,
            }
        };
        known.extend(way.into_iter().map(|pid| (pid, answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Nine processes in four generations, some in sessions of their own; each sleeps.
    const FAMILY: &str = "sh -c 'sleep 100 & sh -c \"setsid sleep 100 & sleep 100 & wait\" & \
                          sleep 100 & wait' & setsid sh -c 'sleep 100 & sleep 100; wait' & wait";

    fn family() -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", FAMILY]).stdin(Stdio::null()).stdout(Stdio::null());
        shell.spawn().unwrap()
    }

    /// Kills the family: none of it is a subreaper, so who loses its parent is lost to a second look.
    fn end(mut child: Child) {
        for stat in Tree::new(Pid::from_child(&child)).look(None) {
            let _ = rustix::process::kill_process(stat.pid, rustix::process::Signal::KILL);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Whether this way of looking comes to see all of the family.
    fn sees_all(look: impl Fn(&mut Tree) -> Vec<Stat>) -> bool {
        let child = family();
        let mut tree = Tree::new(Pid::from_child(&child));
        let sees = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            look(&mut tree).len() == 9
        });
        end(child);
        sees
    }

    #[test]
    fn a_look_sees_the_whole_tree() {
        assert!(sees_all(|tree| tree.look(None)));
    }

    /// The control: a look at the direct children alone is told from one at the whole tree.
    #[test]
    fn a_look_at_direct_children_alone_is_found() {
        let children_alone = |tree: &mut Tree| {
            let mut seen = tree.look(None);
            seen.retain(|stat| stat.parent == tree.keeper.as_raw_pid());
            seen
        };
        assert!(!sees_all(children_alone));
    }

    #[test]
    fn strangers_are_looked_at_once_and_are_never_ours() {
        let mut stranger = Command::new("sleep").arg("100").spawn().unwrap();
        let child = family();
        let mut tree = Tree::new(Pid::from_child(&child));
        while tree.look(None).len() < 9 {}
        for _ in 0..3 {
            let seen = tree.look(None);
            assert!(seen.iter().all(|stat| stat.pid != Pid::from_child(&stranger)));
        }
        assert!(tree.strangers.contains(&Pid::from_child(&stranger)));
        assert!(!tree.strangers.contains(&Pid::from_child(&child)), "it is the keeper here");
        end(child);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
        let line = b"7 (a) R 1) S 42 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 99 1 6 7\n";
        let pid = Pid::from_raw(7).unwrap();
        let expected = Stat { pid, parent: 42, ticks: 100, n_threads: 5, rss_pages: 6 };
        assert_eq!(Stat::parse(pid, line), Some(expected));
        assert_eq!(Stat::parse(pid, b"7 (a"), None);
        assert_eq!(Stat::parse(pid, b"7 (a)"), None);
    }
}
