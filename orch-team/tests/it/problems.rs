//! What is wrong with a team file is said with its place, and all of it at once.

use orch_team::Sets;

use crate::files::{parse, parse_with};

/// A file with agents `reader` and `writer`, a flow, and `text` before them.
fn around(text: &str) -> String {
    format!(
        "{text}\n[agents.reader]\nconnector = \"x\"\n[agents.writer]\nconnector = \"x\"\n\
         [flow]\npipe = [\"reader\", \"writer\"]\n"
    )
}

/// A file with agents `reader` and `writer` and this flow.
fn with_flow(flow: &str) -> String {
    format!(
        "[agents.reader]\nconnector = \"x\"\n[agents.writer]\nconnector = \"x\"\n[flow]\n{flow}\n"
    )
}

/// A file whose one agent has these lines, from line 2 on.
fn with_agent(lines: &str) -> String {
    format!("[agents.a]\n{lines}\n[flow]\npipe = [\"a\"]\n")
}

#[track_caller]
fn shows(text: &str, expected: &str) {
    let problems = parse(text).expect_err("the file is wrong").to_string();
    assert_eq!(problems.trim_end(), expected.trim());
}

/// The heads of all problems, without their source lines.
#[track_caller]
fn says(text: &str, expected: &[&str]) {
    let problems = parse(text).expect_err("the file is wrong").to_string();
    let heads = problems.lines().filter(|line| line.starts_with("error: "));
    let heads: Vec<_> = heads.map(|line| &line["error: ".len()..]).collect();
    assert_eq!(heads, expected, "{problems}");
}

#[test]
fn a_misspelt_key_is_shown_where_it_stands_with_the_nearest() {
    shows(
        &with_agent("comand = [\"sh\", \"list.sh\"]"),
        r#"
error: unknown key `comand` in [agents.a]; did you mean `command`?
 --> team.toml:2:1
  |
2 | comand = ["sh", "list.sh"]
  | ^^^^^^

team.toml: 1 error"#,
    );
}

#[test]
fn a_missing_key_is_shown_at_its_table_with_the_way_out() {
    shows(
        &with_agent("retries = 2"),
        r#"
error: [agents.a] needs `command`
 --> team.toml:1:9
  |
1 | [agents.a]
  |         ^
  = hint: write command = ["program", "argument"], or connector = "…" for another kind of agent

team.toml: 1 error"#,
    );
}

#[test]
fn all_problems_of_a_file_are_shown_in_its_order() {
    shows(
        r#"nam = "x"

[guards]
max_iterations = "many"

[agents.lister]
command = "sh list.sh"
retires = 3
timeout = 30

[agents.spare]
connector = "x"

[flow]
pipe = ["listr", "lister"]
"#,
        r#"
error: unknown key `nam` in the team file; did you mean `name`?
 --> team.toml:1:1
  |
1 | nam = "x"
  | ^^^

error: `max_iterations` in [guards] must be a whole number, not a string
 --> team.toml:4:18
  |
4 | max_iterations = "many"
  |                  ^^^^^^

error: `command` in [agents.lister] must be a list of strings, not a string
 --> team.toml:7:11
  |
7 | command = "sh list.sh"
  |           ^^^^^^^^^^^^
  = hint: no shell splits it: write command = ["sh", "list.sh"]

error: unknown key `retires` in [agents.lister]; did you mean `retries`?
 --> team.toml:8:1
  |
8 | retires = 3
  | ^^^^^^^

error: `timeout` in [agents.lister] must be a duration, not a whole number
 --> team.toml:9:11
  |
9 | timeout = 30
  |           ^^
  = hint: a number needs a unit: "30s"

error: the flow uses agent `listr`, which the file does not have; did you mean `lister`?
  --> team.toml:15:9
   |
15 | pipe = ["listr", "lister"]
   |         ^^^^^^^

team.toml: 6 errors"#,
    );
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    shows(
        "[agents.a]\nretries = = 3\nx = \"open\ny = 1\n",
        r#"
error: extra `=`
 --> team.toml:2:11
  |
2 | retries = = 3
  |           ^

error: invalid basic string, expected `"`
 --> team.toml:3:10
  |
3 | x = "open
  |          ^

team.toml: 2 errors"#,
    );
}

#[test]
fn what_is_there_twice_is_refused_by_its_name() {
    says(
        &format!("{}[agents.reader]\nconnector = \"x\"\nretries = 1\n", around("")),
        &["`reader` is there twice; keep one of them"],
    );
    says(
        "name = \"a\"\nname = \"b\"\n[run]\ngrace = \"1s\"\ngrace = \"1s\"\n",
        &["`name` is there twice; keep one of them", "`grace` is there twice; keep one of them"],
    );
}

#[test]
fn a_value_of_another_type_is_refused() {
    says(
        &around("name = 3\nguards = 1\nrun = []\nset = \"x\""),
        &[
            "`name` in the team file must be a string, not a whole number",
            "`guards` in the team file must be a table, not a whole number",
            "`run` in the team file must be a table, not a list",
            "`set` in the team file must be a table, not a string",
        ],
    );
    says(
        &with_agent("command = [1, true]\nrole = []\nconcurrency = 1.5\ntools = \"all\""),
        &[
            "`command` in [agents.a] must be a string, not a whole number",
            "`command` in [agents.a] must be a string, not true or false",
            "`role` in [agents.a] must be a string, not a list",
            "`concurrency` in [agents.a] must be a whole number, not a number with a fraction",
            "`tools` in [agents.a] must be a list of tables, not a string",
        ],
    );
    says(
        "agents = 1\n[flow]\npipe = []",
        &[
            "`agents` in the team file must be a table, not a whole number",
            "`pipe` in [flow]: it names no agent",
        ],
    );
}

#[test]
fn a_value_that_its_key_does_not_take_is_refused() {
    says(
        &around(
            "[guards]\nmax_iterations = 0\nmax_messages_per_agent = 5_000_000_000\n\
             max_execution_time = \"10 minutes\"\n[run]\nmax_concurrency = -1\ngrace = \"0s\"",
        ),
        &[
            "`max_iterations` in [guards]: 0 is not a whole number from 1 to 4294967295",
            "`max_messages_per_agent` in [guards]: 5000000000 is not a whole number from 1 to \
             4294967295",
            "`max_execution_time` in [guards]: \"10 minutes\" is not a duration; write a whole \
             number and one of ms, s, m, h, such as \"30s\"",
            "`max_concurrency` in [run]: -1 is not a whole number from 1 to 4294967295",
            "`grace` in [run]: it must be longer than nothing",
        ],
    );
    says(
        &with_agent(
            "command = []\npriority = \"Hihg\"\nrestart = \"sometimes\"\nconcurrency = 0\n\
             settings = { command = [\"x\"], at = 2020-01-01, n = inf }",
        ),
        &[
            "`command` in [agents.a]: it names no program",
            "`priority` in [agents.a]: \"Hihg\" is none of Low, Normal, High, Critical; did you \
             mean \"High\"?",
            "`restart` in [agents.a]: \"sometimes\" is none of never, on_failure, always",
            "`concurrency` in [agents.a]: 0 is not a whole number from 1 to 4294967295",
            "`at` in [agents.a.settings]: a date must be written as a string",
            "`n` in [agents.a.settings]: inf is not a number that can be passed on",
        ],
    );
    says(
        &with_agent("command = [\"x\"]\nsettings = { command = [\"x\"] }"),
        &["`command` in [agents.a]: it is in `settings` as well; keep one"],
    );
}

#[test]
fn a_tool_policy_is_checked() {
    says(
        &with_agent(
            "connector = \"x\"\ntools = [\n{ permission = \"Full\" },\n{ tool = \"t\" },\n\
             { tool = \"t\", permission = \"all\" },\n{ tool = \"u\", permission = \"full\", asks = \
             true },\n{ tool = \"u\", permission = \"read-only\" },\n\"w\"]",
        ),
        &[
            "[agents.a.tools] needs `tool`",
            "[agents.a.tools] needs `permission`",
            "`permission` in [agents.a.tools]: \"all\" is none of Denied, ReadOnly, ReadWrite, Full",
            "unknown key `asks` in [agents.a.tools]; did you mean `ask`?",
            "`tool` in [agents.a.tools]: \"u\" has a policy already",
            "`tools` in [agents.a] must be a table, not a string",
        ],
    );
}

#[test]
fn an_agent_has_a_plain_name() {
    says(
        "[agents.\"a b\"]\nconnector = \"x\"\ntimeout = \"1\"\n[flow]\npipe = [\"a b\"]\n",
        &[
            "`a b` in [agents]: \"a b\" cannot name an agent: use up to 64 letters, digits, `-`, \
             `_` and `.`",
            "`timeout` in [agents.a b]: \"1\" is not a duration; write a whole number and one of \
             ms, s, m, h, such as \"30s\"",
        ],
    );
}

#[test]
fn a_team_has_agents_and_exactly_one_flow() {
    says("", &["the file has no agents", "the file has no flow"]);
    says("[agents]\n[flow]\n", &["the file has no agents", "the file has no flow"]);
    says(
        &with_flow("pipe = [\"reader\"]\nloop = [\"reader\", \"writer\"]"),
        &["a team has one flow; this one has `pipe` and `loop`"],
    );
    says(
        &with_flow("piep = [\"reader\"]"),
        &["unknown key `piep` in [flow]; did you mean `pipe`?"],
    );
}

#[test]
fn a_map_says_what_it_goes_over() {
    says(&with_flow("map = \"reader\"\nreduce = \"writer\""), &["[flow] needs `over`"]);
    says(
        &with_flow("map = \"reader\"\nover = \"line\"\nreduce = \"writr\""),
        &[
            "`over` in [flow]: \"line\" is none of lines, inputs, json; did you mean \"lines\"?",
            "the flow uses agent `writr`, which the file does not have; did you mean `writer`?",
        ],
    );
    says(
        &with_flow("map = []\nover = { split = \"words\", agnet = \"reader\" }"),
        &[
            "`map` in [flow]: it names no agent",
            "`split` in `over` of [flow]: \"words\" is none of lines, json",
            "unknown key `agnet` in `over` of [flow]; did you mean `agent`?",
        ],
    );
}

#[test]
fn a_loop_says_when_it_ends() {
    says(&with_flow("loop = [\"reader\", \"writer\"]"), &["[flow] needs `until`"]);
    says(
        &with_flow("loop = [\"reader\"]\nuntil = { agent = \"reader\", says = \"OK\" }"),
        &["`loop` in [flow]: it needs two agents: who works, and who checks"],
    );
    says(
        &with_flow(
            "loop = [\"reader\", \"writer\"]\nuntil = { agent = \"reader\", says = \"OK\" }",
        ),
        &["`agent` in `until` of [flow]: it must be the second agent of the loop, `writer`"],
    );
    says(
        &with_flow(
            "loop = [\"reader\", \"writer\"]\nuntil = { agent = \"writer\", says = \"…\" }\nat_most = 0",
        ),
        &[
            "`says` in `until` of [flow]: it must be one line with a word in it",
            "`at_most` in [flow]: 0 is not a whole number from 1 to 4294967295",
        ],
    );
}

#[test]
fn a_flow_that_its_guards_can_never_let_through_is_refused() {
    shows(
        "[guards]\nmax_messages_per_agent = 3\n[agents.a]\nconnector = \"x\"\n[agents.b]\n\
         connector = \"x\"\n[flow]\nloop = [\"a\", \"b\"]\nuntil = { agent = \"b\", says = \"OK\" }\n",
        r#"
error: looping up to 5 times needs 5 messages of agent `a`, but guards.max_messages_per_agent is 3: raise it to at least 5
 --> team.toml:2:1
  |
2 | max_messages_per_agent = 3
  | ^^^^^^^^^^^^^^^^^^^^^^

team.toml: 1 error"#,
    );
}

#[test]
fn an_urgent_message_names_an_agent_and_says_something() {
    says(
        &with_flow("pipe = [\"reader\", \"writer\"]\n[[flow.urgent]]\nto = \"reder\"\nafter = 3"),
        &[
            "[[flow.urgent]] needs `content`",
            "the flow uses agent `reder`, which the file does not have; did you mean `reader`?",
            "unknown key `after` in [[flow.urgent]]",
        ],
    );
}

#[test]
fn an_undeclared_variable_is_refused_in_the_file_and_from_outside() {
    says(
        &around("[set]\ntop = 1\n[run]\ngrace = \"${tpo}s\"\n"),
        &["variable `tpo` is not declared in [set]; did you mean `top`?"],
    );
    let problems =
        parse_with(&around("[set]\ntop = 1"), &Sets::new().with("tpo", "2")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "error: variable `tpo` is not declared in [set]; did you mean `top`?\n --> team.toml\n  = \
         hint: only variables of [set] can be set\n\nwarning: nothing uses variable `top`\n --> \
         team.toml:2:1\n  |\n2 | top = 1\n  | ^^^\n\nteam.toml: 1 error, 1 warning"
    );
}

#[test]
fn what_nothing_uses_is_a_warning() {
    let team = parse(&format!(
        "[set]\nspare = 1\n{}\n[agents.idle]\nconnector = \"x\"\n",
        with_flow("pipe = [\"reader\", \"writer\"]")
    ))
    .unwrap();
    assert_eq!(team.warnings.n_errors(), 0);
    assert_eq!(
        team.warnings.to_string(),
        "warning: nothing uses variable `spare`\n --> team.toml:2:1\n  |\n2 | spare = 1\n  | ^^^^^\n\n\
         warning: the flow does not use agent `idle`\n  --> team.toml:10:9\n   |\n10 | \
         [agents.idle]\n   |         ^^^^\n  = hint: it gets messages only if another agent sends it \
         some\n\nteam.toml: 2 warnings"
    );
}

#[test]
fn a_file_without_a_flow_is_told_what_one_looks_like() {
    shows(
        "[agents.a]\nconnector = \"x\"\n[flow]\n",
        r#"
error: the file has no flow
 --> team.toml:3:2
  |
3 | [flow]
  |  ^^^^
  = hint: write pipe = ["a", "b"]; or map = "a", over = "lines", reduce = "b"; or loop = ["a", "b"], until = { agent = "b", says = "APPROVED" }

team.toml: 1 error"#,
    );
}

proptest::proptest! {
    /// Whatever is cut out of a file or put into it: it is a team, or something is said about it.
    #[test]
    fn no_text_breaks_the_reader(
        from in 0..1_500usize,
        length in 0..60usize,
        put in "[\\[\\]{}=\"'.,#\\\\$\n a-z0-9é\u{1}]{0,12}",
    ) {
        let mut text = crate::files::FULL.to_owned();
        let from = text.floor_char_boundary(from.min(text.len()));
        let to = text.floor_char_boundary((from + length).min(text.len()));
        text.replace_range(from..to, &put);
        match parse(&text) {
            Ok(team) => proptest::prop_assert_eq!(team.warnings.n_errors(), 0),
            Err(problems) => {
                proptest::prop_assert!(0 < problems.n_errors());
                let shown = problems.to_string();
                proptest::prop_assert!(!shown.contains('\u{1}'), "{}", shown);
            }
        }
    }
}

#[test]
fn limits_that_are_given_twice_are_told() {
    says(
        &with_agent("command = [\"a\"]\nlimits = { cpu = \"1s\" }\nsettings = { limits = {} }"),
        &["`limits` in [agents.a]: it is in `settings` as well; keep one"],
    );
    says(
        &with_agent("command = [\"a\"]\nlimits = \"1s\""),
        &["`limits` in [agents.a] must be a table, not a string"],
    );
}
