//! Teams under an orchestrator: the flow's messages travel, are tried again, and are given up.

use std::sync::{Arc, Mutex};

use orch_runtime::{
    Connectors, Content, Context, Event, EventKind, Failure, MessagePriority, Observer,
    Orchestrator, Outcome, StopReason, built_in, function,
};
use orch_team::{RunError, Team, TeamOutcome};

use crate::files::parse;

/// Agents `a`, `b` and `c` of connectors with their names, and this flow.
fn team(more: &str, flow: &str) -> Team {
    let agents = ["a", "b", "c"].map(|name| format!("[agents.{name}]\nconnector = \"{name}\"\n"));
    parse(&format!("{}{more}\n[flow]\n{flow}", agents.concat())).unwrap()
}

/// An agent that puts its name around what it is told.
fn echo(name: &'static str) -> impl orch_runtime::Connector {
    function(move |context: Context| async move { format!("{name}({})", context.content()) })
}

fn echoes() -> Connectors {
    Connectors::new().with("a", echo("a")).with("b", echo("b")).with("c", echo("c"))
}

async fn run(team: &Team, connectors: Connectors, inputs: &[&str]) -> TeamOutcome {
    let inputs = inputs.iter().map(|text| Content::from(*text)).collect();
    team.build(connectors).await.unwrap().run(inputs).await.unwrap()
}

#[track_caller]
fn completed(outcome: &TeamOutcome, expected: &str) {
    assert_eq!(outcome.stop_reason, StopReason::Completed);
    assert_eq!(outcome.answer.content, expected);
    assert!(!outcome.answer.partial && outcome.answer.problems.is_empty(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pipe_passes_each_input_through_its_agents() {
    let team = team("", "pipe = ['a', 'b', 'c']");
    completed(&run(&team, echoes(), &["x", "y"]).await, "c(b(a(x)))\nc(b(a(y)))");
    completed(&run(&team, echoes(), &[]).await, "c(b(a()))");
}

#[tokio::test(start_paused = true)]
async fn a_map_reduces_in_the_order_of_its_items() {
    let over = "over = { agent = 'a' }";
    let team = team("concurrency = 4", &format!("map = ['b', 'c']\n{over}\nreduce = 'a'"));
    let lister = function(|context: Context| async move {
        match &**context.content() {
            "list" => "3\n1\n2".to_owned(),
            found => format!("[{found}]"),
        }
    });
    // The first item takes longest.
    let slow = |name: &'static str| {
        function(move |context: Context| async move {
            let millis = context.content().parse::<u64>().unwrap_or(0) * 100;
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            format!("{name}{}", context.content())
        })
    };
    let connectors = Connectors::new().with("a", lister).with("b", slow("b")).with("c", slow("c"));
    completed(&run(&team, connectors, &["list"]).await, "[b3\nc1\nb2]");
}

#[tokio::test(start_paused = true)]
async fn a_loop_ends_with_the_approved_work() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/review-loop/team.toml");
    let team = Team::load(path.as_ref(), &orch_team::Sets::new()).unwrap();
    assert!(team.warnings.is_empty(), "{}", team.warnings);
    let outcome = run(&team, built_in(), &["A haiku about mailboxes"]).await;
    let haiku = "Letters wait in line\nan urgent one walks ahead\nnot a word is lost";
    completed(&outcome, haiku);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_what_is_given_up_is_named() {
    let team = team("", "map = 'a'\nover = 'inputs'\nreduce = 'b'");
    let flaky = function(|context: Context| async move {
        match (&**context.content(), context.attempt()) {
            ("flaky", 1 | 2) => Outcome::from(Failure::transient("not yet")),
            ("broken", _) => Outcome::from(Failure::last("no such thing")),
            (content, attempt) => Outcome::output(format!("{content}@{attempt}")),
        }
    });
    let connectors = Connectors::new().with("a", flaky).with("b", echo("b")).with("c", echo("c"));
    let outcome = run(&team, connectors, &["flaky", "broken", "good"]).await;
    assert_eq!(outcome.stop_reason, StopReason::Completed);
    assert_eq!(outcome.answer.content, "b(flaky@3\ngood@1)");
    assert!(outcome.answer.partial);
    let problems: Vec<_> = outcome.answer.problems.iter().map(ToString::to_string).collect();
    let problem = "`a` gave up on item 2 (broken): it failed in a way that another attempt would \
                   not change: no such thing";
    assert_eq!(problems, [problem]);
}

/// Notes which messages are handed out, in their order.
#[derive(Default)]
struct Priorities(Mutex<Vec<MessagePriority>>);

impl Observer for Priorities {
    fn on_event(&self, event: &Event) {
        if let EventKind::Started { priority, .. } = event.kind {
            self.0.lock().unwrap().push(priority);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_urgent_message_overtakes_what_waits() {
    let urgent = "[[flow.urgent]]\nto = 'a'\ncontent = 'now'\nafter_answers = 2";
    let team = team("", &format!("map = 'a'\nover = 'lines'\n{urgent}"));
    let seen = Arc::new(Priorities::default());
    let orchestrator = Orchestrator::new(Arc::default(), Arc::default())
        .with_connectors(echoes())
        .with_observer(seen.clone());
    let team = team.build_on(orchestrator).await.unwrap();
    let outcome = team.run(vec!["1\n2\n3\n4\n5".into()]).await.unwrap();
    completed(&outcome, "a(1)\na(2)\na(3)\na(4)\na(5)");
    assert_eq!(outcome.answer.urgent[0].content, "a(now)");
    let at = seen.0.lock().unwrap().iter().position(|it| *it == MessagePriority::Critical);
    assert_eq!(at, Some(2), "after two answers, and before what waited");
    assert_eq!(team.progress(), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn an_agent_sends_with_its_priority() {
    let team = team("priority = 'low'", "pipe = ['c', 'a']");
    let seen = Arc::new(Priorities::default());
    let orchestrator = Orchestrator::new(Arc::default(), Arc::default())
        .with_connectors(echoes())
        .with_observer(seen.clone());
    team.build_on(orchestrator).await.unwrap().run(vec!["x".into()]).await.unwrap();
    assert_eq!(*seen.0.lock().unwrap(), [MessagePriority::Normal, MessagePriority::Low]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_short_says_what_there_is() {
    let guards = "[guards]\nmax_execution_time = '1s'\n[run]\ngrace = '100ms'";
    let team = team(guards, "map = 'a'\nover = 'lines'");
    let sometimes = function(|context: Context| async move {
        if &**context.content() == "hang" {
            std::future::pending::<()>().await;
        }
        context.content().to_string()
    });
    let connectors =
        Connectors::new().with("a", sometimes).with("b", echo("b")).with("c", echo("c"));
    let outcome = run(&team, connectors, &["x\nhang\ny"]).await;
    assert_eq!(outcome.stop_reason, StopReason::MaxExecutionTime);
    assert_eq!((&*outcome.answer.content, outcome.answer.partial), ("x", true));
    let problem = outcome.answer.problems[0].to_string();
    assert_eq!(problem, "the flow did not come to its end: 1 message answered, 2 open");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_goes_on_where_it_was() {
    let team = team("", "pipe = ['a', 'b']").build(echoes()).await.unwrap();
    // Dropped at its first await, a run has accepted its input and handled nothing.
    drop(tokio::time::timeout(std::time::Duration::ZERO, team.run(vec!["x".into()])).await);
    let outcome = team.resume().await.unwrap();
    completed(&outcome, "b(a(x))");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_says_why() {
    let list = team("", "map = 'a'\nover = 'lines'").build(echoes()).await.unwrap();
    let error = list.run(vec!["x\n".repeat(60).into()]).await.unwrap_err();
    assert!(matches!(error, RunError::Flow(_)), "{error}");
    assert!(error.to_string().contains("raise it to at least 60"), "{error}");
    completed(&list.run(vec!["x".into()]).await.unwrap(), "a(x)");

    let pipe = team("", "pipe = ['a']").build(echoes()).await.unwrap();
    let error = pipe.run(vec!["x".repeat(17 << 20).into()]).await.unwrap_err();
    assert!(matches!(error, RunError::NotAccepted(_)), "{error}");
}

#[test]
fn every_agent_that_cannot_run_is_named() {
    let team = parse(
        "[agents.a]\nconnector = \"subproces\"\n[agents.b]\ncommand = [\"no-such-program-here\"]\n\
         [agents.b.settings]\ncwd = \"/\"\n[agents.c]\nconnector = \"scripted\"\n\
         settings.steps = [{ done = true }]\n[flow]\npipe = [\"a\", \"b\", \"c\"]\n",
    )
    .unwrap();
    let error = team.check(&built_in()).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(lines[0].starts_with("agent `a` cannot run: connector type `subproces` is unknown"));
    assert!(lines[0].ends_with("; did you mean `subprocess`?"), "{error}");
    assert!(lines[1].starts_with("agent `b` cannot run: program `no-such-program-here` was not"));
}
