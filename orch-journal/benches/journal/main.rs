//! How much a journal costs beyond SQLite, in one run: `cargo xtask bench journal [senders | large]`.
//!
//! Ours and bare SQLite take turns, with the same rows, the same groups and the same disk; their
//! ratio is what counts. What the disk can do stands beside it.

mod bare;
mod large;
mod ours;

use std::path::Path;
use std::time::{Duration, Instant};

/// How long each of the two runs in a round.
const ROUND: Duration = Duration::from_millis(400);
const N_ROUNDS: usize = 31;
/// Characters of a message.
const TEXT_BYTES: usize = 300;

fn main() {
    // `cargo test --benches` and `cargo bench -- --list` run it as well.
    if std::env::args().any(|it| it == "--test" || it == "--list") {
        return;
    }
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let only = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let wants = |part: &str| only.as_deref().is_none_or(|only| only == part);
    for n_senders in [256, 1] {
        if wants("senders") {
            println!("the disk: {:.0} syncs of 400 appended bytes a second", syncs(folder.path()));
            compare(folder.path(), n_senders);
        }
    }
    if wants("large") {
        large::run(folder.path());
    }
}

/// Rounds of both in turn; which begins changes.
fn compare(folder: &Path, n_senders: usize) {
    let mut ratios = Vec::new();
    let (mut all_ours, mut all_bare) = (Vec::new(), Vec::new());
    for round in 0..N_ROUNDS {
        let at = |name: &str| folder.join(format!("{name}-{n_senders}-{round}"));
        let (ours, bare) = if round % 2 == 0 {
            let ours = ours::run(&at("ours"), n_senders, ROUND);
            (ours, bare::run(&at("bare"), n_senders, ROUND))
        } else {
            let bare = bare::run(&at("bare"), n_senders, ROUND);
            (ours::run(&at("ours"), n_senders, ROUND), bare)
        };
        ratios.push(ours / bare);
        all_ours.push(ours);
        all_bare.push(bare);
    }
    let (goal, shown) = if n_senders == 1 {
        ratios.iter_mut().for_each(|ratio| *ratio = 1.0 / *ratio);
        ("<= 1.3", "time of one set, ours / bare")
    } else {
        (">= 0.8", "sets a second, ours / bare")
    };
    println!("{n_senders} senders, {N_ROUNDS} rounds of {ROUND:?}");
    println!("  ours, sets a second: {}", quartiles(&mut all_ours, 0));
    println!("  bare, sets a second: {}", quartiles(&mut all_bare, 0));
    println!("  {shown}: {} (goal {goal})", quartiles(&mut ratios, 2));
}

/// Median, and the quartiles beside it.
fn quartiles(all: &mut [f64], digits: usize) -> String {
    all.sort_by(f64::total_cmp);
    let at = |quarter: usize| all[(all.len() - 1) * quarter / 4];
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", at(2), at(1), at(3))
}

fn syncs(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("syncs")).expect("the folder is there");
    let start = now();
    for _ in 0..300 {
        std::io::Write::write_all(&mut file, &[7; 400]).expect("there is room");
        file.sync_data().expect("the disk works");
    }
    300.0 / start.elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn now() -> Instant {
    Instant::now()
}

/// Tasks that each send one thing after the other until the time is over. Things a second.
fn senders<F: Future<Output = ()> + Send + 'static>(
    n_senders: usize,
    time: Duration,
    send: impl Fn(usize) -> F + Clone + Send + 'static,
) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    let runtime = runtime.expect("the system gives threads");
    let start = now();
    let tasks: Vec<_> = (0..n_senders)
        .map(|sender| {
            let send = send.clone();
            runtime.spawn(async move {
                let mut sent = 0_u64;
                while start.elapsed() < time {
                    send(sender).await;
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let all = tasks.into_iter().map(|task| runtime.block_on(task).expect("no sender panics"));
    let sent: u64 = all.sum();
    sent as f64 / start.elapsed().as_secs_f64()
}
