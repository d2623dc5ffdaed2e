//! `cargo xtask bench`: how fast orch is, beside its peers in the same run.

use anyhow::{Context, Result, bail};

use crate::process::{cargo, run as run_command};
use crate::workspace::Workspace;
use crate::{test, tools};

/// No default member: its peers take longer to build than all of orch.
const PACKAGE: &str = "orch-bench";

/// `dispatch …` and `durable …` run the benchmarks of orch-runtime, `lane` that of the lanes, `journal`
/// that of orch-journal; all else goes to the crate `bench`, but for `--allocator`, which chooses its program.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let [first, rest @ ..] = arguments {
        let dispatch = ["bench", "-p", "orch-runtime", "--bench", "dispatch", "--"];
        let durable = ["bench", "-p", "orch-runtime", "--bench", "durable", "--"];
        let lane = ["run", "--release", "-p", "orch-bus", "--example", "lane", "--"];
        let journal = ["bench", "-p", "orch-journal", "--bench", "journal", "--"];
        match first.as_str() {
            "dispatch" => return run_command(cargo().args(dispatch).args(rest)),
            "durable" => return run_command(cargo().args(durable).args(rest)),
            "lane" => return run_command(cargo().args(lane).args(rest)),
            "journal" => return run_command(cargo().args(journal).args(rest)),
            _ => {}
        }
    }
    let (program, rest) = choose_program(arguments)?;
    let build = ["run", "--release", "--quiet", "-p", PACKAGE, "--bin", program, "--"];
    run_command(cargo().args(build).args(rest))
}

/// A step of `ci`: the benchmarks' lints, tests and licences. It measures nothing.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let clippy = ["clippy", "-p", PACKAGE, "--all-targets", "--", "-Dwarnings"];
    run_command(cargo().args(clippy))?;
    test::counted(cargo().args(["test", "-p", PACKAGE, "--no-fail-fast"]))?;
    let mut deny = tools::cargo_deny(workspace)?;
    run_command(cargo().arg("fetch"))?;
    let config = ["--manifest-path", "bench/Cargo.toml", "--config", "bench/deny.toml"];
    deny.arg("--offline").args(config);
    run_command(deny.args(["check", "bans", "licenses", "sources"]))
}

/// The program that was built with the allocator that is asked for, and the other arguments.
fn choose_program(arguments: &[String]) -> Result<(&'static str, Vec<&String>)> {
    let mut program = "orch-bench";
    let (mut rest, mut all) = (Vec::new(), arguments.iter());
    while let Some(argument) = all.next() {
        if argument != "--allocator" {
            rest.push(argument);
            continue;
        }
        program = match all.next().context("which allocator: mimalloc or glibc?")?.as_str() {
            "mimalloc" => "orch-bench",
            "glibc" => "orch-bench-glibc",
            other => bail!("there is no allocator `{other}`, but mimalloc and glibc"),
        };
    }
    Ok((program, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(words: &str) -> Result<(&'static str, String)> {
        let arguments: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let (program, rest) = choose_program(&arguments)?;
        Ok((program, rest.into_iter().cloned().collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn the_allocator_chooses_the_program_and_is_no_argument_of_it() {
        let ping = ("orch-bench", "ping --rounds 5".to_owned());
        assert_eq!(chosen("ping --rounds 5").unwrap(), ping);
        assert_eq!(chosen("--allocator mimalloc ping --rounds 5").unwrap(), ping);
        let glibc = ("orch-bench-glibc", "ping --rounds 5".to_owned());
        assert_eq!(chosen("ping --allocator glibc --rounds 5").unwrap(), glibc);
        assert!(chosen("--allocator jemalloc").is_err());
        assert!(chosen("--allocator").is_err());
    }
}
