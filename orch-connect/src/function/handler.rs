//! Agents that are a Rust type with state: one value for each session.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use orch_core::{AgentConfig, Outcome};

use super::IntoOutcome;
use crate::{ConnectError, Connector, Context, Session, SessionSpec};

/// An agent with state. Implementors write `async fn handle`.
///
/// The value lives as long as its session: through retries and from message to message, until a
/// turn is cut off (by a timeout or a stop), panics, or the agent is restarted or retired.
pub trait Handler: Send + 'static {
    /// What handling returns.
    type Output: IntoOutcome;

    /// Handles the context's message.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the attempt times out or is stopped; the value is dropped next.
    fn handle(&mut self, context: Context) -> impl Future<Output = Self::Output> + Send;
}

/// Makes a connector of a type with state: `make` is called for each session.
///
/// # Examples
///
/// ```
/// use orch_connect::{Connectors, Context, Handler, handler};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl Handler for Counter {
///     type Output = String;
///
///     async fn handle(&mut self, _context: Context) -> String {
///         self.0 += 1;
///         self.0.to_string()
///     }
/// }
///
/// let connectors = Connectors::new().with("counter", handler(|_spec| Counter::default()));
/// ```
pub fn handler<H, F>(make: F) -> HandlerConnector<F>
where
    F: Fn(&SessionSpec) -> H + Send + Sync + 'static,
    H: Handler,
{
    HandlerConnector { make: Arc::new(make) }
}

/// What [`handler`] makes.
pub struct HandlerConnector<F> {
    make: Arc<F>,
}

/// A session of a [`HandlerConnector`]: one value of the type.
pub struct HandlerSession<H> {
    handler: H,
}

impl<H, F> Connector for HandlerConnector<F>
where
    F: Fn(&SessionSpec) -> H + Send + Sync + 'static,
    H: Handler,
{
    type Session = HandlerSession<H>;

    /// Accepts everything: settings are the type's business, and policies hold in the host.
    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn open(&self, spec: SessionSpec) -> Result<Self::Session, ConnectError> {
        Ok(HandlerSession { handler: (self.make)(&spec) })
    }
}

impl<H: Handler> Session for HandlerSession<H> {
    async fn turn(&mut self, context: Context) -> Outcome {
        self.handler.handle(context).await.into_outcome()
    }
}

impl<F> Clone for HandlerConnector<F> {
    fn clone(&self) -> Self {
        Self { make: Arc::clone(&self.make) }
    }
}

impl<F> fmt::Debug for HandlerConnector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerConnector").finish_non_exhaustive()
    }
}

impl<H> fmt::Debug for HandlerSession<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerSession").finish_non_exhaustive()
    }
}
