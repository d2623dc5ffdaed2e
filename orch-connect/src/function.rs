//! Agents that are Rust code: an async closure, a type with state, or code that blocks.
//!
//! The code runs inside of the program, so it is trusted; a tool policy holds for the calls that it
//! asks about through [`Context::tool`].

mod blocking;
mod handler;
mod into_outcome;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use orch_core::{AgentConfig, Outcome};

use crate::{ConnectError, Connector, Context, Session, SessionSpec};

pub use blocking::{BlockingFunction, BlockingSession, blocking_function};
pub use handler::{Handler, HandlerConnector, HandlerSession, handler};
pub use into_outcome::IntoOutcome;

/// Makes a connector of an async closure, which is called once for each attempt.
///
/// All agents of the connector, and all sessions of an agent, share the closure; see [`handler`]
/// for state of one's own. Code that blocks its thread belongs into [`blocking_function`].
///
/// # Cancel safety
///
/// An attempt that times out or is stopped drops the closure's future at the await where it
/// stands. What must not be cut in two belongs between two awaits.
///
/// # Examples
///
/// ```
/// use orch_connect::{Connectors, Context, HostError, function};
///
/// let connectors = Connectors::new()
///     .with("shout", function(|ctx: Context| async move { ctx.content().to_uppercase() }))
///     .with(
///         "relay",
///         function(|ctx: Context| async move {
///             if let Some(next) = ctx.find("next") {
///                 ctx.send(next, ctx.content()).await?;
///             }
///             Ok::<(), HostError>(())
///         }),
///     );
/// ```
pub fn function<F, Fut>(code: F) -> Function<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    Function { code: Arc::new(code) }
}

/// What [`function`] makes.
pub struct Function<F> {
    code: Arc<F>,
}

/// A session of a [`Function`]: a pointer to the shared closure.
pub struct FunctionSession<F> {
    code: Arc<F>,
}

impl<F, Fut> Connector for Function<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    type Session = FunctionSession<F>;

    /// Accepts everything: settings are the closure's business, and policies hold in the host.
    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn open(&self, _spec: SessionSpec) -> Result<Self::Session, ConnectError> {
        Ok(FunctionSession { code: Arc::clone(&self.code) })
    }
}

impl<F, Fut> Session for FunctionSession<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    async fn turn(&mut self, context: Context) -> Outcome {
        (self.code)(context).await.into_outcome()
    }
}

impl<F> Clone for Function<F> {
    fn clone(&self) -> Self {
        Self { code: Arc::clone(&self.code) }
    }
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for FunctionSession<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionSession").finish_non_exhaustive()
    }
}
