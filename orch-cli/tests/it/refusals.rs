//! Wrong input: a clear message, exit code 2, and nothing was started.

use crate::support::{Ran, Team, processes_with};

const CAT: &str = "[agents.a]\ncommand = [\"cat\"]\n[flow]\npipe = [\"a\"]\n";

#[test]
fn a_missing_program_is_named_with_where_it_was_searched() {
    let team = Team::new("[agents.a]\ncommand = [\"no-such-program\"]\n[flow]\npipe = [\"a\"]\n");
    team.run(&["-i", "x"]).ended(2, &["agent `a`", "`no-such-program` was not found", "/bin"]);
    team.check().ended(2, &["`no-such-program` was not found"]);
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_the_nearest_known_one() {
    let team = Team::new("[agents.a]\ncomand = [\"cat\"]\n[flow]\npipe = [\"a\"]\n");
    team.run(&["-i", "x"]).ended(2, &["team.toml:2:1", "`comand`", "did you mean `command`?"]);
}

#[test]
fn a_folder_in_place_of_the_team_file_is_told() {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_orch"))
        .args(["run", env!("CARGO_MANIFEST_DIR")])
        .output()
        .unwrap();
    Ran::from(ran).ended(2, &["is a folder"]);
}

#[test]
fn a_team_file_that_is_not_there_is_told() {
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_orch"))
        .args(["run", "no-such-team.toml"])
        .output()
        .unwrap();
    Ran::from(ran).ended(2, &["no-such-team.toml"]);
}

#[test]
fn inputs_that_cannot_be_messages_are_refused_by_name() {
    let team = Team::new(CAT);
    team.file("empty.txt", b"");
    team.run(&["-i", "empty.txt"]).ended(2, &["`empty.txt` is empty"]);
    team.file("binary.dat", &[0x7f, b'E', 0xff, 0xfe]);
    team.run(&["-i", "binary.dat"]).ended(2, &["`binary.dat` is not UTF-8", "byte 2"]);
    team.run(&["-i", "mispelt.txt"]).ended(2, &["`mispelt.txt` is no file"]);
    team.run(&["-i", "."]).ended(2, &["is a folder"]);
}

#[test]
fn an_input_of_100_megabytes_is_refused_with_the_limit() {
    let team = Team::new(CAT);
    let large = std::fs::File::create(team.path().join("large.txt")).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    team.run(&["-i", "large.txt"]).ended(2, &["104857600 bytes", "16777216"]);
    let mut piped = team.command("run", &["-i", "-"]);
    let zeros = std::fs::File::open(team.path().join("large.txt")).unwrap();
    Ran::from(piped.stdin(zeros).output().unwrap()).ended(2, &["16777216"]);
}

#[test]
fn a_policy_that_cannot_be_enforced_is_refused() {
    let team = Team::new(
        "[agents.a]\ncommand = [\"cat\"]\ntools = [{ tool = \"files\", permission = \"ReadOnly\" }]\n\
         [flow]\npipe = [\"a\"]\n",
    );
    team.run(&["-i", "x"]).ended(2, &["agent `a`", "`files`", "cannot be enforced"]);
}

#[test]
fn an_unknown_connector_is_refused_with_the_known_ones() {
    let team = Team::new("[agents.a]\nconnector = \"scriptd\"\n[flow]\npipe = [\"a\"]\n");
    team.run(&["-i", "x"]).ended(2, &["`scriptd`", "scripted", "subprocess"]);
}

#[test]
fn a_wrong_command_line_is_code_2_and_help_is_0() {
    let orch = |args: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_orch")).args(args).output();
        Ran::from(ran.unwrap())
    };
    orch(&["rnu"]).ended(2, &["rnu"]);
    orch(&["run"]).ended(2, &["TEAM"]);
    let help = orch(&["--help"]);
    help.ended(0, &[]);
    assert!(
        help.stdout.contains("Exit codes:") && !help.stdout.contains("keeper"),
        "{}",
        help.stdout
    );
}

#[test]
fn a_refused_team_starts_nothing() {
    let team = Team::new(
        "[agents.good]\ncommand = [\"sh\", \"-c\", \"touch started; cat\"]\nsettings = { cwd = \".\" }\n\
         [agents.bad]\ncommand = [\"no-such-program\"]\n[flow]\npipe = [\"good\", \"bad\"]\n",
    );
    team.run(&["-i", "x"]).ended(2, &["no-such-program"]);
    assert!(!team.path().join("started").exists());
    assert_eq!(processes_with(&team.path().display().to_string()), [] as [u32; 0]);
}

#[test]
fn check_shows_the_team_with_its_defaults() {
    let ran = Team::new(CAT).check();
    ran.ended(0, &["this team can run", "not confined"]);
    for text in ["[agents.a]", "retries", "timeout", "max_iterations"] {
        assert!(ran.stdout.contains(text), "`{text}` is missing in:\n{}", ran.stdout);
    }
}
