//! Runs cells in rounds, and shows what they measured.

mod cell;
mod goals;
mod load;
mod machine;
mod options;
mod page;
mod plot;
mod results;
mod rounds;
mod stats;
mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use self::options::Options;
use self::results::Results;

/// The whole program. `allocator` is the name of the one that it was built with.
pub fn main(allocator: &str) -> ExitCode {
    if let Some(code) = cell::run_if_asked() {
        return code;
    }
    match measure(&Options::parse(), allocator) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, allocator: &str) -> Result<()> {
    if options.list {
        print!("{}", options::list());
        return Ok(());
    }
    let results = rounds::run(options, machine::describe(allocator))?;
    print!("{}", table::all(&results));
    write(&results, options)?;
    let failed = results.cells.iter().filter(|cell| cell.outcome.is_err()).count();
    ensure!(failed == 0, "{failed} cells failed; the tables say which");
    Ok(())
}

fn write(results: &Results, options: &Options) -> Result<()> {
    if let Some(path) = &options.json {
        save(path, &serde_json::to_string_pretty(results)?)?;
    }
    if let Some(path) = &options.html {
        save(path, &page::html(results))?;
    }
    if let Some(folder) = &options.svg {
        for scenario in results.scenarios() {
            let name = format!("{}.svg", scenario.name());
            save(&folder.join(name), &plot::svg(results, scenario))?;
        }
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("failed to write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
