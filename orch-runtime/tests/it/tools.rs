//! Tool calls: the policy decides, and where it says so, a person.

use std::path::Path;
use std::sync::Arc;

use orch_runtime::*;

use crate::support::{Events, Log, config, ms, orchestrator, run, send};

/// Makes the call that its message holds in JSON, and writes down the decision.
fn caller(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        let log = log.clone();
        async move {
            let call: ToolCall = serde_json::from_str(ctx.content()).expect("a call");
            let decision = ctx.tool(call).await;
            log.push(serde_json::to_string(&decision).unwrap());
        }
    })
}

async fn agent(orchestrator: &Orchestrator, policies: &[ToolPolicy]) -> AgentId {
    let config = config("a", "call");
    let config = policies.iter().cloned().fold(config, AgentConfig::with_tool_policy);
    orchestrator.spawn(config).await.expect("the policies can be kept")
}

async fn call(orchestrator: &Orchestrator, agent: AgentId, call: &ToolCall) {
    send(orchestrator, agent, &serde_json::to_string(call).unwrap()).await;
}

fn decisions(log: &Log) -> Vec<Decision> {
    log.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reason_of(decision: &Decision) -> &str {
    match decision {
        Decision::Deny { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_decides_and_the_decision_is_recorded() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("call", caller(&log));
    let (orchestrator, events) = Events::watch(orchestrator);
    let policy = ToolPolicy::new("search".into(), PermissionLevel::ReadOnly);
    let a = agent(&orchestrator, &[policy]).await;
    for (tool, access) in
        [("search", Access::Read), ("search", Access::Write), ("other", Access::Read)]
    {
        call(&orchestrator, a, &ToolCall::new(tool, access)).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let decisions = decisions(&log);
    let allowed: Vec<bool> = decisions.iter().map(Decision::is_allowed).collect();
    assert_eq!(allowed, [true, false, false]);
    let recorded = events.all(|kind| match kind {
        EventKind::ToolDecided { agent, decision, .. } => Some((*agent, decision.clone())),
        _ => None,
    });
    assert_eq!(recorded, decisions.into_iter().map(|it| (a, it)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_says_when_the_call_is_possible_again() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_loop_guard(LoopGuard::unlimited()).with_connector("call", caller(&log));
    let limited = ToolPolicy::new("search".into(), PermissionLevel::ReadOnly).with_rate_limit(2);
    let a = agent(&orchestrator, &[limited]).await;
    let search = ToolCall::new("search", Access::Read);
    let began = Timestamp::now();
    let later = async {
        for minutes in [0, 10, 10, 39, 1] {
            tokio::time::sleep(ms(minutes * 60_000)).await;
            call(&orchestrator, a, &search).await;
        }
        tokio::time::sleep(ms(1_000)).await;
        orchestrator.stop().await;
    };
    let (reason, ()) = tokio::join!(orchestrator.serve(), later);
    assert_eq!(reason.unwrap(), StopReason::ManualStop);
    let decisions = decisions(&log);
    let allowed: Vec<bool> = decisions.iter().map(Decision::is_allowed).collect();
    assert_eq!(allowed, [true, true, false, false, true], "{decisions:?}");
    match &decisions[2] {
        Decision::Deny { possible_at: Some(at), .. } => {
            let wait = at.since(began);
            assert!((ms(3_600_000)..ms(3_601_000)).contains(&wait), "{wait:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// A link out of the allowed folder leads out of it, whatever its path looks like; and an allowed
/// path that is a link allows what it leads to.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn paths_are_judged_by_where_they_lead() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for name in ["allowed", "secret"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    let link =
        |to: &str, at: &str| std::os::unix::fs::symlink(root.join(to), root.join(at)).unwrap();
    link("secret", "allowed/innocent");
    link("allowed", "alias");
    let text = |path: &Path| path.to_str().unwrap().to_owned();

    let log = Log::default();
    let orchestrator = orchestrator().with_connector("call", caller(&log));
    let policy = ToolPolicy::new("fs".into(), PermissionLevel::ReadWrite)
        .with_allowed_path(text(&root.join("alias")));
    let config = config("a", "call")
        .with_tool_policy(policy)
        .with_setting("cwd", text(&root.join("allowed")));
    let a = orchestrator.spawn(config).await.unwrap();
    let paths = ["notes.txt", "innocent/notes.txt", "../secret/notes.txt", "../alias/notes.txt"];
    for path in paths {
        let write = ToolCall::new("fs", Access::Write).with_path(path);
        call(&orchestrator, a, &write).await;
    }
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let allowed: Vec<bool> = decisions(&log).iter().map(Decision::is_allowed).collect();
    assert_eq!(allowed, [true, false, false, true], "{:?}", decisions(&log));
}

fn asks() -> ToolPolicy {
    ToolPolicy::new("deploy".into(), PermissionLevel::Full).with_ask()
}

fn deploy() -> ToolCall {
    ToolCall::new("deploy", Access::Execute)
}

#[tokio::test(start_paused = true)]
async fn where_a_person_decides_and_there_is_none_it_is_denied() {
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("call", caller(&log));
    let a = agent(&orchestrator, &[asks()]).await;
    call(&orchestrator, a, &deploy()).await;
    assert_eq!(run(&orchestrator).await, StopReason::Completed);
    let decisions = decisions(&log);
    assert!(reason_of(&decisions[0]).ends_with("there is nobody to ask"), "{decisions:?}");
}

/// Runs one call that a person decides on, and `answer` as that person.
async fn decided<F: Future<Output = ()>>(
    answer: impl FnOnce(Arc<Orchestrator>, Approval) -> F,
) -> (Decision, Arc<Orchestrator>) {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_max_concurrency(1)
        .with_approvals(ms(10_000))
        .with_connector("call", caller(&log));
    let (orchestrator, events) = Events::watch(orchestrator);
    let orchestrator = Arc::new(orchestrator);
    let a = agent(&orchestrator, &[asks().with_rate_limit(1)]).await;
    call(&orchestrator, a, &deploy()).await;
    let person = async {
        tokio::time::sleep(ms(1_000)).await;
        let open = orchestrator.approvals();
        assert_eq!(open.len(), 1);
        assert_eq!((open[0].agent, &open[0].call), (a, &deploy()));
        assert_eq!(crate::support::status(&orchestrator, a).await, AgentStatus::Waiting);
        answer(orchestrator.clone(), open[0].clone()).await;
    };
    let (reason, ()) = tokio::join!(run(&orchestrator), person);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(orchestrator.approvals(), []);
    let asked = events.all(|kind| matches!(kind, EventKind::ApprovalAsked { .. }).then_some(()));
    assert_eq!(asked.len(), 1);
    (decisions(&log).remove(0), orchestrator)
}

#[tokio::test(start_paused = true)]
async fn a_person_allows_or_denies_and_the_first_answer_wins() {
    for allow in [true, false] {
        let (decision, orchestrator) = decided(async |orchestrator, approval| {
            let answer =
                |allow| orchestrator.answer_approval(approval.id, &approval.call_hash, allow);
            assert_eq!(answer(allow), Ok(()));
            assert_eq!(answer(!allow), Err(AnswerError::NotOpen(approval.id)));
        })
        .await;
        assert_eq!(decision.is_allowed(), allow, "{decision:?}");
        if !allow {
            assert_eq!(reason_of(&decision), "a person denied it");
        }
        drop(orchestrator);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_call_does_not_count() {
    let (decision, _) = decided(async |orchestrator, approval| {
        let other = orchestrator.answer_approval(approval.id, "0000", true);
        assert_eq!(other, Err(AnswerError::OtherCall { approval: approval.id }));
        let right = orchestrator.answer_approval(approval.id, &approval.call_hash, true);
        assert_eq!(right, Ok(()));
    })
    .await;
    assert!(decision.is_allowed());
}

#[tokio::test(start_paused = true)]
async fn nobodys_answer_is_a_denial() {
    let (decision, orchestrator) = decided(async |orchestrator, approval| {
        tokio::time::sleep(ms(10_000)).await;
        let late = orchestrator.answer_approval(approval.id, &approval.call_hash, true);
        assert_eq!(late, Err(AnswerError::NotOpen(approval.id)));
    })
    .await;
    assert_eq!(reason_of(&decision), "nobody answered within 10000 ms");
    drop(orchestrator);
}

/// The hash is that of the call: another call has another.
#[tokio::test(start_paused = true)]
async fn two_calls_have_two_hashes() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_approvals(ms(1_000)).with_connector("call", caller(&log));
    let config = config("a", "call").with_tool_policy(asks()).with_concurrency(2);
    let a = orchestrator.spawn(config).await.unwrap();
    call(&orchestrator, a, &deploy()).await;
    call(&orchestrator, a, &deploy().with_arguments(serde_json::json!({ "to": "moon" }))).await;
    let look = async {
        tokio::time::sleep(ms(500)).await;
        orchestrator.approvals()
    };
    let (reason, open) = tokio::join!(run(&orchestrator), look);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(open.len(), 2);
    assert_ne!(open[0].call_hash, open[1].call_hash);
    assert!(open.iter().all(|it| it.call_hash.len() == 64));
}

#[tokio::test(start_paused = true)]
async fn a_question_whose_handler_was_cut_off_is_forgotten() {
    let log = Log::default();
    let orchestrator =
        orchestrator().with_approvals(ms(100_000)).with_connector("call", caller(&log));
    let a = agent(&orchestrator, &[asks()]).await;
    call(&orchestrator, a, &deploy()).await;
    let stop = async {
        tokio::time::sleep(ms(10)).await;
        let approval = orchestrator.approvals().remove(0);
        orchestrator.stop_now().await.unwrap();
        assert_eq!(orchestrator.approvals(), []);
        orchestrator.answer_approval(approval.id, &approval.call_hash, true)
    };
    let (reason, answered) = tokio::join!(run(&orchestrator), stop);
    assert_eq!(reason, StopReason::ManualStop);
    assert!(matches!(answered, Err(AnswerError::NotOpen(_))));
}
