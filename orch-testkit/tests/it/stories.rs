//! Bugs that the simulation found, made small.

use std::sync::Arc;
use std::time::Duration;

use orch_runtime::*;
use tokio::time::{sleep, timeout};

fn orchestrator() -> Orchestrator {
    Orchestrator::new(Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()))
}

fn message(to: AgentId, content: &str) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, content)
}

/// Seen as seeds 52, 62 and 95: an agent with two messages in hand failed over the first, and then
/// the second was to be tried again. It stood between two attempts of an agent that takes nothing
/// any more, and the run waited for it for ever. Forbidden by `Invariant::EveryRunEnds`.
#[tokio::test(start_paused = true)]
async fn a_retry_of_an_agent_that_has_failed_meanwhile_keeps_no_run_from_ending() {
    let orchestrator = orchestrator().with_connector(
        "fails",
        function(|ctx: Context| async move {
            if ctx.content() == "first" {
                sleep(Duration::from_millis(5)).await;
                return Err::<(), _>(Failure::last("for good"));
            }
            sleep(Duration::from_millis(10)).await;
            Err(Failure::transient("for now"))
        }),
    );
    let config = AgentConfig::new("a".into(), AgentRole::Worker, "fails".into());
    let agent = orchestrator.spawn(config.with_concurrency(2)).await.unwrap();
    orchestrator.send(message(agent, "first")).await.unwrap();
    orchestrator.send(message(agent, "second")).await.unwrap();

    let ended = timeout(Duration::from_hours(1), orchestrator.start()).await;
    let reason = ended.expect("the run ends").unwrap();
    assert_eq!(reason, StopReason::AgentError { agent_id: agent, error: "for good".into() });
    // Nothing is lost: the second one waits for another chance of its agent.
    assert_eq!(orchestrator.bus().mailbox(agent).unwrap().len(), 1);
}
