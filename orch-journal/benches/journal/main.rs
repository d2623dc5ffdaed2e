//! How much a journal costs beyond SQLite, in one run: `cargo xtask bench journal [senders | large]`.
//!
//! Ours and bare SQLite take turns, with the same rows, the same groups and the same disk; their
//! ratio is what counts. What the disk can do stands beside it. Bare SQLite has two forms: its senders
//! write their messages as JSON as ours do, or all rows are made before, which is what SQLite alone can
//! do. `senders ours`, `senders bare` and `senders canned` run one alone, for a profiler.

mod bare;
mod large;
mod ours;

use std::path::Path;
use std::time::{Duration, Instant};

use bare::Bodies;

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
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let wants = |part: &str| words.first().is_none_or(|only| only == part);
    if let [_, alone] = &words[..] {
        return alone_for_a_profiler(folder.path(), alone);
    }
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

fn alone_for_a_profiler(folder: &Path, which: &str) {
    for round in 0..N_ROUNDS {
        let path = folder.join(round.to_string());
        let rate = match which {
            "bare" => bare::run(&path, 256, ROUND, Bodies::Made),
            "canned" => bare::run(&path, 256, ROUND, Bodies::Canned),
            _ => ours::run(&path, 256, ROUND),
        };
        println!("{which}: {rate:.0} sets a second");
    }
}

/// Rounds of all three in turn; which begins changes.
fn compare(folder: &Path, n_senders: usize) {
    let mut rates = [const { Vec::new() }; 3];
    let mut costs = [const { Vec::new() }; 3];
    for round in 0..N_ROUNDS {
        for turn in 0..3 {
            let which = (round + turn) % 3;
            let path = folder.join(format!("{which}-{n_senders}-{round}"));
            let before = processor_time();
            let rate = match which {
                0 => ours::run(&path, n_senders, ROUND),
                1 => bare::run(&path, n_senders, ROUND, Bodies::Made),
                _ => bare::run(&path, n_senders, ROUND, Bodies::Canned),
            };
            if let (Some(before), Some(after)) = (before, processor_time()) {
                costs[which].push((after - before) * 1e6 / (rate * ROUND.as_secs_f64()));
            }
            rates[which].push(rate);
            remove(&path);
        }
    }
    println!("{n_senders} senders, {N_ROUNDS} rounds of {ROUND:?}");
    let ratio = |of: usize| -> Vec<f64> {
        let pairs = rates[0].iter().zip(&rates[of]);
        pairs.map(|(ours, bare)| if n_senders == 1 { bare / ours } else { ours / bare }).collect()
    };
    let (mut made, mut canned) = (ratio(1), ratio(2));
    let (shown, goal) = match n_senders {
        1 => ("time of one set, ours / bare", "<= 1.3"),
        _ => ("sets a second, ours / bare", ">= 0.8"),
    };
    let names = ["ours", "bare", "bare, its rows made before"];
    for ((name, rates), costs) in names.into_iter().zip(&mut rates).zip(&mut costs) {
        let cost = if costs.is_empty() { "?".to_owned() } else { quartiles(costs, 1) };
        println!("  {name}: {} sets a second, {cost} µs of processors a set", quartiles(rates, 0));
    }
    println!("  {shown}: {} (goal {goal})", quartiles(&mut made, 2));
    println!("  the same, its rows made before: {}", quartiles(&mut canned, 2));
}

/// What this process has used of all processors, in seconds: it does not depend on who else is busy as
/// much as a rate does. With opening and closing the file. Only on Linux.
fn processor_time() -> Option<f64> {
    /// What `/proc` counts in, on every processor that Linux runs on.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before may have spaces; the 14th and 15th field are those of user and system.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}

/// A disk in memory is small.
fn remove(journal: &Path) {
    for ending in ["", "-wal", "-shm", "-lock"] {
        let mut name = journal.as_os_str().to_owned();
        name.push(ending);
        // Not all of them are there.
        let _ = std::fs::remove_file(name);
    }
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
