//! One turn of a session, within its limits: a panic is caught, and a timer is armed only if the
//! turn has to wait.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How a turn ended.
#[derive(Debug)]
pub(crate) enum TurnEnd<T> {
    Returned(T),
    Panicked(String),
    TimedOut,
    Cut,
}

/// Polls `work` until it returns, panics, `timeout` is over, or `cut` is cancelled. What takes effect
/// at the work's next await; work that never awaits is never cut. The timeout counts from the first
/// await that has to wait: nothing could end the work before.
pub(crate) async fn within_limits<T>(
    mut work: Pin<&mut (impl Future<Output = T> + Send)>,
    timeout: Option<Duration>,
    cut: &CancellationToken,
) -> TurnEnd<T> {
    // A timer and a place among those who wait for the cut cost more than most handlers, so they
    // are taken only when the first poll was not enough.
    let mut limits: Option<Pin<Box<dyn Future<Output = TurnEnd<T>> + Send>>> = None;
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => return Poll::Ready(TurnEnd::Returned(output)),
            Err(panic) => return Poll::Ready(TurnEnd::Panicked(text_of(panic))),
            Ok(Poll::Pending) => {}
        }
        let limits = limits.get_or_insert_with(|| Box::pin(limit(timeout, cut.clone())));
        limits.as_mut().poll(cx)
    })
    .await
}

async fn limit<T>(timeout: Option<Duration>, cut: CancellationToken) -> TurnEnd<T> {
    let timeout = async {
        match timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased; // A cut does not count as an attempt, a timeout does.
        () = cut.cancelled() => TurnEnd::Cut,
        () = timeout => TurnEnd::TimedOut,
    }
}

/// Tells observers something where a panic of one must not keep the caller from going on.
pub(crate) fn whatever_observers_do(tell: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(tell)) {
        let error = text_of(panic);
        tracing::error!(target: "orch", error, "an observer panicked");
    }
}

/// What a panic said.
pub(crate) fn text_of(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a text").to_owned();
    // It may be anything, and panic again when it is dropped: what that panics with is not.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    text
}
