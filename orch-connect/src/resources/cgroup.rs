//! The files of control groups, of both versions.
//!
//! A group is a folder. Version 2 has one tree of them for everything; version 1 has a tree for each
//! controller, and a machine may have both. So one run of a program may have a folder in several
//! trees; what each of them can do is told by the files in it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use orch_core::{AgentId, Meter, Resource};
use rustix::process::Pid;

/// Which of the two kinds of file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A group's folder in one tree, and what can be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
    version: Version,
    cpu: bool,
    memory: bool,
    processes: bool,
}

impl Place {
    /// Looks at the files of a group that exists.
    pub(crate) fn at(path: PathBuf) -> Self {
        let has = |file: &str| path.join(file).exists();
        let (version, cpu, memory) = match has("cgroup.controllers") {
            true => (Version::V2, has("cpu.stat"), has("memory.max")),
            false => (Version::V1, has("cpuacct.usage"), has("memory.limit_in_bytes")),
        };
        let processes = has("pids.max");
        Self { path, version, cpu, memory, processes }
    }

    /// Whether it counts this resource (and, but for processor time, limits it).
    pub(crate) fn has(&self, resource: Resource) -> bool {
        match resource {
            Resource::Memory => self.memory,
            Resource::Processes => self.processes,
            _ => self.cpu,
        }
    }

    pub(crate) fn meter(&self) -> Meter {
        match self.version {
            Version::V1 => Meter::CgroupV1,
            Version::V2 => Meter::CgroupV2,
        }
    }

    /// Microseconds of processor time, of all that ever was in it.
    pub(crate) fn cpu_us(&self) -> Option<u64> {
        match self.version {
            Version::V1 => Some(self.number("cpuacct.usage")? / 1_000),
            Version::V2 => self.entry("cpu.stat", "usage_usec"),
        }
    }

    /// Bytes of memory now, the page cache included.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.number(self.named("memory.usage_in_bytes", "memory.current"))
    }

    /// The most bytes so far; `None` where the kernel does not keep it.
    pub(crate) fn memory_peak(&self) -> Option<u64> {
        self.number(self.named("memory.max_usage_in_bytes", "memory.peak"))
    }

    /// Processes and threads now.
    pub(crate) fn processes(&self) -> Option<u64> {
        self.number("pids.current")
    }

    /// The most so far; `None` where the kernel does not keep it.
    pub(crate) fn processes_peak(&self) -> Option<u64> {
        self.number("pids.peak")
    }

    /// How often the limit on memory made the kernel kill a process of it.
    pub(crate) fn n_killed_for_memory(&self) -> u64 {
        let file = self.named("memory.oom_control", "memory.events");
        self.entry(file, "oom_kill").unwrap_or(0)
    }

    /// How often the limit on processes made the kernel refuse one.
    pub(crate) fn n_refused_processes(&self) -> u64 {
        self.entry("pids.events", "max").unwrap_or(0)
    }

    /// Limits what it holds of memory. Nothing of it is swapped out then, or the limit would be one on
    /// a part of it only.
    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        self.write(self.named("memory.limit_in_bytes", "memory.max"), bytes)?;
        let (swap, most) = match self.version {
            Version::V1 => ("memory.memsw.limit_in_bytes", bytes),
            Version::V2 => ("memory.swap.max", 0),
        };
        // Not there where the kernel swaps nothing, or does not count it.
        if self.path.join(swap).exists() { self.write(swap, most) } else { Ok(()) }
    }

    pub(crate) fn limit_processes(&self, most: u64) -> io::Result<()> {
        self.write("pids.max", most)
    }

    /// Moves the calling process, which has one thread, into it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.write("cgroup.procs", 0)
    }

    /// The processes that are in it. `None` if that cannot be read.
    pub(crate) fn members(&self) -> Option<Vec<Pid>> {
        let list = fs::read_to_string(self.path.join("cgroup.procs")).ok()?;
        Some(list.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
    }

    /// Kills all that is in it at once, where the kernel can.
    pub(crate) fn kill(&self) {
        if self.version == Version::V2 {
            // Not there before Linux 5.14; whoever calls goes on to kill one by one.
            let _ = self.write("cgroup.kill", 1);
        }
    }

    /// Removes an empty group.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            ended => ended,
        }
    }

    fn named(&self, v1: &'static str, v2: &'static str) -> &'static str {
        match self.version {
            Version::V1 => v1,
            Version::V2 => v2,
        }
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    /// The number behind a word at the beginning of a line.
    fn entry(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(word, _)| *word == key)?.1.trim().parse().ok()
    }

    fn write(&self, file: &str, number: u64) -> io::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, number.to_string()).map_err(|error| named(&path, &error))
    }
}

/// Makes a group of this name below `parent`.
pub(crate) fn make(parent: &Path, name: &str) -> io::Result<Place> {
    hand_down(parent);
    let path = parent.join(name);
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(named(&path, &error)),
        _ => Ok(Place::at(path)),
    }
}

/// Version 2 gives a group's controllers to the groups below it only if it is told to. It refuses for
/// one that has processes of its own; then its children show which controllers are missing.
fn hand_down(parent: &Path) {
    let control = parent.join("cgroup.subtree_control");
    let Ok(handed) = fs::read_to_string(&control) else { return };
    let known = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    for controller in ["memory", "pids"] {
        let is_in = |list: &str| list.split_whitespace().any(|it| it == controller);
        if is_in(&known) && !is_in(&handed) {
            let _ = fs::write(&control, format!("+{controller}"));
        }
    }
}

/// What a group below each of these folders could do: makes one in each, and removes it again.
///
/// # Errors
///
/// The first folder in which none can be made, and why.
pub(crate) fn try_out(parents: &[PathBuf]) -> Result<Vec<Place>, String> {
    let name = format!("orch-try-{}", AgentId::new().as_uuid());
    let mut places = Vec::new();
    for parent in parents {
        let place = make(parent, &name).map_err(|error| error.to_string())?;
        let is_group = place.path.join("cgroup.procs").exists();
        // It is ours and empty, so it goes; and if not, nobody is in it.
        let _ = place.remove();
        if !is_group {
            return Err(format!("{} is no folder of a control group", parent.display()));
        }
        places.push(place);
    }
    Ok(places)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with files as a kernel shows them.
    fn place(files: &[(&str, &str)]) -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let place = Place::at(folder.path().to_owned());
        (folder, place)
    }

    #[test]
    fn the_files_of_version_2_are_read() {
        let (folder, place) = place(&[
            ("cgroup.controllers", "memory pids\n"),
            ("cgroup.procs", "12\n13\n"),
            ("cpu.stat", "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "max\n"),
            ("memory.current", "4096\n"),
            ("memory.peak", "8192\n"),
            ("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n"),
            ("pids.max", "max\n"),
            ("pids.current", "3\n"),
            ("pids.events", "max 5\n"),
        ]);
        assert!(Resource::ALL.iter().all(|resource| place.has(*resource)));
        assert_eq!(place.meter(), Meter::CgroupV2);
        assert_eq!((place.cpu_us(), place.memory_bytes()), (Some(1234), Some(4096)));
        assert_eq!((place.memory_peak(), place.processes()), (Some(8192), Some(3)));
        assert_eq!(place.processes_peak(), None);
        assert_eq!((place.n_killed_for_memory(), place.n_refused_processes()), (1, 5));
        assert_eq!(place.members().unwrap().len(), 2);
        place.limit_memory(1 << 20).unwrap();
        place.limit_processes(9).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(
            [read("memory.max"), read("memory.swap.max"), read("pids.max")],
            ["1048576", "0", "9"]
        );
    }

    #[test]
    fn the_files_of_version_1_are_read() {
        let (folder, place) = place(&[
            ("cgroup.procs", ""),
            ("cpuacct.usage", "5000000\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "8192\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"),
        ]);
        assert!(place.has(Resource::Cpu) && place.has(Resource::Memory));
        assert!(!place.has(Resource::Processes));
        assert_eq!(place.meter(), Meter::CgroupV1);
        assert_eq!((place.cpu_us(), place.memory_bytes()), (Some(5_000), Some(4096)));
        assert_eq!((place.memory_peak(), place.n_killed_for_memory()), (Some(8192), 4));
        place.limit_memory(1 << 20).unwrap();
        let limit = fs::read_to_string(folder.path().join("memory.limit_in_bytes")).unwrap();
        assert_eq!(limit, "1048576");
    }

    #[test]
    fn controllers_are_handed_down_where_they_are_not_yet() {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("cgroup.subtree_control");
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(&control, "pids\n").unwrap();
        make(folder.path(), "a").unwrap();
        assert_eq!(fs::read_to_string(&control).unwrap(), "+memory");
    }

    #[test]
    fn a_folder_that_is_no_group_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = try_out(&[folder.path().to_owned()]).unwrap_err();
        assert!(refusal.ends_with("is no folder of a control group"), "{refusal}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let refusal = try_out(&[folder.path().join("none")]).unwrap_err();
        assert!(refusal.contains("No such file"), "{refusal}");
    }
}
