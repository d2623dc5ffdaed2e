//! The keeper: a process that runs one program and sees to it that nothing of it is left.
//!
//! A host starts a keeper for each program, with a socket as its stdin and nothing else. The keeper
//! is the subreaper of all that the program forks, so that no descendant gets away by forking twice
//! or by making a session of its own, and it kills and reaps all of them
//!
//! - when the program has exited,
//! - when the host says so,
//! - when the socket closes: because the host dropped it, or was itself killed, even by SIGKILL.
//!
//! It then says that nothing is left, and exits. It does not contain what runs by the work of
//! others: a job given to cron, to a container daemon or to the service manager. A program of the
//! same user can kill its keeper; the host then looks for what is left by a mark in the environment.
//!
//! `orch` is its own keeper, by a hidden subcommand; a program of your own calls [`main`] from one,
//! and names it in a [`KeeperCommand`](crate::KeeperCommand). The program `orch-keeper` of this
//! crate does nothing else.
//!
//! Linux only: other systems have no subreaper.
//!
//! # What host and keeper say to each other
//!
//! The host sends one byte with four file descriptors (SCM_RIGHTS): a file that says in JSON what to
//! run, and the program's stdin, stdout and stderr. From then on each byte is a command: `T` to send
//! SIGTERM to all descendants, `K` to kill them, `M` to say what they used. The keeper answers with a
//! line of JSON each: `{"started":PID}` or `{"spawn_failed":…}`, `{"reached":…}` for a limit,
//! `{"exited":…}`, `{"used":…}`, and last `"empty"`. Host and keeper are of one version; the protocol
//! may change with each.

mod census;
mod group;
mod judge;
mod launch;
mod meter;
mod tree;
mod watch;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command as Program, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, WaitStatus};

use self::group::Group;
use self::watch::Watcher;
use crate::subprocess::Exit;

pub(crate) use group::sweep as sweep_group;
pub(crate) use launch::{Command, Launch, Report, send_launch};
pub(crate) use tree::sweep;
pub(crate) use watch::Watch;

/// How long the killer waits after its first round, so that what was killed can be reaped, and at
/// most between two. A process that hangs in the kernel is waited for without burning time.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Runs a keeper; to be called by a program (or a subcommand) that does nothing else, as the first
/// thing that it does: it closes every descriptor but stdin, stdout and stderr. `args` are the
/// arguments after those of a [`KeeperCommand`](crate::KeeperCommand); there are none today.
///
/// Exits with 0 when nothing of the program is left, with 2 when it was not started by a host, and
/// with 1 when it could not do its work.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    if args.into_iter().next().is_some() {
        return not_by_hand("it takes no arguments");
    }
    close_inherited();
    let (control, launch, stdio) = match receive() {
        Ok(received) => received,
        Err(error) => return not_by_hand(&error.to_string()),
    };
    match keep(control, launch, stdio) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads this where a host started us; where a person did, it helps.
            eprintln!("the keeper failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Closes what the host itself was started with and passed on without knowing, such as the pipes of
/// a build: neither we nor the program may hold them open.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let fds = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Collected first: the list itself is read through a descriptor, which is gone by then.
    let fds: Vec<i32> = fds.collect();
    for fd in fds.into_iter().filter(|fd| *fd > 2) {
        let _ = nix::unistd::close(fd);
    }
}

fn not_by_hand(problem: &str) -> ExitCode {
    eprintln!("a keeper is started by its host, with a socket as its stdin: {problem}");
    ExitCode::from(2)
}

fn receive() -> io::Result<(UnixStream, Launch, [OwnedFd; 3])> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (launch, stdio) = launch::receive_launch(&control)?;
    Ok((control, launch, stdio))
}

fn keep(control: UnixStream, launch: Launch, stdio: [OwnedFd; 3]) -> io::Result<()> {
    // A session of our own: no key pressed at the terminal reaches us or the program, and the
    // program cannot ask a person for a password behind our back. Fails in a process that leads a
    // group already, which a terminal's keys do not reach either.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    let _ = std::fs::write("/proc/self/comm", "orch-keeper");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let voice = Arc::new(Voice(Mutex::new(control.try_clone()?)));
    let (folder, limits) = (launch.remove.clone(), launch.watch.limits);
    let mut host_is_gone = false;
    match start(launch, stdio) {
        Ok((program, group)) => {
            voice.say(&Report::Started(program.id()));
            let watcher = Watcher::new(rustix::process::getpid(), group, limits);
            host_is_gone = run(&program, watcher, control, &voice);
        }
        Err(error) => {
            let (error, errno) = (error.to_string(), error.raw_os_error());
            put_away();
            voice.say(&Report::SpawnFailed { error, errno });
        }
    }
    if host_is_gone {
        // Nobody else will do it, and nobody would hear that it failed.
        let _ = std::fs::remove_dir_all(folder);
    }
    voice.say(&Report::Empty);
    Ok(())
}

fn start(launch: Launch, stdio: [OwnedFd; 3]) -> io::Result<(Child, Option<Group>)> {
    let group = launch.watch.make_group()?;
    let limits = launch.watch.limits;
    let program = watch::start_in(group.as_ref(), &limits, || start_program(launch, stdio))?;
    Ok((program, group))
}

fn start_program(launch: Launch, [stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Result<Child> {
    let mut command = Program::new(&launch.program);
    command.arg0(&launch.arg0).args(&launch.args);
    command.env_clear().envs(launch.env).current_dir(&launch.cwd);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    // A group of its own, or a program that signals its group would hit its keeper.
    command.process_group(0);
    command.spawn()
    // Our copies of the three descriptors go here: from now on only the program and what it forks
    // hold its pipes.
}

/// Ends a program that was started and could not be kept as it was to be.
fn put_away() {
    if matches!(rustix::process::wait(WaitOptions::NOHANG), Ok(None)) {
        std::thread::spawn(|| kill_for_ever(rustix::process::getpid()));
    }
    while !matches!(rustix::process::wait(WaitOptions::empty()), Err(error) if error != rustix::io::Errno::INTR)
    {
    }
}

/// Sees the program to its end, and then everything that it forked. Answers whether the host is
/// gone.
fn run(program: &Child, watcher: Watcher, control: UnixStream, voice: &Arc<Voice>) -> bool {
    let (order, orders) = mpsc::channel();
    let (mark, marks) = mpsc::channel();
    let host_is_gone = Arc::new(AtomicBool::new(false));
    let watcher = Arc::new(Mutex::new(watcher));
    let (listener, gone) = (order.clone(), Arc::clone(&host_is_gone));
    std::thread::spawn(move || {
        listen(control, &listener, &mark);
        gone.store(true, Ordering::Release);
        let _ = listener.send(Command::Kill);
        // Watching goes on as long as something is left.
        std::mem::forget(mark);
    });
    let killer = Arc::clone(&watcher);
    std::thread::spawn(move || obey(&orders, &killer));
    let (shared, teller, killed) = (Arc::clone(&watcher), Arc::clone(voice), order.clone());
    std::thread::spawn(move || watch::watch(&shared, &marks, &teller, &killed));
    reap(program.id(), voice, &order);
    watch::lock(&watcher).finish(voice, &order);
    // All threads end with the process, which is about to exit.
    // Acquire pairs with the Release above, though nothing else hangs on it: a host that goes this
    // late has removed the folder itself, or was killed and leaves an empty one.
    host_is_gone.load(Ordering::Acquire)
}

/// Reaps every descendant, the program among them, until none is left.
fn reap(program: u32, voice: &Voice, order: &mpsc::Sender<Command>) {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_pid().cast_unsigned() == program => {
                voice.say(&Report::Exited(exit_of(status)));
                // The receiver lives until the process exits.
                let _ = order.send(Command::Kill);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // ECHILD: no child, and a descendant that is no child would have one of ours above it.
            Err(_) => return,
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(-1),
    }
}

/// Passes the host's commands on, until the host is gone.
fn listen(mut control: UnixStream, order: &mpsc::Sender<Command>, mark: &mpsc::Sender<()>) {
    let mut byte = [0];
    loop {
        let command = match control.read(&mut byte) {
            Ok(1) => Command::from_byte(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => return,
        };
        // Their receivers live until the process exits.
        let _ = match command {
            Some(Command::Measure) => mark.send(()).ok(),
            Some(command) => order.send(command).ok(),
            None => None,
        };
    }
}

/// Carries commands out. After a command to kill it does nothing else, until the process exits.
fn obey(orders: &mpsc::Receiver<Command>, watcher: &Mutex<Watcher>) {
    let keeper = rustix::process::getpid();
    while let Ok(Command::Term) = orders.recv() {
        tree::terminate(keeper);
    }
    watch::lock(watcher).kill_group();
    kill_for_ever(keeper);
}

fn kill_for_ever(keeper: Pid) -> ! {
    let mut pause = FIRST_PAUSE;
    loop {
        tree::kill(keeper);
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What the host is told through, by several threads.
#[derive(Debug)]
struct Voice(Mutex<UnixStream>);

impl Voice {
    /// Tells the host. A host that is gone is no reason to stop.
    fn say(&self, report: &Report) {
        let mut line = serde_json::to_vec(report).unwrap_or_default();
        line.push(b'\n');
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    }
}
