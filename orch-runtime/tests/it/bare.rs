//! The bare scheduler: what it promises beside the speed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use orch_runtime::bare::{BareScheduler, Behaviour, Cx};
use orch_runtime::{AgentMessage, BoxFuture, Mailbox};

use crate::support::{Gate, Log, eventually, ms, outside};

type Code = Box<dyn Fn(String) -> BoxFuture<'static, ()> + Send>;

/// Does what a closure says.
struct Does(Code);

impl Behaviour for Does {
    async fn handle(&mut self, message: &AgentMessage, _: Cx<'_>) {
        (self.0)(message.content().as_str().to_owned()).await;
    }
}

fn does<F: Future<Output = ()> + Send + 'static>(
    code: impl Fn(String) -> F + Send + 'static,
) -> Does {
    Does(Box::new(move |text| Box::pin(code(text))))
}

fn logs(log: &Log) -> Does {
    let log = log.clone();
    does(move |text| {
        log.push(text);
        std::future::ready(())
    })
}

fn tell(mailbox: &Arc<Mailbox>, content: &str) {
    mailbox.try_send(outside(mailbox.agent(), content)).unwrap();
}

/// Serves until `condition` holds.
async fn serve_until(scheduler: &BareScheduler<Does>, what: &str, condition: impl Fn() -> bool) {
    tokio::select! {
        () = scheduler.serve() => panic!("it serves until it is dropped"),
        () = eventually(what, condition) => {}
    }
}

/// Whether the rest of a run is handled by those that follow.
async fn resumes(scheduler: &BareScheduler<Does>, condition: impl Fn() -> bool) -> bool {
    let until = async {
        while !condition() {
            scheduler.run().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), until).await.is_ok()
}

/// Seen: an agent that had more to do, and what it had sent, lay in the queue and on the desk of a
/// worker that went home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dropped_run_was_doing_is_resumed() {
    let (entered, gate, log) = (Gate::default(), Gate::default(), Log::default());
    let scheduler = BareScheduler::new();
    let b = scheduler.spawn(logs(&log));
    let (enters, passes, later, heard) = (entered.clone(), gate.clone(), b.clone(), log.clone());
    let a = scheduler.spawn(does(move |text| {
        if text == "first" {
            enters.open();
            passes.pass();
            tell(&later, "from a");
        }
        heard.push(text);
        std::future::ready(())
    }));
    tell(&a, "first");
    tell(&a, "second");
    let is_entered = async {
        tokio::task::spawn_blocking(move || entered.pass()).await.unwrap();
    };
    tokio::select! {
        () = scheduler.serve() => panic!("it serves until it is dropped"),
        () = is_entered => {}
    }
    gate.open();
    eventually("the former run is over", || !log.lines().is_empty()).await;
    let resumed = resumes(&scheduler, || log.lines().len() == 3).await;
    assert!(resumed, "only {:?}", log.lines());
}

/// Seen: a message whose sender did not keep the address was gone with it.
#[tokio::test]
async fn a_message_does_not_depend_on_who_keeps_the_address() {
    let log = Log::default();
    let scheduler = BareScheduler::new();
    tell(&scheduler.spawn(logs(&log)), "x");
    scheduler.run().await;
    assert_eq!(log.lines(), ["x"]);
}

/// Seen: an agent that was awaiting when its tokio runtime was dropped stayed claimed for good.
#[test]
fn a_tokio_runtime_that_is_dropped_in_the_middle_of_a_run_loses_nothing() {
    let n_begun = Arc::new(AtomicUsize::new(0));
    let log = Log::default();
    let (begins, ends) = (n_begun.clone(), log.clone());
    let scheduler = BareScheduler::new();
    let a = scheduler.spawn(does(move |text| {
        let (n, log) = (begins.fetch_add(1, Ordering::SeqCst), ends.clone());
        async move {
            if n == 0 {
                std::future::pending::<()>().await;
            }
            log.push(text);
        }
    }));
    tell(&a, "x");
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime()
        .block_on(serve_until(&scheduler, "it begins", || n_begun.load(Ordering::SeqCst) == 1));
    runtime().block_on(async {
        assert!(resumes(&scheduler, || log.lines() == ["x"]).await);
    });
}

/// A behaviour whose first future panics when it is dropped.
struct Bombs(Log);

struct Bomb {
    explodes: bool,
}

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.explodes, "a bomb");
    }
}

impl Behaviour for Bombs {
    fn handle(&mut self, message: &AgentMessage, _: Cx<'_>) -> impl Future<Output = ()> + Send {
        self.0.push(message.content().as_str());
        Bomb { explodes: message.content() == "bad" }
    }
}

/// Seen: an agent whose future panicked in its drop was claimed for good.
#[tokio::test]
async fn a_panic_in_the_drop_of_a_future_costs_one_message() {
    let log = Log::default();
    let scheduler = BareScheduler::new();
    let a = scheduler.spawn(Bombs(log.clone()));
    tell(&a, "bad");
    tell(&a, "good");
    scheduler.run().await;
    assert_eq!(log.lines(), ["bad", "good"]);
}

/// Seen: a worker of a run that was dropped counted as one who searches until it was polled again, so
/// what came meanwhile woke nobody, and it woke nobody when it went home.
#[test]
fn a_worker_of_a_former_run_keeps_nobody_asleep() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let log = Log::default();
    let scheduler = Arc::new(BareScheduler::new());
    let a = scheduler.spawn(logs(&log));
    let (dropped, gate) = (Gate::default(), Gate::default());
    let (first, drops, passes) = (scheduler.clone(), dropped.clone(), gate.clone());
    let heard = log.clone();
    tell(&a, "first");
    runtime.spawn(async move {
        serve_until(&first, "it is heard", || heard.lines().len() == 1).await;
        // What is woken by the end of that run is not polled while this blocks the thread.
        drops.open();
        passes.pass();
    });
    dropped.pass();
    let second = scheduler;
    runtime.spawn(async move { second.serve().await });
    let lines = || log.lines();
    runtime.block_on(async {
        // It is handled at once, or by the former worker's waking somebody.
        tokio::time::sleep(ms(50)).await;
        tell(&a, "second");
        tokio::time::sleep(ms(50)).await;
        gate.open();
        let heard = eventually("it is heard", || lines().len() == 2);
        tokio::time::timeout(Duration::from_secs(3), heard).await.expect("it is heard");
    });
}
