//! `examples/kill-and-resume`, as a person follows it.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::Ran;

#[test]
fn the_example_is_killed_and_does_everything_once() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kill-and-resume/demo.sh");
    let mut command = Command::new("sh");
    command.arg(script).env("ORCH", env!("CARGO_BIN_EXE_orch")).env("PAUSE", "0.3");
    let ran = Ran::from(command.output().unwrap());
    ran.ended(0, &["run 1 was cut off", "completed in"]);
    assert!(ran.stdout.contains("edit(draft(apple))\nedit(draft(pear))\nedit(draft(plum))\n"));
    for agent in ["draft", "edit"] {
        let begins = format!("{agent} begins");
        let after = ran.stdout.rsplit("What the programs wrote").next().unwrap();
        assert_eq!(after.matches(&begins).count(), 4, "one was cut off:\n{after}");
    }
    assert!(ran.stdout.contains("each done once"));
}
