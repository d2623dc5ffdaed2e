//! The two traits that a kind of agent implements, and their forms behind a pointer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use orch_core::{AgentConfig, AgentId, Outcome};

use crate::{ConnectError, Context};

/// A future behind a pointer, as the `dyn` forms need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Knows one kind of agent. Implementors write `async fn open`.
pub trait Connector: Send + Sync + 'static {
    /// A running conversation with such an agent.
    type Session: Session;

    /// Checks that an agent of this configuration can run, without starting anything or spending
    /// anything: settings, programs, and that every tool policy can be enforced.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] with what is missing and the way out.
    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError>;

    /// Opens a session for one agent. The runtime has checked the configuration before.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; one that [is transient](ConnectError::is_transient) is tried again.
    fn open(
        &self,
        spec: SessionSpec,
    ) -> impl Future<Output = Result<Self::Session, ConnectError>> + Send;
}

/// Which agent a session is opened for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionSpec {
    /// The agent.
    pub agent: AgentId,
    /// How it was made.
    pub config: Arc<AgentConfig>,
}

impl SessionSpec {
    /// A session for `agent`, made as `config` says.
    #[must_use]
    pub fn new(agent: AgentId, config: Arc<AgentConfig>) -> Self {
        Self { agent, config }
    }
}

/// One running conversation with an agent. Implementors write `async fn turn`.
pub trait Session: Send + 'static {
    /// Handles the context's message.
    ///
    /// A panic is caught by the runtime and counts as a failure that may be tried again.
    ///
    /// # Cancel safety
    ///
    /// The runtime drops this future at a timeout or a stop, and calls [`close`](Self::close) next;
    /// the session is not used for another turn after that.
    fn turn(&mut self, context: Context) -> impl Future<Output = Outcome> + Send;

    /// Whether another turn can be taken. The runtime opens a new session where it cannot.
    fn is_open(&self) -> bool {
        true
    }

    /// Ends the conversation. Returns when nothing of it is left: no process, no thread, no task.
    /// Bounded by the session's own grace.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T: super::Connector> Sealed for T {}
}

/// [`Connector`] behind a pointer; every connector is one. Sealed.
pub trait DynConnector: sealed::Sealed + Send + Sync {
    /// See [`Connector::check`].
    ///
    /// # Errors
    ///
    /// As there.
    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError>;

    /// See [`Connector::open`].
    fn open(&self, spec: SessionSpec) -> BoxFuture<'_, Result<Box<dyn DynSession>, ConnectError>>;
}

impl<T: Connector> DynConnector for T {
    fn check(&self, config: &AgentConfig) -> Result<(), ConnectError> {
        Connector::check(self, config)
    }

    fn open(&self, spec: SessionSpec) -> BoxFuture<'_, Result<Box<dyn DynSession>, ConnectError>> {
        Box::pin(async move {
            let session = Connector::open(self, spec).await?;
            Ok(Box::new(session) as Box<dyn DynSession>)
        })
    }
}

impl fmt::Debug for dyn DynConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynConnector")
    }
}

mod sealed_session {
    pub trait Sealed {}
    impl<T: super::Session> Sealed for T {}
}

/// [`Session`] behind a pointer; every session is one. Sealed.
pub trait DynSession: sealed_session::Sealed + Send {
    /// See [`Session::turn`].
    fn turn(&mut self, context: Context) -> BoxFuture<'_, Outcome>;

    /// See [`Session::is_open`].
    fn is_open(&self) -> bool;

    /// See [`Session::close`].
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

impl<T: Session> DynSession for T {
    fn turn(&mut self, context: Context) -> BoxFuture<'_, Outcome> {
        Box::pin(Session::turn(self, context))
    }

    fn is_open(&self) -> bool {
        Session::is_open(self)
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(Session::close(*self))
    }
}

impl fmt::Debug for dyn DynSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynSession")
    }
}
