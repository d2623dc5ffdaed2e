//! What is refused before anything runs.

use orch_connect::{ConnectError, Connector, Containment, KeeperCommand, Subprocess, built_in};
use orch_core::{PermissionLevel, ToolPolicy};
use serde_json::{Value, json};

use crate::processes::{kept, refusal, with};

#[track_caller]
fn missing(settings: Value) -> String {
    match refusal(&with(settings)) {
        ConnectError::MissingProgram { searched, .. } => searched,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_program_is_answered_with_the_path_that_the_child_would_see() {
    let searched = missing(json!({ "command": ["no-such-program"], "env": { "PATH": "/a:/b" } }));
    assert_eq!(searched, "PATH /a:/b");
    let ours = std::env::var("PATH").expect("a PATH");
    assert_eq!(missing(json!({ "command": ["no-such-program"] })), format!("PATH {ours}"));
}

#[test]
fn a_folder_and_a_file_without_permission_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a text");
    std::fs::create_dir(folder.path().join("dir")).expect("a folder in it");
    std::fs::write(folder.path().join("plain"), "").expect("a file in it");
    let found = |name: &str| missing(json!({ "command": [name], "env": { "PATH": path } }));
    assert_eq!(found("dir"), format!("PATH {path}; {path}/dir is a folder"));
    assert_eq!(found("plain"), format!("PATH {path}; {path}/plain is not executable"));
}

#[test]
fn a_name_with_a_slash_is_looked_for_in_its_one_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a text");
    let searched = missing(json!({ "command": ["./tool"], "cwd": path }));
    assert_eq!(searched, format!("{path}/./tool"));
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("tool")).expect("a link");
    let config = with(json!({ "command": ["./tool"], "cwd": path }));
    assert_eq!(Subprocess::new(kept()).check(&config), Ok(()));
}

#[test]
fn a_missing_keeper_is_found_before_anything_runs() {
    let connector = Subprocess::new(Containment::Keeper(KeeperCommand::new("/no/such/keeper")));
    let error = connector.check(&with(json!({ "command": ["sh"] }))).expect_err("it is missing");
    assert!(
        matches!(&error, ConnectError::MissingProgram { program, .. } if program.contains("keeper")),
        "{error}"
    );
}

#[test]
fn a_folder_in_which_no_group_can_be_made_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = KeeperCommand::new(env!("CARGO_BIN_EXE_orch-keeper"));
    let containment = Containment::Keeper(keeper.with_cgroups([folder.path()]));
    let error = Subprocess::new(containment).check(&with(json!({ "command": ["sh"] })));
    let error = error.expect_err("it is no group").to_string();
    assert!(error.ends_with("is no folder of a control group"), "{error}");
}

#[test]
fn a_policy_that_cannot_be_enforced_is_refused_by_the_built_in_connector() {
    let policy = ToolPolicy::new("shell".into(), PermissionLevel::ReadOnly);
    let config = with(json!({ "command": ["sh"] })).with_tool_policy(policy);
    let subprocess = built_in().get("subprocess").expect("it is built in");
    let error = subprocess.check(&config).expect_err("it cannot be enforced");
    assert!(error.to_string().contains("`shell` cannot be enforced"), "{error}");
}
