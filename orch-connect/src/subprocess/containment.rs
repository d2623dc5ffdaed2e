//! What becomes of the processes that a program starts.

#[cfg(target_os = "linux")]
use std::ffi::OsString;
#[cfg(target_os = "linux")]
use std::path::PathBuf;

use crate::ConnectError;

/// What becomes of the processes that a program starts, when its attempt or session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Containment {
    /// All of them are killed, whatever they did to get away; also when the host is killed. Linux
    /// only. See [`keeper`](crate::keeper) for how, and for its limits.
    #[cfg(target_os = "linux")]
    Keeper(KeeperCommand),
    /// Those in the program's process group are killed. **A descendant that makes a session or a
    /// group of its own (`setsid`, a daemon, a shell with job control) escapes**, and when the host
    /// is killed by SIGKILL, all of them stay. The program also gets whatever descriptors the host
    /// was itself started with, unless they are closed on exec.
    Group,
}

impl Containment {
    pub(super) fn check(&self) -> Result<(), ConnectError> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Keeper(keeper) => {
                super::program::check_file(
                    &keeper.program,
                    &keeper.program.to_string_lossy(),
                    "the one place where the keeper was said to be",
                )?;
                let tried = crate::resources::cgroup::try_out(&keeper.cgroups);
                tried.map(|_| ()).map_err(|problem| ConnectError::OpenFailed {
                    error: format!("no control group can be made for it: {problem}"),
                    transient: false,
                })
            }
            Self::Group => Ok(()),
        }
    }
}

/// How a keeper is started: a program that calls [`keeper::main`](crate::keeper::main) when it gets
/// these arguments.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperCommand {
    /// The program; best absolute, since no PATH is searched.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Folders of control groups that were set aside for the programs; see
    /// [`with_cgroups`](Self::with_cgroups).
    pub cgroups: Vec<PathBuf>,
}

#[cfg(target_os = "linux")]
impl KeeperCommand {
    /// A program without arguments, such as `orch-keeper`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new(), cgroups: Vec::new() }
    }

    /// The running program itself, with these arguments; it finds itself even if its file was
    /// replaced or removed meanwhile.
    pub fn this_program(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { program: PathBuf::from("/proc/self/exe"), args, cgroups: Vec::new() }
    }

    /// Makes a control group for each run of a program below each of these folders: groups that were
    /// set aside for that, are writable, and, in version 2, have no processes of their own. One folder
    /// is enough in version 2; in version 1 each controller has a tree of its own.
    ///
    /// With groups, limits on memory and processes are held by the kernel; see
    /// [`ResourceControl`](crate::ResourceControl).
    #[must_use]
    pub fn with_cgroups(mut self, folders: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.cgroups = folders.into_iter().map(Into::into).collect();
        self
    }
}
