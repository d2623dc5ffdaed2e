//! Runs that come to an end, each with its exit code and its answer.

use crate::support::Team;

/// Two programs in a row.
const SHOUT: &str = r#"
[agents.shout]
command = ["tr", "a-z", "A-Z"]
[agents.reverse]
command = ["rev"]
[flow]
pipe = ["shout", "reverse"]
"#;

/// One agent that follows a script.
fn scripted(guards: &str, agent: &str, steps: &str) -> String {
    format!(
        "[guards]\n{guards}\n[agents.a]\nconnector = \"scripted\"\n{agent}\n\
         settings = {{ steps = [{steps}], repeat = true }}\n[flow]\npipe = [\"a\"]\n"
    )
}

#[test]
fn the_answer_goes_to_standard_output_and_the_summary_to_standard_error() {
    let ran = Team::new(SHOUT).run(&["--input", "hello there"]);
    ran.ended(0, &["completed in", "shout", "reverse"]);
    assert_eq!(ran.stdout, "EREHT OLLEH\n");
}

#[test]
fn quiet_leaves_nothing_but_the_answer() {
    let ran = Team::new(SHOUT).run(&["-q", "-i", "hello there"]);
    ran.ended(0, &[]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("EREHT OLLEH\n", ""));
}

#[test]
fn quiet_still_says_what_went_wrong() {
    let text = scripted("", "retries = 0\nrestart = \"never\"", "{ fail = \"broken\" }");
    let ran = Team::new(&text).run(&["-q", "-i", "x"]);
    ran.ended(6, &["stopped: agent `a` failed: broken"]);
    assert_eq!(ran.stdout, "");
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cannot_be_written_is_an_error() {
    for args in [["-q", "-i", "x"], ["--json", "-i", "x"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Team::new(SHOUT).command("run", &args).stdout(full).output().unwrap();
        let ran = crate::support::Ran::from(output);
        ran.ended(1, &["failed to write to standard output"]);
    }
}

#[test]
fn inputs_are_files_standard_input_and_texts_in_their_order() {
    let team = Team::new(SHOUT);
    team.file("one.txt", b"abc\n");
    let mut command = team.command("run", &["-q", "-i", "one.txt", "-i", "-", "-i", "text:x/y"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"def").unwrap();
    let ran = crate::support::wait_for(child);
    ran.ended(0, &[]);
    assert_eq!(ran.stdout, "CBA\nFED\nY/X\n");
}

#[test]
fn variables_are_set_on_the_command_line() {
    let team = Team::new(
        "[set]\nword = \"day\"\n[agents.a]\ncommand = [\"echo\", \"good ${word}\"]\n[flow]\npipe = [\"a\"]\n",
    );
    assert_eq!(team.run(&["-q"]).stdout, "good day\n");
    assert_eq!(team.run(&["-q", "--set", "word=night"]).stdout, "good night\n");
    team.run(&["--set", "wrod=x"]).ended(2, &["wrod"]);
    team.run(&["--set", "word"]).ended(2, &["word"]);
}

#[test]
fn an_agent_that_fails_is_code_6() {
    let text = scripted("", "retries = 0\nrestart = \"never\"", "{ fail = \"broken\" }");
    let ran = Team::new(&text).run(&["-i", "x"]);
    ran.ended(6, &["agent `a` failed: broken"]);
}

#[test]
fn an_answer_that_lacks_something_is_code_6_even_if_the_agent_was_restarted() {
    let text = scripted("", "retries = 0", "{ fail = \"broken\" }");
    Team::new(&text)
        .run(&["-i", "x"])
        .ended(6, &["problem:", "broken", "there is no answer (exit code 6)"]);
}

#[test]
fn retries_are_made_and_counted() {
    let text =
        scripted("", "retries = 2", "{ fail = \"busy\" }, { fail = \"busy\" }, { reply = \"ok\" }");
    let ran = Team::new(&text).run(&["-i", "x"]);
    ran.ended(0, &["attempt 1 failed", "attempt 2 failed"]);
    assert_eq!(ran.stdout, "ok\n");
}

#[test]
fn each_guard_has_its_code() {
    // Two agents that write to each other for ever, beside the flow.
    let chat = r#"
[agents.a]
connector = "scripted"
settings = { steps = [{ send = "ping", to = "b" }, { reply = "ok" }], repeat = true }
[agents.b]
connector = "scripted"
settings = { steps = [{ send = "pong", to = "a" }, { reply = "ok" }], repeat = true }
[flow]
pipe = ["a"]
"#;
    let guarded = |guards: &str| Team::new(&format!("[guards]\n{guards}\n{chat}"));
    guarded("max_iterations = 7").run(&["-i", "x"]).ended(3, &["guards.max_iterations"]);
    guarded("max_messages_per_agent = 5").run(&["-i", "x"]).ended(4, &["limit of 5 messages"]);
    let slow = scripted("max_execution_time = \"200ms\"", "", "{ hang = true }");
    Team::new(&slow).run(&["-i", "x"]).ended(5, &["guards.max_execution_time"]);
}

#[test]
fn a_map_that_is_larger_than_its_guards_is_refused_before_it_starts() {
    let text = "[guards]\nmax_messages_per_agent = 2\n[agents.a]\ncommand = [\"cat\"]\n\
                [flow]\nmap = \"a\"\nover = \"lines\"\n";
    let ran = Team::new(text).run(&["-i", "text:1\n2\n3"]);
    ran.ended(2, &["max_messages_per_agent", "3"]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_loop_ends_with_the_approved_work_or_code_3() {
    let team = |verdicts: &str| {
        format!(
            "[agents.writer]\nconnector = \"scripted\"\n\
             settings = {{ steps = [{{ reply = \"draft\" }}], repeat = true }}\n\
             [agents.reviewer]\nconnector = \"scripted\"\nsettings = {{ steps = [{verdicts}] }}\n\
             [flow]\nloop = [\"writer\", \"reviewer\"]\n\
             until = {{ agent = \"reviewer\", says = \"APPROVED\" }}\nat_most = 2\n"
        )
    };
    let approved = Team::new(&team("{ reply = \"shorter\" }, { reply = \"APPROVED\" }"));
    let ran = approved.run(&["-i", "write"]);
    ran.ended(0, &[]);
    assert_eq!(ran.stdout, "draft\n");
    let never = Team::new(&team("{ reply = \"shorter\" }, { reply = \"longer\" }"));
    never.run(&["-i", "write"]).ended(3, &["did not approve"]);
}
