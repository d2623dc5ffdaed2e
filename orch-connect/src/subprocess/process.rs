//! One run of a program: starting it, watching it, and ending it with everything that it started.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use orch_core::{Failure, LimitReached, Resources};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::containment::Containment;
use super::env::{self, Env};
use super::exit::Exit;
use super::folder::Folder;
use super::program;
use super::settings::ProgramSettings;
use crate::{ConnectError, SessionSpec};

#[cfg(target_os = "linux")]
use super::containment::KeeperCommand;
#[cfg(target_os = "linux")]
use super::lines::Lines;
#[cfg(target_os = "linux")]
use crate::keeper;
#[cfg(target_os = "linux")]
use crate::resources::settings::LimitSettings;
#[cfg(target_os = "linux")]
use rustix::net::SendFlags;
#[cfg(target_os = "linux")]
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How long killed processes may take to be gone. Only one that hangs in the kernel takes longer
/// than a moment.
const KILL_MAX: Duration = Duration::from_secs(10);
/// How long a killed group is waited for, and how often it is looked at: a system whose first process
/// does not reap orphans keeps their zombies in it for ever.
const GROUP_MAX: Duration = Duration::from_secs(2);
const GROUP_PAUSE: Duration = Duration::from_millis(2);
/// How long pipes may stay open after the program and all that was contained is gone. Only a
/// process that got away holds one open.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long a keeper may take to say what was used.
const MEASURE_MAX: Duration = Duration::from_secs(1);
/// Longer than any line of a keeper.
#[cfg(target_os = "linux")]
const REPORT_BYTES_MAX: usize = 64 << 10;

/// Starts the program of one session, as often as it is wanted.
#[derive(Debug)]
pub(super) struct Runner {
    containment: Arc<Containment>,
    pub(super) settings: ProgramSettings,
    program: PathBuf,
    env: Env,
    folder: Folder,
}

/// Our ends of a program's pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

impl Runner {
    pub(super) fn new(
        containment: Arc<Containment>,
        settings: ProgramSettings,
        spec: &SessionSpec,
    ) -> Result<Self, ConnectError> {
        let program = program::find(&settings)?;
        let folder = Folder::new().map_err(|error| ConnectError::OpenFailed {
            error: format!("no folder for the session: {error}"),
            transient: true,
        })?;
        let env = env::of_session(&settings, spec, &folder);
        Ok(Self { containment, settings, program, env, folder })
    }

    /// Starts the program with these variables beside those of the session. Does not wait; a keeper
    /// says later whether the start succeeded.
    pub(super) fn start(&self, beside: Env) -> io::Result<(Process, Pipes)> {
        let (ours, theirs) = pipes()?;
        let mut env = self.env.clone();
        env.extend(beside);
        let process = match &*self.containment {
            #[cfg(target_os = "linux")]
            Containment::Keeper(keeper) => self.start_kept(keeper, env, &theirs)?,
            Containment::Group => self.start_group(env, theirs)?,
        };
        Ok((process, ours))
    }

    fn cwd(&self) -> PathBuf {
        self.settings.cwd.clone().unwrap_or_else(|| self.folder.work())
    }

    /// What all processes of the session have in their environment.
    #[cfg(target_os = "linux")]
    fn mark(&self) -> String {
        format!("{}={}", env::SESSION, self.folder.mark())
    }

    #[cfg(target_os = "linux")]
    fn start_kept(
        &self,
        keeper: &KeeperCommand,
        env: Env,
        stdio: &[OwnedFd; 3],
    ) -> io::Result<Process> {
        use std::os::unix::net::UnixStream;

        let launch = keeper::Launch {
            program: self.program.clone().into(),
            arg0: self.settings.program.clone().into(),
            args: self.settings.args.iter().map(Into::into).collect(),
            env: env.into_iter().collect(),
            cwd: self.cwd().into(),
            remove: self.folder.path().into(),
            watch: self.watch(keeper),
        };
        let (ours, theirs) = UnixStream::pair()?;
        keeper::send_launch(&ours, &launch, stdio)?;
        ours.set_nonblocking(true)?;
        let (read, write) = tokio::net::UnixStream::from_std(ours)?.into_split();
        // The keeper's environment is empty, since the program can read it.
        let mut command = Command::new(&keeper.program);
        command.args(&keeper.args).env_clear();
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let group = (keeper.cgroups.clone(), self.group());
        Ok(Process::kept(read, write, child, Left { mark: self.mark(), group }))
    }

    #[cfg(target_os = "linux")]
    fn watch(&self, keeper: &KeeperCommand) -> keeper::Watch {
        let LimitSettings { limits, is_watch_enough } = self.settings.limits;
        keeper::Watch {
            parents: keeper.cgroups.iter().map(Into::into).collect(),
            name: self.group(),
            limits,
            is_strict: !is_watch_enough,
        }
    }

    /// The name of the session's control group.
    #[cfg(target_os = "linux")]
    fn group(&self) -> String {
        format!("orch-{}", self.folder.mark())
    }

    fn start_group(&self, env: Env, stdio: [OwnedFd; 3]) -> io::Result<Process> {
        let [stdin, stdout, stderr] = stdio;
        let mut command = Command::new(&self.program);
        command.arg0(&self.settings.program).args(&self.settings.args);
        command.env_clear().envs(env).current_dir(self.cwd()).process_group(0);
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        Process::group(command.spawn()?)
    }
}

fn pipes() -> io::Result<(Pipes, [OwnedFd; 3])> {
    let (stdin_theirs, stdin) = io::pipe()?;
    let (stdout, stdout_theirs) = io::pipe()?;
    let (stderr, stderr_theirs) = io::pipe()?;
    let ours = Pipes {
        stdin: pipe::Sender::from_owned_fd(stdin.into())?,
        stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
    };
    Ok((ours, [stdin_theirs.into(), stdout_theirs.into(), stderr_theirs.into()]))
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
struct Status {
    started: bool,
    /// Why the program could not be started.
    refused: Option<Failure>,
    exit: Option<Exit>,
    /// The limit that was reached.
    reached: Option<LimitReached>,
    /// What was used, as it was last said, and how often it was.
    used: Resources,
    n_used: u64,
    /// Whether the keeper has said that nothing is left, or the group was killed.
    empty: bool,
    /// Whether nothing more will be heard, and no zombie is left.
    over: bool,
}

/// A program that runs, or ran.
#[derive(Debug)]
pub(super) struct Process {
    status: watch::Receiver<Status>,
    control: Control,
    /// The task that watches it.
    _watcher: JoinSet<()>,
}

#[derive(Debug)]
enum Control {
    #[cfg(target_os = "linux")]
    Keeper {
        /// Closing it makes the keeper kill everything.
        socket: OwnedWriteHalf,
        keeper: Option<OwnedFd>,
        left: Left,
    },
    Group(Pid),
}

/// How to find what is left when a keeper died.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug)]
struct Left {
    /// What all of it has in its environment.
    mark: String,
    /// The folders of groups, and the name of ours in them.
    group: (Vec<PathBuf>, String),
}

/// What is wanted of the processes.
#[derive(Clone, Copy, Debug)]
enum Order {
    Term,
    Kill,
    /// To know what they used.
    Measure,
}

impl Process {
    #[cfg(target_os = "linux")]
    fn kept(read: OwnedReadHalf, write: OwnedWriteHalf, child: Child, left: Left) -> Self {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let open = |pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        let keeper = pid.and_then(|pid| open(pid).ok());
        let control = Control::Keeper { socket: write, keeper, left };
        Self::watched(control, Status::default(), |status| watch_keeper(read, child, status))
    }

    fn group(child: Child) -> io::Result<Self> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("the program has no process id"))?;
        let status = Status { started: true, ..Status::default() };
        Ok(Self::watched(Control::Group(pid), status, |status| watch_group(child, pid, status)))
    }

    fn watched<F>(
        control: Control,
        status: Status,
        watcher: impl FnOnce(watch::Sender<Status>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, status) = watch::channel(status);
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher(sender));
        Self { status, control, _watcher: tasks }
    }

    /// Waits until the program runs.
    ///
    /// # Errors
    ///
    /// The failure that its start was. Cancel safe.
    pub(super) async fn started(&self) -> Result<(), Failure> {
        let mut status = self.status.clone();
        let known = |status: &Status| status.started || status.refused.is_some() || status.over;
        match status.wait_for(known).await.as_deref() {
            Ok(Status { refused: Some(failure), .. }) => Err(failure.clone()),
            Ok(Status { started: true, .. }) => Ok(()),
            _ => Err(Failure::transient("the program was lost together with its keeper")),
        }
    }

    /// Waits until the program has ended and nothing that is contained is left. Cancel safe.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            // Without its watcher nothing more will be known.
            let _ = status.wait_for(|status| status.over).await;
        }
    }

    /// Returns when a limit is reached; never, if none is. Cancel safe.
    pub(super) fn reached(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            if status.wait_for(|status| status.reached.is_some()).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The limit that was reached.
    pub(super) fn limit_reached(&self) -> Option<LimitReached> {
        self.status.borrow().reached
    }

    /// What the processes used, as it was last said: all of it once the program is over.
    pub(super) fn used(&self) -> Resources {
        self.status.borrow().used
    }

    /// Asks what was used by now, and waits for the answer, at most a second. Peaks begin anew then.
    pub(super) async fn measure(&mut self) -> Resources {
        let n_before = self.status.borrow().n_used;
        self.order(Order::Measure);
        let mut status = self.status.clone();
        let said = status.wait_for(|status| n_before < status.n_used || status.over);
        if matches!(self.control, Control::Group(_))
            || tokio::time::timeout(MEASURE_MAX, said).await.is_err()
        {
            tracing::debug!("nothing says what the program used");
        }
        self.used()
    }

    pub(super) fn is_running(&self) -> bool {
        let status = self.status.borrow();
        !status.over && status.exit.is_none() && status.reached.is_none()
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        self.status.borrow().exit
    }

    /// Ends the program: SIGTERM, `grace`, SIGKILL. Returns when nothing of it is left, after at
    /// most `grace` and twice ten seconds. Does nothing to one that is over. Cancel safe: may be
    /// called again.
    ///
    /// What it writes meanwhile is read and forgotten: a program whose pipes are closed dies by
    /// SIGPIPE at its last words, in the middle of putting its things in order.
    pub(super) async fn end(
        &mut self,
        grace: Duration,
        stdout: impl AsyncRead + Unpin,
        stderr: impl AsyncRead + Unpin,
    ) {
        tokio::select! {
            () = self.end_unheard(grace) => {}
            () = async { tokio::join!(forget(stdout), forget(stderr)); std::future::pending().await } => {}
        }
    }

    async fn end_unheard(&mut self, grace: Duration) {
        if !self.status.borrow().over {
            self.order(Order::Term);
        }
        if !self.is_over_within(grace).await {
            self.order(Order::Kill);
            if !self.is_over_within(KILL_MAX).await {
                tracing::error!("processes were killed and are not gone");
                self.give_up();
                self.is_over_within(KILL_MAX).await;
            }
        }
        self.clean_up().await;
    }

    async fn is_over_within(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.over()).await.is_ok()
    }

    fn order(&mut self, order: Order) {
        match &self.control {
            #[cfg(target_os = "linux")]
            Control::Keeper { socket, .. } => {
                let command = match order {
                    Order::Term => keeper::Command::Term,
                    Order::Kill => keeper::Command::Kill,
                    Order::Measure => keeper::Command::Measure,
                };
                // Not by tokio, which refuses to write before its first look at the socket. It
                // fails if the keeper is gone, which the watcher sees too.
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                let _ = rustix::net::send(socket.as_ref(), &[command.to_byte()], flags);
            }
            Control::Group(group) => {
                let signal = match order {
                    Order::Term => Signal::TERM,
                    Order::Kill => Signal::KILL,
                    // Nobody there counts.
                    Order::Measure => return,
                };
                // It fails if the group is empty, which is what is wanted.
                let _ = kill_process_group(*group, signal);
            }
        }
    }

    /// Kills a keeper that does not do its work; what it kept is swept next.
    fn give_up(&self) {
        #[cfg(target_os = "linux")]
        if let Control::Keeper { keeper: Some(keeper), .. } = &self.control {
            let _ = rustix::process::pidfd_send_signal(keeper, Signal::KILL);
        }
    }

    /// Where a keeper ended without saying that nothing is left, looks for what is.
    pub(super) async fn clean_up(&self) {
        #[cfg(target_os = "linux")]
        if let Control::Keeper { left, .. } = &self.control
            && !self.status.borrow().empty
        {
            let Left { mark, group: (folders, name) } = left.clone();
            // The group first: who changed its environment is in it all the same.
            let sweep = move || keeper::sweep_group(&folders, &name) + keeper::sweep(&mark);
            let swept = tokio::task::spawn_blocking(sweep).await;
            let n_killed = swept.unwrap_or(0);
            tracing::error!(n_killed, "a keeper died; processes were looked for by their mark");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.borrow().over {
            return;
        }
        match &self.control {
            // It sees its socket close; unless its program has stopped it.
            #[cfg(target_os = "linux")]
            Control::Keeper { keeper: Some(keeper), .. } => {
                let _ = rustix::process::pidfd_send_signal(keeper, Signal::CONT);
            }
            #[cfg(target_os = "linux")]
            Control::Keeper { keeper: None, .. } => {}
            Control::Group(_) => self.order(Order::Kill),
        }
    }
}

#[cfg(target_os = "linux")]
async fn watch_keeper(socket: OwnedReadHalf, mut keeper: Child, status: watch::Sender<Status>) {
    let mut reports = Lines::new(socket, REPORT_BYTES_MAX);
    while let Ok(Some(line)) = reports.next().await {
        match serde_json::from_slice(&line) {
            Ok(report) => status.send_modify(|status| status.hear(report)),
            Err(error) => tracing::error!(%error, "a keeper said what it never says"),
        }
    }
    // It has exited, or is about to: the end of the socket is the last that it does.
    let _ = keeper.wait().await;
    status.send_modify(|status| status.over = true);
}

async fn watch_group(mut child: Child, group: Pid, status: watch::Sender<Status>) {
    let ended = child.wait().await;
    // The number of a group is not used again while a process is in it.
    let _ = kill_process_group(group, Signal::KILL);
    let _ = tokio::time::timeout(GROUP_MAX, emptied(group)).await;
    status.send_modify(|status| {
        status.exit = ended.ok().map(exit_of);
        (status.empty, status.over) = (true, true);
    });
}

/// Waits until a killed group is empty. Whoever inherited its orphans reaps them, sooner or later.
async fn emptied(group: Pid) {
    while test_kill_process_group(group).is_ok() {
        tokio::time::sleep(GROUP_PAUSE).await;
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

impl Status {
    #[cfg(target_os = "linux")]
    fn hear(&mut self, report: keeper::Report) {
        match report {
            keeper::Report::Started(_) => self.started = true,
            keeper::Report::SpawnFailed { error, errno } => {
                let error =
                    errno.map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error);
                self.refused = Some(spawn_failure(&error));
            }
            keeper::Report::Exited(exit) => self.exit = Some(exit),
            keeper::Report::Reached(reached) => self.reached = self.reached.or(Some(reached)),
            keeper::Report::Used(used) => {
                let (memory, processes) = (used.memory_peak, used.processes_peak);
                self.used = Resources::new(used.cpu_us / 1_000, memory, processes, used.by);
                self.n_used += 1;
            }
            keeper::Report::Empty => self.empty = true,
        }
    }
}

async fn forget(mut output: impl AsyncRead + Unpin) {
    let mut chunk = vec![0; 8 << 10];
    while let Ok(1..) = output.read(&mut chunk).await {}
}

/// The failure that a program's start was: for good if its file is wrong.
pub(super) fn spawn_failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{
        ArgumentListTooLong, InvalidInput, NotADirectory, NotFound, PermissionDenied,
    };
    const ENOEXEC: i32 = 8;
    let text = format!("the program could not be started: {error}");
    let is_final = error.raw_os_error() == Some(ENOEXEC)
        || matches!(
            error.kind(),
            NotFound | PermissionDenied | NotADirectory | ArgumentListTooLong | InvalidInput
        );
    if is_final { Failure::last(text) } else { Failure::transient(text) }
}
