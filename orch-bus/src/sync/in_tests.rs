//! How a test stops a thread at a [`Point`], and counts what a receiver does.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::Point;

/// Long enough for any machine; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Plan = Option<(Point, Box<dyn FnOnce()>)>;

thread_local! {
    static PLAN: RefCell<Plan> = const { RefCell::new(None) };
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` when this thread passes `point` next.
pub(crate) fn at(point: Point, f: impl FnOnce() + 'static) {
    PLAN.set(Some((point, Box::new(f))));
}

pub(crate) fn pass(point: Point) {
    let planned = PLAN.with_borrow_mut(|plan| plan.take_if(|(at, _)| *at == point));
    if let Some((_, f)) = planned {
        f();
    }
}

pub(crate) fn touch() {
    TOUCHED.set(TOUCHED.get() + 1);
}

/// How many nodes of lanes `f` reads, as a receiver on this thread.
pub(crate) fn touched_by<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let before = TOUCHED.get();
    let result = f();
    (TOUCHED.get() - before, result)
}

/// Runs `f` on a thread that `PATIENCE` need not outlive.
pub(crate) fn on_a_thread<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Receiver<T> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more if the test has failed already.
        let _ = done.send(f());
    });
    result
}

/// A thread that stands at a point.
pub(crate) struct Stopped<T> {
    go_on: mpsc::Sender<()>,
    result: Receiver<T>,
}

/// Runs `f` on a thread until it comes to `point`.
pub(crate) fn stop_at<T: Send + 'static>(
    point: Point,
    f: impl FnOnce() -> T + Send + 'static,
) -> Stopped<T> {
    let (says, said) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let result = on_a_thread(move || {
        at(point, move || {
            says.send(()).expect("the test listens");
            may_go_on.recv_timeout(PATIENCE).expect("the test lets it go on");
        });
        f()
    });
    said.recv_timeout(PATIENCE).expect("it passes the point");
    Stopped { go_on, result }
}

impl<T> Stopped<T> {
    /// Lets it go on to its end.
    pub(crate) fn go_on(self) -> T {
        self.go_on.send(()).expect("it waits");
        self.result.recv_timeout(PATIENCE).expect("it returns")
    }
}
