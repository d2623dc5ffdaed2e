//! Agents that are Rust code which blocks its thread.

use std::fmt;
use std::panic;
use std::sync::Arc;

use orch_core::{AgentConfig, Outcome};
use tokio::task::JoinHandle;

use super::IntoOutcome;
use crate::{ConnectError, Connector, Context, Session, SessionSpec};

/// Makes a connector of code that blocks: each attempt runs on a thread of tokio's blocking pool.
///
/// The methods of [`Context`] that wait can be used through
/// `tokio::runtime::Handle::current().block_on(…)`.
///
/// # Cancel safety
///
/// A thread cannot be cut off. After a timeout or a stop the call runs on, its result is dropped,
/// and closing the session waits for it, however long it takes: there are never two calls of one
/// session at once. Code that takes long looks at [`Context::is_stopping`].
///
/// # Examples
///
/// ```
/// use orch_connect::{Connectors, Context, blocking_function};
///
/// let connectors = Connectors::new().with(
///     "count",
///     blocking_function(|ctx: Context| ctx.content().lines().count().to_string()),
/// );
/// ```
pub fn blocking_function<F, R>(code: F) -> BlockingFunction<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: IntoOutcome,
{
    BlockingFunction { code: Arc::new(code) }
}

/// What [`blocking_function`] makes.
pub struct BlockingFunction<F> {
    code: Arc<F>,
}

/// A session of a [`BlockingFunction`].
pub struct BlockingSession<F> {
    code: Arc<F>,
    /// The call that runs, or that ran when its turn was cut off.
    running: Option<JoinHandle<Outcome>>,
}

impl<F, R> Connector for BlockingFunction<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: IntoOutcome,
{
    type Session = BlockingSession<F>;

    /// Accepts everything: settings are the code's business, and policies hold in the host.
    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn open(&self, _spec: SessionSpec) -> Result<Self::Session, ConnectError> {
        Ok(BlockingSession { code: Arc::clone(&self.code), running: None })
    }
}

impl<F, R> Session for BlockingSession<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: IntoOutcome,
{
    async fn turn(&mut self, context: Context) -> Outcome {
        // A caller that uses a session after a cut-off turn still gets one call at a time.
        self.settle().await;
        let code = Arc::clone(&self.code);
        let call = tokio::task::spawn_blocking(move || code(context).into_outcome());
        let ended = self.running.insert(call).await;
        self.running = None;
        match ended {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panicked) => panic::resume_unwind(panicked),
                // Only a runtime that shuts down cancels a call that nobody aborted.
                Err(error) => orch_core::Failure::transient(error.to_string()).into(),
            },
        }
    }

    fn is_open(&self) -> bool {
        self.running.is_none()
    }

    async fn close(mut self) {
        self.settle().await;
    }
}

impl<F> BlockingSession<F> {
    /// Waits until a call that was cut off has returned.
    async fn settle(&mut self) {
        if let Some(call) = &mut self.running {
            // Takes back a call that no thread has begun; does nothing to one that runs.
            call.abort();
            if let Err(error) = call.await
                && error.is_panic()
            {
                tracing::warn!("a blocking call panicked after its turn was cut off");
            }
            self.running = None;
        }
    }
}

impl<F> Clone for BlockingFunction<F> {
    fn clone(&self) -> Self {
        Self { code: Arc::clone(&self.code) }
    }
}

impl<F> fmt::Debug for BlockingFunction<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingFunction").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for BlockingSession<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingSession").field("running", &self.running.is_some()).finish()
    }
}
