//! SPEC.md's snippets, run verbatim, and its type listings, compared with the types.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;

use orch_runtime::{
    AgentMetadata, AgentRegistry, AgentRole, AgentStatus, LoopGuard, MessageBus, MessagePriority,
    Orchestrator, OrchestratorMetrics, PermissionLevel, Scripted, StopReason,
};
use serde_json::{Map, Value, json};

const SPEC: &str = include_str!("../spec/SPEC.md");
const THIS: &str = include_str!("spec.rs");

type Tried = Result<(), Box<dyn Error>>;

/// The connectors that the snippets name.
fn with_connectors(orchestrator: Orchestrator) -> Orchestrator {
    let says = |text: &str| Scripted::new().reply(text).repeat_last();
    orchestrator
        .with_connector("claude_code", says("a plan"))
        .with_connector("codex_cli", says("some code"))
        .with_connector("ollama", says("a summary"))
}

#[tokio::test(start_paused = true)]
#[rustfmt::skip]
async fn basic_setup_runs() -> Tried {
    // begin: ### Basic Setup
    use orch_runtime::*;
    use std::sync::Arc;

    // Create registry and message bus
    let registry = Arc::new(AgentRegistry::new());
    let bus = Arc::new(MessageBus::new());

    // Register agents
    let config = AgentConfig::new(
        "worker-1".to_string(),
        AgentRole::Worker,
        "claude_code".to_string(),
    );
    let agent_id = registry.register(config).await;

    // Create mailbox
    bus.create_mailbox(agent_id).await;

    // Create orchestrator with custom guards
    let orchestrator = Orchestrator::new(registry, bus)
        .with_loop_guard(LoopGuard {
            max_iterations: 100,
            max_messages_per_agent: 50,
            max_execution_time_ms: 300000,
        });

    // Start orchestration
    let stop_reason = orchestrator.start().await?;
    // end
    assert_eq!(stop_reason, StopReason::Completed);
    Ok(())
}

/// SPEC: Multi-agent coordination
#[tokio::test(start_paused = true)]
#[rustfmt::skip]
async fn multi_agent_coordination_runs() -> Tried {
    use orch_runtime::*;
    let registry = Arc::new(AgentRegistry::new());
    let bus = Arc::new(MessageBus::new());
    let orchestrator = with_connectors(Orchestrator::new(registry.clone(), bus.clone()));
    // begin: ### Multi-Agent Coordination
    // Create multiple agents
    let coordinator = registry.register(
        AgentConfig::new("coordinator".to_string(), AgentRole::Coordinator, "claude_code".to_string())
    ).await;

    let worker1 = registry.register(
        AgentConfig::new("worker-1".to_string(), AgentRole::Worker, "codex_cli".to_string())
    ).await;

    let worker2 = registry.register(
        AgentConfig::new("worker-2".to_string(), AgentRole::Worker, "ollama".to_string())
    ).await;

    // Create mailboxes
    bus.create_mailbox(coordinator).await;
    bus.create_mailbox(worker1).await;
    bus.create_mailbox(worker2).await;

    // Coordinator sends tasks
    let task1 = AgentMessage::new(coordinator, worker1, "Task 1".to_string());
    let task2 = AgentMessage::new(coordinator, worker2, "Task 2".to_string());

    bus.send(task1).await?;
    bus.send(task2).await?;

    // Start orchestration
    orchestrator.start().await?;
    // end
    let metrics = orchestrator.metrics().await;
    assert_eq!(metrics.messages_per_agent, [(worker1, 1), (worker2, 1)].into());
    assert_eq!(metrics.queue_depth, 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
#[rustfmt::skip]
async fn broadcasting_runs() -> Tried {
    use orch_runtime::*;
    let bus = Arc::new(MessageBus::new());
    let (sender_id, others) = (AgentId::new(), [AgentId::new(), AgentId::new()]);
    bus.create_mailbox(sender_id).await;
    for other in others {
        bus.create_mailbox(other).await;
    }
    // begin: ### Broadcasting
    // Send message to all agents except sender
    let broadcast_msg = AgentMessage::new(
        sender_id,
        sender_id, // to field is overwritten
        "Broadcast message".to_string()
    );

    let recipients = bus.broadcast(broadcast_msg).await;
    // end
    assert_eq!(recipients, 2);
    for other in others {
        let message = bus.mailbox(other).unwrap().try_recv().unwrap();
        assert_eq!((message.to(), message.content().as_str()), (other, "Broadcast message"));
    }
    assert!(bus.mailbox(sender_id).unwrap().is_empty());
    Ok(())
}

/// SPEC: Metrics tracking
#[tokio::test(start_paused = true)]
#[rustfmt::skip]
async fn accessing_metrics_runs() -> Tried {
    let registry = Arc::new(AgentRegistry::new());
    let orchestrator = with_connectors(Orchestrator::new(registry, Arc::new(MessageBus::new())));
    let flaky = Scripted::new().fail("busy").reply("done");
    let orchestrator = orchestrator.with_connector("flaky", flaky);
    let agent = crate::support::spawn(&orchestrator, "a", "flaky").await;
    crate::support::send(&orchestrator, agent, "go").await;
    orchestrator.start().await?;
    // begin: ### Accessing Metrics
    let metrics = orchestrator.metrics().await;

    println!("Processed {} messages", metrics.total_messages);
    println!("Queue depth: {}", metrics.queue_depth);
    println!("Retries: {}", metrics.retry_count);
    // end
    assert_eq!((metrics.total_messages, metrics.queue_depth, metrics.retry_count), (1, 0, 1));
    assert_eq!((metrics.error_count, metrics.total_iterations), (1, 1));
    assert_eq!(metrics.messages_per_agent, [(agent, 1)].into());
    Ok(())
}

#[test]
#[rustfmt::skip]
fn the_tool_policy_of_the_spec_is_built() {
    use orch_runtime::*;
    // begin: ## Tool Policy (Stubs)
    let policy = ToolPolicy::new("file_system".to_string(), PermissionLevel::ReadWrite)
        .with_rate_limit(100); // Max 100 calls per hour
    // end
    assert_eq!((policy.tool_name.as_str(), policy.max_calls_per_hour), ("file_system", Some(100)));
    assert_eq!(policy.permission, PermissionLevel::ReadWrite);
}

#[test]
#[rustfmt::skip]
fn a_message_of_the_spec_is_created() {
    use orch_runtime::*;
    let (from_agent, to_agent) = (AgentId::new(), AgentId::new());
    // begin: ### Creating Messages
    let message = AgentMessage::new(from_agent, to_agent, "content".to_string())
        .with_priority(MessagePriority::High);
    // end
    assert_eq!((message.from(), message.to()), (from_agent, to_agent));
    assert_eq!((message.content().as_str(), message.priority()), ("content", MessagePriority::High));
}

/// The code blocks under a heading of SPEC.md.
fn blocks_under(heading: &str) -> Vec<&'static str> {
    let start = SPEC.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = &SPEC[start + heading.len()..];
    let end = section.find("\n#").unwrap_or(section.len());
    section[..end].split("```rust\n").skip(1).filter_map(|it| it.split("```").next()).collect()
}

/// The lines that mean something.
fn normalised(code: &str) -> Vec<String> {
    let lines =
        code.lines().map(|line| line.trim().replace("agent_manager::runtime", "orch_runtime"));
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_snippets_above_are_those_of_the_spec() {
    let snippets: Vec<(&str, &str)> = THIS
        // Concatenated, so that it does not find itself.
        .split(concat!("    // ", "begin: "))
        .skip(1)
        .filter_map(|rest| rest.split(concat!("    // ", "end\n")).next()?.split_once('\n'))
        .collect();
    assert_eq!(snippets.len(), 6, "a snippet was lost");
    for (heading, here) in snippets {
        let in_spec: Vec<String> = blocks_under(heading).into_iter().flat_map(normalised).collect();
        // Where a listing comes first, the snippet is what follows it.
        let listing = in_spec.iter().position(|line| line == "}").map_or(0, |end| end + 1);
        let is_listing = in_spec[0].starts_with("pub ");
        let snippet = if is_listing { &in_spec[listing..] } else { &in_spec[..] };
        assert_eq!(normalised(here), snippet, "{heading}");
    }
}

/// A variant or field of a listing: its name and what stands behind it.
fn members(listing: &str) -> Vec<(String, String)> {
    let body = listing.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
    let lines = body.lines().map(|line| line.split("//").next().unwrap_or_default());
    let lines = lines.map(|line| line.trim().trim_end_matches(',')).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let line = line.trim_start_matches("pub ");
            let name = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            (name.to_owned(), line[name.len()..].trim().to_owned())
        })
        .collect()
}

/// The listing of a type in SPEC.md.
fn listing(kind: &str, name: &str) -> Vec<(String, String)> {
    let start = SPEC.find(&format!("pub {kind} {name} {{")).unwrap_or_else(|| panic!("no {name}"));
    let end = SPEC[start..].find("\n}").unwrap() + 2;
    members(&SPEC[start..start + end])
}

/// Some value of a field, by its type or, where SPEC.md gives none, by its name.
fn sample(field: &str) -> Value {
    match field.split_once(':').map_or(field, |(_, kind)| kind).trim() {
        "String" | "error" => json!("x"),
        "u32" | "u64" | "usize" | "count" => json!(7),
        "agent_id" => json!("00000000-0000-0000-0000-000000000007"),
        "HashMap<AgentId, u32>" => json!({ "00000000-0000-0000-0000-000000000007": 7 }),
        other => panic!("no sample of `{other}`"),
    }
}

/// A variant of SPEC.md in JSON.
fn variant(name: &str, rest: &str) -> Value {
    if let Some(inner) = rest.strip_prefix('(') {
        return json!({ name: sample(inner.trim_end_matches(')')) });
    }
    let Some(inner) = rest.strip_prefix('{') else { return json!(name) };
    let fields = inner.trim_end_matches('}').split(',').map(str::trim);
    let fields: Map<String, Value> =
        fields.map(|field| (field.split(':').next().unwrap().to_owned(), sample(field))).collect();
    json!({ name: fields })
}

/// Checks that our enum has the variants of SPEC.md with their fields, and no others.
fn check_enum<T: serde::Serialize + serde::de::DeserializeOwned>(name: &str, extra: &[&str]) {
    let listed = listing("enum", name);
    for (variant_name, rest) in &listed {
        let value = variant(variant_name, rest.split('=').next().unwrap().trim());
        let ours: T = serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{name}::{variant_name}: {error}"));
        assert_eq!(serde_json::to_value(&ours).unwrap(), value, "{name}::{variant_name}");
    }
    // What serde says of a variant that there is not names all that there are.
    let error = serde_json::from_value::<T>(json!("no such variant")).err().unwrap().to_string();
    let ours: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    let spec = listed.iter().map(|(name, _)| name.as_str());
    assert_eq!(ours, spec.chain(extra.iter().copied()).collect(), "{name}: {error}");
}

/// Checks that our struct has the fields of SPEC.md, and beside them exactly those in `extra`.
fn check_struct<T: serde::Serialize + serde::de::DeserializeOwned>(name: &str, extra: &[&str]) {
    let listed = listing("struct", name);
    let value: Map<String, Value> =
        listed.iter().map(|(field, kind)| (field.clone(), sample(kind))).collect();
    let ours: T = serde_json::from_value(Value::Object(value.clone())).unwrap();
    let ours = serde_json::to_value(&ours).unwrap();
    let fields: BTreeSet<&str> = ours.as_object().unwrap().keys().map(String::as_str).collect();
    let spec = listed.iter().map(|(field, _)| field.as_str());
    assert_eq!(fields, spec.chain(extra.iter().copied()).collect(), "{name}");
    for (field, value) in value {
        assert_eq!(ours[&field], value, "{name}::{field}");
    }
}

#[test]
fn the_enums_have_the_variants_of_the_spec() {
    check_enum::<AgentRole>("AgentRole", &[]);
    check_enum::<AgentStatus>("AgentStatus", &[]);
    check_enum::<MessagePriority>("MessagePriority", &[]);
    check_enum::<StopReason>("StopReason", &["JournalFailed"]);
    check_enum::<PermissionLevel>("PermissionLevel", &[]);
}

#[test]
fn the_structs_have_the_fields_of_the_spec() {
    check_struct::<LoopGuard>("LoopGuard", &[]);
    // DESIGN §10 adds these.
    let added = [
        "queue_depth_by_priority",
        "in_flight",
        "dead_letter_count",
        "wait_time",
        "handling_time",
        "usage",
        "usage_per_agent",
    ];
    check_struct::<OrchestratorMetrics>("OrchestratorMetrics", &added);
}

#[test]
fn the_priorities_have_the_numbers_of_the_spec() {
    for (name, rest) in listing("enum", "MessagePriority") {
        let ours: MessagePriority = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(format!("= {}", ours as u8), rest, "{name}");
    }
}

/// The object that SPEC.md's page gives to a command, made JSON.
fn object_of(command: &str) -> Value {
    let call = SPEC.split_once(&format!("invoke('{command}', ")).unwrap().1;
    let object = call.split_once(")\n").unwrap().0.replace('\'', "\"");
    let mut json = String::new();
    for line in object.lines() {
        match line.trim().split_once(": ") {
            Some((key, value)) => json.push_str(&format!("\"{key}\": {value}")),
            None => json.push_str(line.trim()),
        }
    }
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[tokio::test]
async fn the_config_of_the_register_command_is_an_agent() {
    let form = &object_of("register_agent")["request"]["config"];
    let config: orch_runtime::AgentConfig = serde_json::from_value(form.clone()).unwrap();
    assert_eq!((config.name.as_str(), &config.role), ("worker-1", &AgentRole::Worker));
    assert_eq!((config.max_retries, config.timeout_ms), (3, 300_000));
    let back = serde_json::to_value(&config).unwrap();
    for (key, value) in form.as_object().unwrap() {
        assert_eq!(&back[key], value, "{key}");
    }
    let custom: AgentRole = serde_json::from_value(json!({ "Custom": "planner" })).unwrap();
    assert_eq!(custom, AgentRole::Custom("planner".into()));

    let registry = AgentRegistry::new();
    let agent = registry.register(config.clone()).await;
    let known: AgentMetadata = registry.get(agent).await.unwrap();
    assert_eq!((known.id, known.config, known.status), (agent, config, AgentStatus::Idle));
}

#[test]
fn the_guards_of_the_create_command_are_a_loop_guard() {
    let guard: LoopGuard =
        serde_json::from_value(object_of("create_orchestrator")["request"].clone()).unwrap();
    assert_eq!(guard, LoopGuard::default(), "SPEC.md's page gives the defaults");
}

/// The lines of SPEC.md that promise something a test can hold.
fn promises() -> Vec<String> {
    let sections = ["## Testing", "## Observability", "## Safety Features"];
    let mut promises = Vec::new();
    for section in sections {
        let text = SPEC.split_once(&format!("{section}\n")).unwrap().1;
        let text = text.split("\n## ").next().unwrap();
        let text = text.rsplit("Test coverage includes:").next().unwrap();
        for line in text.lines().map(|line| line.trim_start_matches("// ").trim()) {
            let is_prose = line.ends_with(':') && line != "Logged automatically:";
            if let Some(bullet) = line.strip_prefix("- ") {
                promises.push(bullet.replace("**", ""));
            } else if is_prose {
                promises.push(line.to_owned());
            }
        }
    }
    promises
}

#[test]
fn each_promise_of_the_spec_is_named_by_a_test() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let sources: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let promises = promises();
    assert_eq!(promises.len(), 28, "SPEC.md has changed, or is not understood: {promises:#?}");
    for promise in promises {
        let named = sources.contains(&format!("/// SPEC: {promise}\n"));
        assert!(named, "no test names the promise `{promise}`");
    }
}
