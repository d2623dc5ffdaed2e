//! What programs read: JSON lines, and logs.

use crate::support::Team;

const FLAKY: &str = r#"
[agents.a]
connector = "scripted"
retries = 1
settings = { steps = [{ fail = "busy\u001b[31m\nsecond line" }, { usage = { input_tokens = 5, output_tokens = 7 } }, { reply = "ok" }] }
[flow]
pipe = ["a"]
"#;

#[test]
fn json_is_one_event_a_line_and_the_answer_last() {
    let ran = Team::new(FLAKY).run(&["--json", "-i", "x"]);
    ran.ended(0, &[]);
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let expected = [
        "registered",
        "accepted",
        "run_started",
        "started",
        "retry_scheduled",
        "started",
        "usage_reported",
        "settled",
        "stopped",
        "answer",
    ];
    let told: Vec<&str> = kinds.into_iter().filter(|kind| *kind != "status_changed").collect();
    assert_eq!(told, expected);
    let answer = lines.last().unwrap();
    assert_eq!(answer["content"], "ok");
    assert_eq!(answer["exit_code"], 0);
    assert_eq!(answer["stop_reason"], "Completed");
}

#[test]
fn what_agents_write_moves_no_cursor() {
    let ran = Team::new(FLAKY).run(&["-i", "x"]);
    ran.ended(0, &["busy"]);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[test]
fn logs_are_lines_of_text_or_json_at_the_level_that_was_asked_for() {
    let team = Team::new(FLAKY);
    let text = team.run(&["--log", "warn", "-i", "x"]);
    text.ended(0, &["retry scheduled", "agent-"]);
    assert!(!text.stderr.contains("message accepted"), "{}", text.stderr);
    let json = team.run(&["--log", "debug", "--log-json", "-i", "x"]);
    let is_json = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    let lines: Vec<&str> = json.stderr.lines().filter(|line| line.starts_with('{')).collect();
    assert!(lines.iter().all(is_json), "{}", json.stderr);
    let all = lines.join("\n");
    for text in ["message accepted", "message received", "orchestrator started", "agent registered"]
    {
        assert!(all.contains(text), "`{text}` is missing in:\n{all}");
    }
}

#[test]
fn what_a_program_says_of_its_failure_moves_no_cursor_either() {
    let team = Team::new(
        "[agents.a]\ncommand = [\"sh\", \"-c\", \"printf '\\\\033]0;title\\\\007' >&2; exit 65\"]\n\
         [flow]\npipe = [\"a\"]\n",
    );
    let ran = team.run(&["-i", "x"]);
    ran.ended(6, &["problem:"]);
    assert!(!ran.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", ran.stderr);
}

#[test]
fn a_log_in_json_is_nothing_but_json() {
    let ran = Team::new(FLAKY).run(&["--log", "info", "--log-json", "-i", "x"]);
    ran.ended(0, &[]);
    for line in ran.stderr.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_make_it_panic() {
    let team = Team::new(FLAKY);
    let mut child = team
        .command("run", &["--json", "-i", "x"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = crate::support::wait_for(child);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    for (subcommand, args) in [("check", &[][..]), ("run", &["-i", "x"])] {
        let mut command = team.command(subcommand, args);
        let piped = std::process::Stdio::piped;
        let mut child = command.stdout(piped()).stderr(piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(0), "{subcommand}");
    }
}
