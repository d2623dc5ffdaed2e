//! What a good team file says.

use std::time::Duration;

use orch_runtime::{AgentRole, LoopGuard, MessagePriority, PermissionLevel, RestartPolicy};
use orch_team::{FlowSpec, Over, Problems, Sets, Split, Steps, Team, TeamSource};
use serde_json::json;

/// Reads a team from a file `team.toml` in `/teams/report`.
pub(crate) fn parse_with(text: &str, sets: &Sets) -> Result<Team, Problems> {
    let (file, folder) = ("team.toml".to_owned(), "/teams/report".into());
    Team::parse(TeamSource { file, folder, text: text.to_owned() }, sets)
}

pub(crate) fn parse(text: &str) -> Result<Team, Problems> {
    parse_with(text, &Sets::new())
}

#[track_caller]
fn good(text: &str) -> Team {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A flow of agents that are all there.
#[track_caller]
fn flow(text: &str) -> FlowSpec {
    let agents = ["a", "b", "c"].map(|name| format!("[agents.{name}]\nconnector = \"x\"\n"));
    good(&format!("{}[flow]\n{text}", agents.concat())).flow
}

pub(crate) const FULL: &str = r#"
name = "report"

[set]
top = 10
place = "eu"

[guards]
max_iterations = 200
max_messages_per_agent = "unlimited"
max_execution_time = "2m"

[run]
max_concurrency = 8
grace = "500ms"

[agents.lister]
role = "planner"
command = ["./list.sh", "--top", "${top}"]
retries = 5
timeout = "30s"
priority = "high"
concurrency = 2
restart = "always"
settings = { env = { PLACE = "${place}", RAW = "$${HOME}" }, mode = "once" }

[agents.writer]
connector = "claude_code"
role = "reviewer"

[[agents.writer.tools]]
tool = "deploy"
permission = "ReadOnly"
max_calls_per_hour = 10
allowed_paths = ["docs", "/srv"]
ask = true

[flow]
map = "lister"
over = "lines"
reduce = "writer"

[[flow.urgent]]
to = "lister"
content = "first ${place}"
after_answers = 3
"#;

#[test]
fn everything_that_a_file_can_say_is_read() {
    let team = good(FULL);
    assert_eq!(team.name, "report");
    let guards = LoopGuard {
        max_iterations: 200,
        max_messages_per_agent: u32::MAX,
        max_execution_time_ms: 120_000,
    };
    assert_eq!(team.guards, guards);
    assert_eq!((team.run.max_concurrency, team.run.grace), (8, Duration::from_millis(500)));

    let lister = &team.agents[0].config;
    assert_eq!((lister.name.as_str(), lister.connector_type.as_str()), ("lister", "subprocess"));
    assert_eq!(lister.role, AgentRole::Custom("planner".to_owned()));
    assert_eq!((lister.max_retries, lister.timeout_ms, lister.concurrency), (5, 30_000, 2));
    assert_eq!(lister.send_priority, MessagePriority::High);
    assert_eq!(lister.restart, RestartPolicy::Always);
    let settings = json!({
        "command": ["/teams/report/list.sh", "--top", "10"],
        "cwd": "/teams/report",
        "env": { "PLACE": "eu", "RAW": "${HOME}" },
        "mode": "once",
    });
    assert_eq!(serde_json::Value::Object(lister.settings.clone()), settings);

    let policy = &team.agents[1].config.tool_policies[0];
    assert_eq!(
        (policy.tool_name.as_str(), policy.permission),
        ("deploy", PermissionLevel::ReadOnly)
    );
    assert_eq!((policy.max_calls_per_hour, policy.ask), (Some(10), true));
    let paths = ["/teams/report/docs", "/srv"].map(str::to_owned);
    assert_eq!(policy.allowed_paths.as_deref(), Some(&paths[..]));
    assert_eq!(team.flow.urgent[0].content, "first eu");
    assert!(team.warnings.is_empty(), "{}", team.warnings);
}

#[test]
fn a_file_that_says_little_has_safe_defaults() {
    let team = good("[agents.a]\ncommand = [\"cat\"]\n[flow]\npipe = [\"a\"]\n");
    assert_eq!(team.name, "report");
    assert_eq!(team.guards, LoopGuard::default());
    assert_eq!((team.run.max_concurrency, team.run.grace), (64, Duration::from_secs(5)));
    let agent = &team.agents[0].config;
    assert_eq!(agent.role, AgentRole::Worker);
    assert_eq!((agent.max_retries, agent.timeout_ms, agent.concurrency), (3, 300_000, 1));
    assert_eq!(agent.restart, RestartPolicy::OnFailure);
    assert_eq!(agent.send_priority, MessagePriority::Normal);
    assert!(agent.tool_policies.is_empty());
}

#[test]
fn agents_stand_in_the_order_of_the_file() {
    let team = good(
        "[agents.z]\nconnector = \"x\"\n[agents.a]\nconnector = \"x\"\n[flow]\npipe = [\"z\", \"a\"]\n",
    );
    let names: Vec<_> = team.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["z", "a"]);
}

#[test]
fn a_variable_is_set_from_outside_and_counts_as_a_number_where_one_is_due() {
    let text = "[set]\nn = 3\n[agents.a]\nconnector = \"x\"\nretries = \"${n}\"\n\
                [flow]\npipe = [\"a\"]\n";
    assert_eq!(good(text).agents[0].config.max_retries, 3);
    let team = parse_with(text, &Sets::new().with("n", "7")).unwrap();
    assert_eq!(team.agents[0].config.max_retries, 7);
    let problems = parse_with(text, &Sets::new().with("n", "many")).unwrap_err();
    assert!(problems.to_string().contains("many is not a whole number from 0"), "{problems}");
}

#[test]
fn each_flow_is_read() {
    let is_map = |steps: &Steps, expected: Over| matches!(steps, Steps::Map(map) if map.over == expected && map.agents.len() == 1);
    assert!(
        matches!(flow("pipe = ['a', 'b', 'c', 'a']").steps, Steps::Pipe(it) if it.stages.len() == 4)
    );
    let over = [
        ("'lines'", Over::Lists(Split::Lines)),
        ("'json'", Over::Lists(Split::Json)),
        ("'inputs'", Over::Inputs),
    ];
    for (text, expected) in over {
        let flow = flow(&format!("map = 'a'\nover = {text}\nreduce = 'b'"));
        assert!(is_map(&flow.steps, expected), "{text}");
    }
    for (text, split) in [("", Split::Lines), (", split = 'json'", Split::Json)] {
        let flow = flow(&format!("map = 'a'\nover = {{ agent = 'c'{text} }}"));
        let Steps::Map(map) = flow.steps else { panic!("it is a map") };
        assert!(
            matches!(map.over, Over::Agent { agent, split: it } if agent.as_str() == "c" && it == split)
        );
        assert_eq!(map.reduce, None);
    }
    let several = flow("map = ['a', 'b']\nover = 'lines'\nreduce = 'c'");
    assert!(matches!(several.steps, Steps::Map(map) if map.agents.len() == 2));
    let text = "loop = ['a', 'b']\nuntil = { agent = 'b', says = 'OK' }";
    assert!(matches!(flow(text).steps, Steps::Loop(it) if it.at_most == 5 && it.says == "OK"));
    let text = format!("{text}\nat_most = 2");
    assert!(matches!(flow(&text).steps, Steps::Loop(it) if it.at_most == 2));
}

/// The format's description in the README is a team file itself, and its defaults are the defaults.
#[test]
fn the_description_of_the_format_is_true() {
    let readme = include_str!("../../README.md");
    let text = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let team = good(text);
    let plain = "[set]\ntop = 10\n[agents.lister]\ncommand = [\"sh\", \"list.sh\"]\n\
                 settings = { env = { TOP = \"${top}\" } }\n[flow]\npipe = [\"lister\"]\n";
    let plain = good(plain);
    assert_eq!((team.guards, team.run), (plain.guards, plain.run));
    assert_eq!(team.agent("lister"), plain.agent("lister"));
    assert!(team.warnings.is_empty(), "{}", team.warnings);
}

#[test]
fn limits_stand_beside_the_command_and_go_to_the_connector() {
    let team = parse(
        "[agents.a]\ncommand = [\"cat\"]\nlimits = { cpu = \"30s\", processes = 32 }\n[flow]\npipe = \
         [\"a\"]\n",
    )
    .unwrap();
    let limits = &team.agents[0].config.settings["limits"];
    assert_eq!(*limits, serde_json::json!({ "cpu": "30s", "processes": 32 }));
    assert_eq!(parse(&team.resolved().to_string()).unwrap().agents, team.agents);
}
