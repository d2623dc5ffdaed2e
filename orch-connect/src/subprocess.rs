//! Agents that are programs, in any language.
//!
//! A [`Subprocess`] agent's settings:
//!
//! | key | | default |
//! |---|---|---|
//! | `command` | the program and its arguments, as a list; no shell is involved | required |
//! | `mode` | `"once"`: the program runs for each message; `"jsonl"`: it lives as long as its session and speaks the protocol of `PROTOCOL.md` | `"once"` |
//! | `cwd` | the working folder; relative to the host's | a folder of the session |
//! | `env` | variables to add, as a table | none |
//! | `inherit_env` | names of the host's variables to pass on, where they are set | none |
//! | `output_bytes_max` | in `once` the most bytes of an answer, in `jsonl` of a line | 16 MiB |
//! | `truncate` | `once` only: whether an answer that is too long is cut instead of being a failure | `false` |
//! | `grace_ms` | milliseconds between SIGTERM and SIGKILL | 2,000 |
//! | `asks_permission` | `jsonl` only: the operator's word that the program asks before it uses a tool | `false` |
//! | `limits` | a table: what all of its processes may use together, see below | none |
//!
//! # Once
//!
//! The content is the program's stdin, its stdout (without one newline at the end) is the answer.
//! A program need not read its stdin. How it ends is the outcome:
//!
//! | end | outcome |
//! |---|---|
//! | exit 0 with output | handled |
//! | exit 0 without output | failure, may be tried again: an answer is missing |
//! | exit 64 (`EX_USAGE`), 65 (`EX_DATAERR`), 77 (`EX_NOPERM`), 78 (`EX_CONFIG`) | failure for good |
//! | any other exit, among them 75 (`EX_TEMPFAIL`) | failure, may be tried again |
//! | a signal | failure, may be tried again |
//! | output that is not UTF-8, or more than `output_bytes_max` | failure for good |
//!
//! The error has the last lines of stderr, of which 64 KiB are kept. With `truncate = true` an
//! answer is cut between two characters, a line that says so follows it, and the same is said
//! beside the answer.
//!
//! # Environment
//!
//! The program sees, of the host's environment, `PATH`, `LANG`, `LC_*` and `TZ`, and what the
//! settings name. `HOME` and `TMPDIR` are folders of the session, which nobody else may enter and
//! which are removed when it closes. `ORCH_AGENT` and `ORCH_AGENT_NAME` say who it is; in `once`
//! `ORCH_MESSAGE_ID`, `ORCH_DELIVERY_KEY` (the same for each attempt, also after a restart),
//! `ORCH_ATTEMPT`, `ORCH_FROM`, `ORCH_PRIORITY` and `ORCH_METADATA_<KEY>` (in capitals, anything but
//! letters and digits as `_`; without values that hold a NUL or more than 32 KiB, 256 KiB in all) say
//! what it handles. `ORCH_SESSION` marks its processes.
//!
//! # Containment
//!
//! See [`Containment`] for what happens to the processes that the program starts. Each of them ends
//! with the attempt (`once`) or the session (`jsonl`).
//!
//! # Limits
//!
//! `limits = { cpu = "30s", memory = "512 MiB", processes = 32 }` limits one run of the program with all
//! that it forks: a message in `once`, a session in `jsonl`. Each thread counts as a process. A limit
//! that nothing here can hold for all of them together is refused; `enforce = "watch"` in the table
//! takes it as one that is watched, and may be seen late. See [`ResourceControl`].
//!
//! A program that reaches a limit is told to stop (`jsonl`), gets SIGTERM and then SIGKILL, within
//! `grace_ms`; for CPU time that begins at nine tenths of the limit, and SIGKILL comes at the limit at
//! the latest. The attempt fails, and [`Failure::limit`](orch_core::Failure::limit) says at which limit:
//! for good, unless the session had handled other messages before. What was used is told to the host
//! after each attempt, also without any limit.
//!
//! # Tool policies
//!
//! A program opens files and connections by itself, so that a policy could not be held against it:
//! an agent with policies is refused in `once`. In `jsonl` it is refused unless `asks_permission`
//! says that the program asks through `tool` lines before it acts. That trusts the program's word;
//! nothing stops one that does not ask.

mod containment;
mod env;
mod exit;
mod folder;
mod jsonl;
mod lines;
mod once;
mod process;
mod program;
mod protocol;
mod settings;
mod stderr;

use std::sync::Arc;

use orch_core::{AgentConfig, Outcome};

use self::jsonl::JsonlSession;
use self::once::OnceSession;
use self::settings::{Mode, ProgramSettings};
use crate::{ConnectError, Connector, Context, ResourceControl, Session, SessionSpec};

pub use containment::Containment;
#[cfg(target_os = "linux")]
pub use containment::KeeperCommand;
#[cfg(target_os = "linux")]
pub(crate) use exit::Exit;

/// Runs programs as agents; see the [module](self) for settings and rules.
///
/// # Examples
///
/// ```
/// use orch_connect::{Connector, Containment, Subprocess};
/// use orch_core::{AgentConfig, AgentRole};
///
/// let connector = Subprocess::new(Containment::Group);
/// let config = AgentConfig::new("sorter".into(), AgentRole::Worker, "subprocess".into())
///     .with_setting("command", vec!["sort", "-u"]);
/// connector.check(&config)?;
/// # Ok::<(), orch_connect::ConnectError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subprocess {
    containment: Arc<Containment>,
}

impl Subprocess {
    /// Programs whose processes are contained in this way.
    #[must_use]
    pub fn new(containment: Containment) -> Self {
        Self { containment: Arc::new(containment) }
    }

    /// What can be measured of the processes of these programs, and which limits on them can be held.
    #[must_use]
    pub fn resource_control(&self) -> ResourceControl {
        ResourceControl::of(&self.containment)
    }

    fn refuse_limits(&self, settings: &ProgramSettings) -> Result<(), ConnectError> {
        match settings.limits.limits.is_none() {
            true => Ok(()),
            false => settings.limits.refuse(&self.resource_control()),
        }
    }
}

impl Connector for Subprocess {
    type Session = SubprocessSession;

    /// Checks the settings, that the program (and the keeper) can be executed, and that there is no
    /// policy that could not be enforced.
    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError> {
        let settings = ProgramSettings::read(config)?;
        settings.refuse_policies(config)?;
        program::find(&settings)?;
        self.containment.check()?;
        self.refuse_limits(&settings)
    }

    async fn open(&self, spec: SessionSpec) -> Result<SubprocessSession, ConnectError> {
        let settings = ProgramSettings::read(&spec.config)?;
        settings.refuse_policies(&spec.config)?;
        self.refuse_limits(&settings)?;
        let mode = settings.mode;
        let runner = process::Runner::new(Arc::clone(&self.containment), settings, &spec)?;
        Ok(SubprocessSession(match mode {
            Mode::Once => Kind::Once(Box::new(OnceSession::new(runner))),
            Mode::Jsonl => Kind::Jsonl(Box::new(JsonlSession::open(runner).await?)),
        }))
    }
}

/// A session with a program.
///
/// Dropping it without closing it ends its processes too, but does not wait for that.
#[derive(Debug)]
pub struct SubprocessSession(Kind);

#[derive(Debug)]
enum Kind {
    Once(Box<OnceSession>),
    Jsonl(Box<JsonlSession>),
}

impl Session for SubprocessSession {
    async fn turn(&mut self, context: Context) -> Outcome {
        match &mut self.0 {
            Kind::Once(session) => session.turn(&context).await,
            Kind::Jsonl(session) => session.turn(&context).await,
        }
    }

    fn is_open(&self) -> bool {
        match &self.0 {
            Kind::Once(session) => session.is_open(),
            Kind::Jsonl(session) => session.is_open(),
        }
    }

    /// Ends the program: SIGTERM, `grace_ms`, SIGKILL. Returns when no process of it is left.
    async fn close(self) {
        match self.0 {
            Kind::Once(session) => session.close().await,
            Kind::Jsonl(session) => session.close().await,
        }
    }
}
