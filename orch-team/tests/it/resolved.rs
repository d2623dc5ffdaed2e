//! A resolved team shows all of it, and reads back as the same team.

use orch_team::Sets;

use crate::files::{FULL, parse, parse_with};

#[test]
fn a_resolved_team_shows_its_defaults() {
    let team = parse("[agents.a]\ncommand = [\"cat\"]\n[flow]\npipe = [\"a\"]\n").unwrap();
    assert_eq!(
        team.resolved().to_string(),
        r#"name = "report"

[guards]
max_iterations = 100
max_messages_per_agent = 50
max_execution_time = "10m"

[run]
max_concurrency = 64
grace = "5s"

[agents.a]
role = "Worker"
connector = "subprocess"
retries = 3
timeout = "5m"
priority = "Normal"
concurrency = 1
restart = "on_failure"
tools = []
settings.command = ["cat"]
settings.cwd = "/teams/report"

[flow]
pipe = ["a"]
"#
    );
}

#[test]
fn a_resolved_team_reads_back_as_the_same_team() {
    let flows = [
        "loop = [\"a\", \"b\"]\nuntil = { agent = \"b\", says = \"it's \\\"OK\\\"\" }",
        "map = [\"a\", \"b\"]\nover = { agent = \"b\", split = \"json\" }",
        "pipe = [\"a\", \"b\"]",
    ];
    let odd = "[agents.a]\nconnector = \"x\"\ntimeout = \"unlimited\"\nsettings = { \"a b\" = \
               \"$${x} \\u0007\\u007f\\n\", t = {}, n = [1, 1.5, [true]] }\n[agents.b]\nconnector = \
               \"x\"\n[flow]\n";
    let texts = flows.map(|flow| format!("{odd}{flow}\n"));
    for text in texts.iter().map(String::as_str).chain([FULL]) {
        let mut team = parse(text).unwrap();
        let again = parse(&team.resolved().to_string());
        let again = again.unwrap_or_else(|problems| panic!("{problems}"));
        // Variables are in place already.
        team.variables.clear();
        assert_eq!(again, team);
    }
}

#[test]
fn secrets_are_not_shown() {
    let text = "[set]\napi_token = \"none\"\n[agents.a]\ncommand = [\"curl\", \"-H\", \"auth: \
                ${api_token}\"]\n[agents.a.settings]\nenv = { OPENAI_API_KEY = \"sk-1\", LANG = \
                \"C\" }\n[flow]\npipe = [\"a\"]\n[[flow.urgent]]\nto = \"a\"\ncontent = \"use \
                ${api_token}\"\n";
    let sets = Sets::new().with("api_token", "s3cret");
    let team = parse_with(text, &sets).unwrap();
    let shown = team.resolved().to_string();
    assert!(!shown.contains("s3cret") && !shown.contains("sk-1"), "{shown}");
    assert!(shown.contains("settings.env = { LANG = \"C\", OPENAI_API_KEY = \"***\" }"), "{shown}");
    assert!(shown.contains("[\"curl\", \"-H\", \"auth: ***\"]"), "{shown}");
    assert!(shown.contains("content = \"use ***\""), "{shown}");
    for debugged in [format!("{team:?}"), format!("{sets:?}")] {
        assert!(!debugged.contains("s3cret") && !debugged.contains("sk-1"), "{debugged}");
    }
}
