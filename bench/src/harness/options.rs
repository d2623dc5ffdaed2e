//! What one may ask for.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

use crate::contenders::{self, Contender};
use crate::scenario::Scenario;

/// How fast orch is, beside its peers.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", disable_version_flag = true)]
pub(super) struct Options {
    /// Only these scenarios.
    pub(super) scenarios: Vec<Scenario>,
    /// Only say which scenarios and contenders there are.
    #[arg(long)]
    pub(super) list: bool,
    /// How often each contender runs each scenario.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: u32,
    /// Only these contenders, with commas between them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Compare this contender with the others. By default the first of ours that can.
    #[arg(long)]
    pub(super) ours: Option<String>,
    /// Do not wait until others leave the machine alone.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Write the raw samples as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write a page with tables and plots.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "target/bench/index.html"
    )]
    pub(super) html: Option<PathBuf>,
    /// Write the plots, one file for each scenario.
    #[arg(long, value_name = "FOLDER")]
    pub(super) svg: Option<PathBuf>,
}

/// What there is to run.
pub(super) fn list() -> String {
    let scenarios = Scenario::ALL.iter().map(|it| line(it.name(), it.title()));
    let contenders = contenders::all().map(|it| line(it.name, it.about));
    format!("{}\n{}", scenarios.collect::<String>(), contenders.collect::<String>())
}

fn line(name: &str, about: &str) -> String {
    format!("{name:<24}{about}\n")
}

impl Options {
    pub(super) fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |it: &Scenario| self.scenarios.is_empty() || self.scenarios.contains(it);
        Scenario::ALL.iter().copied().filter(wanted).collect()
    }

    pub(super) fn contenders(&self) -> Result<Vec<Contender>> {
        let known = || contenders::all().map(|it| it.name);
        for name in self.only.iter().chain(&self.ours) {
            if known().all(|it| it != name) {
                let known: Vec<&str> = known().collect();
                bail!("there is no contender `{name}`; there are: {}", known.join(", "));
            }
        }
        let wanted =
            |it: &Contender| self.only.is_empty() || self.only.iter().any(|n| n == it.name);
        Ok(contenders::all().filter(wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str) -> Options {
        Options::parse_from(format!("bench {words}").split_whitespace())
    }

    #[test]
    fn what_is_named_is_run_in_the_order_of_the_tables() {
        assert_eq!(options("").scenarios(), Scenario::ALL);
        assert_eq!(options("ring ping").scenarios(), [Scenario::Ping, Scenario::Ring]);
        let names = |words| -> Vec<&str> {
            options(words).contenders().unwrap().iter().map(|it| it.name).collect()
        };
        assert_eq!(names("--only mailbox,orchestrator"), ["orchestrator", "mailbox"]);
    }

    #[test]
    fn an_unknown_contender_is_refused_with_the_known_ones() {
        let error = options("--only orchestrater").contenders().expect_err("it is misspelt");
        assert!(error.to_string().contains("orchestrator"), "{error}");
    }

    #[test]
    fn a_page_has_a_place_if_none_is_given() {
        assert_eq!(options("ping").html, None);
        assert_eq!(options("ping --html").html, Some("target/bench/index.html".into()));
        assert_eq!(options("--html x.html").html, Some("x.html".into()));
    }
}
