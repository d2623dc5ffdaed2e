//! Proptest strategies for the types of `orch-core`: any value that can be built, small enough to
//! be read when a test fails.

use std::sync::{Arc, Mutex, PoisonError};

use orch_core::{
    Access, AgentConfig, AgentId, AgentMessage, AgentRole, AgentStatus, ApprovalId, Content,
    DeadLetterReason, Decision, Event, EventHub, EventKind, LimitReached, MeasuredBy, MessageId,
    MessagePriority, Meter, Observer, PermissionLevel, Reached, Resource, Resources, RestartPolicy,
    Severity, StopReason, Timestamp, ToolCall, ToolPolicy, Usage, mint,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

/// Texts with quotes, line ends, and characters of one to four bytes.
pub fn text() -> impl Strategy<Value = String> {
    "[a-z \"\\\\\n\u{e9}\u{2028}\u{1f980}]{0,12}"
}

/// Any agent, the outside included.
pub fn agent_id() -> impl Strategy<Value = AgentId> + Clone {
    prop_oneof![Just(AgentId::OUTSIDE), any::<u128>().prop_map(|n| AgentId::from_uuid(uuid(n)))]
}

/// Any message's id.
pub fn message_id() -> impl Strategy<Value = MessageId> + Clone {
    any::<u128>().prop_map(|n| MessageId::from_uuid(uuid(n)))
}

/// Any time, the end of time included.
pub fn timestamp() -> impl Strategy<Value = Timestamp> + Clone {
    let at = any::<u32>().prop_map(|millis| Timestamp::from_millis(millis.into()));
    prop_oneof![9 => at, 1 => Just(Timestamp::NEVER)]
}

/// Any priority.
pub fn priority() -> impl Strategy<Value = MessagePriority> + Clone {
    proptest::sample::select(&MessagePriority::MOST_URGENT_FIRST[..])
}

/// JSON values without fractions, which JSON does not keep exactly.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(text(), inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Any agent's configuration.
pub fn agent_config() -> impl Strategy<Value = AgentConfig> {
    let limits = (any::<u32>(), any::<u64>(), 0_u32..4, priority());
    let restart = proptest::sample::select(
        &[RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always][..],
    );
    let settings = btree_map(text(), json(), 0..3);
    let policies = vec(tool_policy(), 0..3);
    (text(), role(), text(), limits, restart, settings, policies).prop_map(
        |(name, role, connector, limits, restart, settings, policies)| {
            let (max_retries, timeout_ms, concurrency, priority) = limits;
            let config = AgentConfig::new(name, role, connector)
                .with_max_retries(max_retries)
                .with_timeout_ms(timeout_ms)
                .with_concurrency(concurrency)
                .with_send_priority(priority)
                .with_restart(restart);
            let config = settings.into_iter().fold(config, |c, (key, v)| c.with_setting(key, v));
            policies.into_iter().fold(config, AgentConfig::with_tool_policy)
        },
    )
}

/// Any role.
pub fn role() -> impl Strategy<Value = AgentRole> {
    prop_oneof![
        Just(AgentRole::Coordinator),
        Just(AgentRole::Worker),
        Just(AgentRole::Reviewer),
        text().prop_map(AgentRole::Custom),
    ]
}

/// Any policy on a tool, whether it can be kept or not.
pub fn tool_policy() -> impl Strategy<Value = ToolPolicy> {
    let level = proptest::sample::select(
        &[
            PermissionLevel::Denied,
            PermissionLevel::ReadOnly,
            PermissionLevel::ReadWrite,
            PermissionLevel::Full,
        ][..],
    );
    let paths = option::of(vec(text(), 0..3));
    (text(), level, option::of(any::<u32>()), paths, any::<bool>()).prop_map(
        |(tool, level, limit, paths, ask)| {
            let mut policy = ToolPolicy::new(tool, level);
            (policy.max_calls_per_hour, policy.allowed_paths, policy.ask) = (limit, paths, ask);
            policy
        },
    )
}

/// Any message that a sender can make, with or without a cause.
pub fn agent_message() -> impl Strategy<Value = AgentMessage> {
    let rare = (
        btree_map(text(), text(), 0..3),
        option::of(message_id()),
        option::of(timestamp()),
        any::<bool>(),
    );
    (agent_id(), agent_id(), text(), priority(), rare).prop_map(
        |(from, to, content, priority, (metadata, correlation, deadline, is_caused))| {
            let message = AgentMessage::new(from, to, content).with_priority(priority);
            let message = metadata.into_iter().fold(message, |m, (k, v)| m.with_metadata(k, v));
            let message = match correlation {
                Some(question) => message.with_correlation(question),
                None => message,
            };
            let message = match deadline {
                Some(deadline) => message.with_deadline(deadline),
                None => message,
            };
            if is_caused { message.copy_to(to).caused_by(&message) } else { message }
        },
    )
}

/// Any event.
pub fn event() -> impl Strategy<Value = Event> {
    (timestamp(), event_kind()).prop_map(|(at, kind)| at_time(at, &kind))
}

/// Anything that can happen.
pub fn event_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![of_agents(), of_messages(), of_attempts(), of_tools(), of_runs()]
}

fn of_agents() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (agent_id(), text(), text(), option::of(agent_id())).prop_map(
            |(agent, name, connector_type, parent)| EventKind::Registered {
                agent,
                name,
                connector_type,
                parent
            }
        ),
        agent_id().prop_map(|agent| EventKind::Unregistered { agent }),
        (agent_id(), status())
            .prop_map(|(agent, status)| EventKind::StatusChanged { agent, status }),
        (agent_id(), text()).prop_map(|(agent, error)| EventKind::AgentFailed { agent, error }),
        (agent_id(), any::<u32>())
            .prop_map(|(agent, restarts)| EventKind::Restarted { agent, restarts }),
        (agent_id(), usage()).prop_map(|(agent, usage)| EventKind::UsageReported { agent, usage }),
        (agent_id(), message_id(), any::<u32>(), resources(), option::of(reached())).prop_map(
            |(agent, message, attempt, resources, reached)| EventKind::ResourcesUsed {
                agent,
                message,
                attempt,
                resources,
                reached
            }
        ),
        (agent_id(), text()).prop_map(|(agent, text)| EventKind::Said { agent, text }),
    ]
}

fn of_messages() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        agent_message().prop_map(|message| EventKind::Accepted { message }),
        (agent_id(), message_id())
            .prop_map(|(agent, message)| EventKind::PutBack { agent, message }),
        (agent_id(), message_id(), reason(), any::<u32>(), option::of(text())).prop_map(
            |(agent, message, reason, attempts, error)| EventKind::DeadLettered {
                agent,
                message,
                reason,
                attempts,
                error
            }
        ),
        (agent_id(), priority()).prop_map(|(to, priority)| EventKind::SendWaiting { to, priority }),
    ]
}

fn of_attempts() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (agent_id(), message_id(), priority(), any::<u32>(), any::<u64>()).prop_map(
            |(agent, message, priority, attempt, round)| EventKind::Started {
                agent,
                message,
                priority,
                attempt,
                round
            }
        ),
        (agent_id(), message_id(), any::<u32>(), option::of(text()), usage(), any::<u64>())
            .prop_map(|(agent, message, attempt, output, usage, handling_ms)| {
                let output = output.map(Content::from);
                EventKind::Settled { agent, message, attempt, output, usage, handling_ms }
            }),
        (agent_id(), message_id(), any::<u32>(), text(), timestamp()).prop_map(
            |(agent, message, attempt, error, retry_at)| EventKind::RetryScheduled {
                agent,
                message,
                attempt,
                error,
                retry_at
            }
        ),
    ]
}

fn of_tools() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        (agent_id(), tool_call(), decision()).prop_map(|(agent, call, decision)| {
            EventKind::ToolDecided { agent, call, decision }
        }),
        (any::<u128>(), agent_id(), tool_call()).prop_map(|(n, agent, call)| {
            EventKind::ApprovalAsked { approval: ApprovalId::from_uuid(uuid(n)), agent, call }
        }),
    ]
}

fn of_runs() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        any::<u64>().prop_map(|run| EventKind::RunStarted { run }),
        (any::<u64>(), stop_reason()).prop_map(|(run, reason)| EventKind::Stopped { run, reason }),
        (text(), any::<u64>(), any::<u64>(), option::of(agent_id())).prop_map(
            |(guard, figure, limit, agent)| EventKind::GuardTripped { guard, figure, limit, agent }
        ),
    ]
}

fn status() -> impl Strategy<Value = AgentStatus> {
    prop_oneof![
        Just(AgentStatus::Idle),
        Just(AgentStatus::Processing),
        Just(AgentStatus::Waiting),
        text().prop_map(|reason| AgentStatus::Failed { reason }),
    ]
}

fn reason() -> impl Strategy<Value = DeadLetterReason> {
    prop_oneof![
        Just(DeadLetterReason::AttemptsExhausted),
        Just(DeadLetterReason::FinalFailure),
        Just(DeadLetterReason::Expired),
        Just(DeadLetterReason::Retired),
        any::<u64>()
            .prop_map(|retry_after_ms| DeadLetterReason::RetryAfterTooLong { retry_after_ms }),
        text().prop_map(|error| DeadLetterReason::Refused { error }),
        text().prop_map(|error| DeadLetterReason::CannotRun { error }),
    ]
}

fn stop_reason() -> impl Strategy<Value = StopReason> {
    prop_oneof![
        Just(StopReason::Completed),
        Just(StopReason::MaxIterations),
        Just(StopReason::MaxExecutionTime),
        Just(StopReason::ManualStop),
        (agent_id(), any::<u32>())
            .prop_map(|(agent_id, count)| StopReason::MaxMessagesPerAgent { agent_id, count }),
        (agent_id(), text())
            .prop_map(|(agent_id, error)| StopReason::AgentError { agent_id, error }),
    ]
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        Just(Decision::Allow),
        (text(), option::of(timestamp()))
            .prop_map(|(reason, possible_at)| Decision::Deny { reason, possible_at }),
        text().prop_map(|reason| Decision::Ask { reason }),
    ]
}

fn tool_call() -> impl Strategy<Value = ToolCall> {
    let access = proptest::sample::select(&[Access::Read, Access::Write, Access::Execute][..]);
    (text(), access, vec(text(), 0..3), json()).prop_map(|(tool, access, paths, arguments)| {
        let call = ToolCall::new(tool, access).with_arguments(arguments);
        paths.into_iter().fold(call, ToolCall::with_path)
    })
}

fn resources() -> impl Strategy<Value = Resources> {
    let meter = prop_oneof![Just(Meter::Nothing), Just(Meter::CgroupV1), Just(Meter::ProcPss)];
    (any::<[u64; 3]>(), meter).prop_map(|([cpu_ms, memory_bytes, processes], memory)| {
        let measured_by = MeasuredBy { memory, ..MeasuredBy::default() };
        Resources::new(cpu_ms, memory_bytes, processes, measured_by)
    })
}

fn reached() -> impl Strategy<Value = LimitReached> {
    let how = prop_oneof![Just(Reached::Nearly), Just(Reached::Refused)];
    (0..Resource::ALL.len(), any::<[u64; 2]>(), how).prop_map(|(at, [figure, limit], how)| {
        LimitReached { resource: Resource::ALL[at], figure, limit, how }
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<[u64; 4]>().prop_map(|[input_tokens, cached_input_tokens, output_tokens, cost]| Usage {
        input_tokens,
        cached_input_tokens,
        output_tokens,
        cost_micro_usd: cost,
    })
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

/// An event as the hub makes it at this time.
fn at_time(at: Timestamp, kind: &EventKind) -> Event {
    struct At(Timestamp);
    impl mint::Source for At {
        fn now_ms(&mut self) -> u64 {
            self.0.as_millis()
        }
        fn random(&mut self) -> u64 {
            0
        }
    }
    #[derive(Default)]
    struct Keep(Mutex<Option<Event>>);
    impl Observer for Keep {
        fn on_event(&self, event: &Event) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.clone());
        }
    }
    let _replaced = mint::replace(At(at));
    let (hub, keep) = (EventHub::new(), Arc::new(Keep::default()));
    hub.add(keep.clone());
    hub.emit(Severity::Debug, || kind.clone());
    let kept = keep.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    kept.expect("a hub tells its observer before it returns")
}
