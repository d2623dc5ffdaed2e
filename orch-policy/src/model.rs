//! What the ledger promises, for shuttle (`--cfg orch_shuttle`), which tries many orders of a few
//! threads at random. `docs/proofs.md` says what each model checks, and which mistakes it finds.

mod chains;
mod control;
mod ledger;

pub(crate) use shuttle::thread::spawn;

/// How many changes of thread PCT plans: what a bug needs at most to be found for sure.
const DEPTH: usize = 3;

/// Runs `model` in ORCH_SHUTTLE_ORDERS orders, or 20,000: one half purely random, one by PCT.
pub(crate) fn check(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let given = std::env::var("ORCH_SHUTTLE_ORDERS").ok();
    let n_orders = given.map_or(20_000, |it| it.parse().expect("it is a number"));
    let model = std::sync::Arc::new(model);
    let other = model.clone();
    shuttle::check_random(move || model(), n_orders / 2);
    shuttle::check_pct(move || other(), n_orders - n_orders / 2, DEPTH);
    println!("model {name}: {n_orders} orders at random");
}
