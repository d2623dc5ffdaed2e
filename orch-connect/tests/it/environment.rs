//! What a program sees of its host: nothing that is not listed.

use orch_connect::{Containment, Subprocess};
use orch_core::Outcome;
use serde_json::{Value, json};

use crate::processes::{kept, with};
use crate::support::{close, open, turn};

/// A secret in this process's environment, which no child may see.
const CANARY: &str = "CARGO_PKG_NAME";

async fn run(containment: Containment, settings: Value) -> String {
    let mut session = open(&Subprocess::new(containment), with(settings)).await;
    let outcome = turn(&mut session, "").await;
    close(session).await;
    let Outcome::Ack { output: Some(output) } = outcome else { panic!("{outcome:?}") };
    output.to_string()
}

async fn shell(containment: Containment, script: &str) -> String {
    run(containment, json!({ "command": ["sh", "-c", script] })).await
}

#[tokio::test]
async fn nothing_of_our_environment_is_passed_on_but_what_is_listed() {
    // cargo sets it for tests; without it the check below would find nothing to leak.
    let canary = std::env::var(CANARY).expect("cargo sets it");
    for containment in [kept(), Containment::Group] {
        let seen = shell(containment, "cat /proc/self/environ | tr '\\0' '\\n'").await;
        for line in seen.lines() {
            let name = line.split('=').next().unwrap_or_default();
            let listed = ["PATH", "LANG", "TZ", "HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"];
            let is_listed = listed.contains(&name) || name.starts_with("LC_");
            assert!(is_listed || name.starts_with("ORCH_"), "{name} was passed on");
        }
        assert!(!seen.contains(&format!("{CANARY}={canary}")), "{seen}");
    }
}

#[tokio::test]
async fn the_keeper_has_no_environment_that_its_program_could_read() {
    let seen = shell(kept(), "wc -c < /proc/$PPID/environ").await;
    assert_eq!(seen.trim(), "0");
    // The control: without a keeper the parent is this process, whose environment can be read.
    let seen = shell(Containment::Group, "wc -c < /proc/$PPID/environ").await;
    assert_ne!(seen.trim(), "0");
}

#[tokio::test]
async fn a_kept_program_has_three_descriptors_and_its_keeper_few() {
    // What this process itself was started with, or made without care.
    let careless = std::fs::File::open("/dev/zero").expect("a device");
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("its flags");

    let list = "for fd in /proc/self/fd/*; do readlink $fd; done; true";
    // The control: such a descriptor reaches a program that nobody keeps.
    assert!(shell(Containment::Group, list).await.contains("/dev/zero"));
    // `ls` has one more, for the folder that it lists.
    assert_eq!(shell(kept(), "ls /proc/self/fd | wc -l").await.trim(), "4");
    let seen = shell(kept(), "for fd in /proc/$PPID/fd/*; do readlink $fd; done; true").await;
    let is_own = |it: &&str| it.starts_with("socket:") || *it == "/dev/null";
    let odd: Vec<&str> = seen.lines().filter(|it| !is_own(it)).collect();
    assert!(odd.is_empty(), "the keeper holds {odd:?}");
}

#[tokio::test]
async fn variables_are_added_and_inherited_by_name() {
    let settings = json!({
        "command": ["sh", "-c", "echo $CARGO_PKG_NAME $ADDED $CARGO_PKG_VERSION"],
        "env": { "ADDED": "a b" },
        "inherit_env": [CANARY, "NOT_SET_ANYWHERE"],
    });
    assert_eq!(run(kept(), settings).await, format!("{} a b", env!("CARGO_PKG_NAME")));
}

#[tokio::test]
async fn a_session_has_private_folders_which_closing_removes() {
    for containment in [kept(), Containment::Group] {
        let script = "stat -c %a $HOME $TMPDIR . ..; echo $HOME; touch $HOME/a $TMPDIR/b c";
        let seen = shell(containment, script).await;
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[..4], ["700"; 4]);
        let home = std::path::Path::new(lines[4]);
        assert!(home.ends_with("home") && !home.exists(), "{} is left", home.display());
        assert!(!home.parent().expect("the session's folder").exists());
    }
}

#[tokio::test]
async fn a_given_working_folder_is_used_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("it exists");
    let settings = json!({ "command": ["sh", "-c", "pwd; touch kept"], "cwd": path.to_str() });
    assert_eq!(run(kept(), settings).await, path.to_str().expect("a text"));
    assert!(path.join("kept").exists());
}

#[tokio::test]
async fn a_kept_program_is_in_a_session_without_a_terminal() {
    // Of `pid (name) state ppid pgrp session tty`: the keeper leads the session, and 0 is no tty.
    let script = "read -r pid name state ppid pgrp session tty rest < /proc/self/stat
                  [ $session = $PPID ] && [ $pgrp = $$ ] && echo tty $tty";
    assert_eq!(shell(kept(), script).await, "tty 0");
}
