//! Counters survive a restart.

use orch_core::{Access, PermissionLevel, ToolCall, ToolPolicy};
use orch_policy::{PolicyEngine, RateCounters};
use proptest::collection::vec;

use crate::planted::holds;
use crate::some::{HOUR, MINUTE, at, call, engine, policies, resolved};

fn limited() -> Vec<ToolPolicy> {
    vec![ToolPolicy::new("fs".to_owned(), PermissionLevel::ReadOnly).with_rate_limit(1)]
}

#[test]
fn a_restart_through_json_changes_no_decision() {
    holds((policies(), vec((0..40_u64, call()), 0..20), 0..20_usize), |(policies, calls, cut)| {
        let ((mut kept, agent), (mut restarted, _)) = (engine(policies), engine(policies));
        let mut now = 0;
        for (index, (minutes, call)) in calls.iter().enumerate() {
            now += minutes * MINUTE;
            if index == *cut {
                restarted = restart(&restarted, policies);
            }
            let paths = resolved(call);
            let expected = kept.decide(at(now), agent, call, &paths);
            let decision = restarted.decide(at(now), agent, call, &paths);
            if decision != expected {
                return Err(format!("{decision:?} in place of {expected:?}"));
            }
        }
        Ok(())
    });
}

fn restart(before: &PolicyEngine, policies: &[ToolPolicy]) -> PolicyEngine {
    let json = serde_json::to_string(&before.counters()).expect("counters are JSON");
    let mut after = engine(policies).0;
    after.import(serde_json::from_str(&json).expect("the JSON is counters"));
    after
}

#[test]
fn counters_may_come_before_the_policies_and_in_any_order() {
    let json = format!(
        r#"[{{"agent":"00000000-0000-0000-0000-000000000000","policy":"fs","granted_at":[{},5]}}]"#,
        2 * MINUTE
    );
    let counters: RateCounters = serde_json::from_str(&json).expect("the JSON is counters");
    let (mut engine, agent) = (PolicyEngine::new(), orch_core::AgentId::OUTSIDE);
    engine.import(counters);
    engine.set_policies(agent, limited()).expect("the policy can be kept");
    let call = ToolCall::new("fs", Access::Read);
    let mut allowed = |now| engine.decide(at(now), agent, &call, &[]).is_allowed();
    assert!(!allowed(HOUR + 5));
    assert!(allowed(HOUR + 2 * MINUTE));
}

#[test]
fn imported_grants_add_to_those_that_are_counted() {
    let call = ToolCall::new("fs", Access::Read);
    let (mut before, agent) = engine(&limited());
    assert!(before.decide(at(MINUTE), agent, &call, &[]).is_allowed());
    let (mut after, _) = engine(&limited());
    assert!(after.decide(at(2 * MINUTE), agent, &call, &[]).is_allowed());
    after.import(before.counters());
    assert!(!after.decide(at(HOUR + MINUTE), agent, &call, &[]).is_allowed());
    assert!(after.decide(at(HOUR + 2 * MINUTE), agent, &call, &[]).is_allowed());
}
