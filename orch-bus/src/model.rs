//! What the mailbox promises, for a model checker: loom (`--cfg orch_loom`) tries every order of a few
//! threads up to a bound of preemptions, and all that the memory model lets them see; shuttle
//! (`--cfg orch_shuttle`) tries many orders at random. `docs/proofs.md` says what each model checks,
//! and which mistakes it finds.

mod control;
mod idle;
mod lanes;
mod mailbox;
mod ready;
mod stack;

#[cfg(orch_loom)]
pub(crate) use with_loom::{JoinHandle, block_on, check, spawn, spawn_with};
#[cfg(orch_shuttle)]
pub(crate) use with_shuttle::{JoinHandle, block_on, check, spawn, spawn_with};

#[cfg(orch_loom)]
mod with_loom {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(crate) use loom::future::block_on;
    pub(crate) use loom::thread::{JoinHandle, spawn};

    use crate::sync::forget_freed;

    /// Does something with a share of `of` on a thread of its own. All threads of a model are on one of
    /// the system, so that nothing has to be `Send`.
    pub(crate) fn spawn_with<T: 'static, R: 'static>(
        of: &Arc<T>,
        f: impl FnOnce(&T) -> R + 'static,
    ) -> JoinHandle<R> {
        let of = of.clone();
        spawn(move || f(&of))
    }

    /// Runs `model` in every order, with as many preemptions as LOOM_MAX_PREEMPTIONS says, or 2.
    pub(crate) fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        let bound = *builder.preemption_bound.get_or_insert(2);
        builder.max_branches = 10_000;
        let n_orders = Arc::new(AtomicU64::new(0));
        let counts = n_orders.clone();
        builder.check(move || {
            forget_freed();
            counts.fetch_add(1, Ordering::Relaxed);
            model();
        });
        let n_orders = n_orders.load(Ordering::Relaxed);
        println!("model {name}: {n_orders} orders at bound {bound}");
    }
}

#[cfg(orch_shuttle)]
mod with_shuttle {
    use std::sync::Arc;

    pub(crate) use shuttle::future::block_on;
    pub(crate) use shuttle::thread::{JoinHandle, spawn};

    /// Does something with a share of `of` on a thread of its own.
    pub(crate) fn spawn_with<T: Send + Sync + 'static, R: Send + 'static>(
        of: &Arc<T>,
        f: impl FnOnce(&T) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let of = of.clone();
        spawn(move || f(&of))
    }

    /// How many changes of thread PCT plans: what a bug needs at most to be found for sure.
    const DEPTH: usize = 3;

    /// Runs `model` in ORCH_SHUTTLE_ORDERS orders, or 20,000: one half purely random, one by PCT.
    pub(crate) fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
        let given = std::env::var("ORCH_SHUTTLE_ORDERS").ok();
        let n_orders = given.map_or(20_000, |it| it.parse().expect("it is a number"));
        let model = Arc::new(model);
        let other = model.clone();
        shuttle::check_random(move || model(), n_orders / 2);
        shuttle::check_pct(move || other(), n_orders - n_orders / 2, DEPTH);
        println!("model {name}: {n_orders} orders at random");
    }
}
