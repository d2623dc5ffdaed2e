//! A worker takes what is ready and polls it in place; what has to wait becomes a task of its own.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

use tokio::task::{unconstrained, yield_now};

use crate::attempt;
use crate::run::Run;
use crate::scheduler::Next;
use crate::turn::text_of;

/// Messages between two yields to tokio's timers and I/O.
const BATCH: u32 = 64;

pub(crate) async fn work(run: Arc<Run>) {
    loop {
        // Without tokio's own budget, which would make a ready channel look pending after 128
        // operations and so turn handlers into tasks for nothing. The batch yields instead.
        if unconstrained(batch(&run)).await {
            return;
        }
        yield_now().await;
    }
}

/// Works until the run has ended (true), or it is time to yield (false).
async fn batch(run: &Arc<Run>) -> bool {
    let mut n_handled = 0;
    loop {
        match run.next() {
            Next::Ended => return true,
            Next::HandOut(out, slot) => {
                let attempt = Box::pin(attempt::attempt(run.clone(), out, slot));
                poll_in_place(run, attempt).await;
                n_handled += 1;
                if n_handled == BATCH {
                    return false;
                }
            }
            Next::Wait => {
                if sleep(run).await {
                    return true;
                }
            }
        }
    }
}

/// Polls an attempt once. If it is pending, it goes on as a task, which polls it at once with a
/// waker of its own; the wake-up that this worker may get for it does no harm. A panic beside the
/// handler (an observer's) ends the attempt, as it does in a task, and not the worker.
async fn poll_in_place<F>(run: &Arc<Run>, mut attempt: std::pin::Pin<Box<F>>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let poll = |cx: &mut std::task::Context<'_>| {
        // What the handler sends is looked at by this worker next, so it wakes nobody.
        let poll = || run.attachment.quietly(|| attempt.as_mut().poll(cx));
        Poll::Ready(catch_unwind(AssertUnwindSafe(poll)))
    };
    match poll_fn(poll).await {
        Ok(Poll::Ready(())) => {}
        Ok(Poll::Pending) => drop(run.tasks.spawn(attempt)),
        Err(panic) => {
            let error = text_of(&*panic);
            tracing::error!(target: "orch", error, "an attempt panicked outside of its handler");
        }
    }
}

/// Waits until there may be something to do. True if the run has ended.
async fn sleep(run: &Arc<Run>) -> bool {
    // Counted as asleep before looking once more, or work that comes in between wakes nobody.
    let sleeper = run.sleeper();
    let look = || match run.next() {
        Next::Wait => None,
        next => Some(next),
    };
    match run.attachment.look_or_wait(look).await {
        Some(Next::Ended) => return true,
        Some(Next::HandOut(out, slot)) => {
            drop(sleeper);
            let attempt = Box::pin(attempt::attempt(run.clone(), out, slot));
            poll_in_place(run, attempt).await;
        }
        Some(Next::Wait) | None => {}
    }
    false
}
