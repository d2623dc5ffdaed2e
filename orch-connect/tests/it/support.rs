//! What several tests use.

use std::sync::Arc;
use std::time::Duration;

use orch_connect::conformance::TestHost;
use orch_connect::{Connector, Context, Session, SessionSpec};
use orch_core::{AgentConfig, AgentId, AgentRole, Content, Failure, FailureKind, Outcome};

/// Longer than anything takes here on a machine that is busy with other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn config(connector_type: &str) -> AgentConfig {
    AgentConfig::new("subject".into(), AgentRole::Worker, connector_type.into())
}

pub(crate) async fn open<C: Connector>(connector: &C, config: AgentConfig) -> C::Session {
    connector.check(&config).expect("the configuration is accepted");
    let spec = SessionSpec::new(AgentId::new(), Arc::new(config));
    connector.open(spec).await.expect("the session opens")
}

/// One turn with a host that records nothing of interest.
pub(crate) async fn turn(session: &mut impl Session, content: impl Into<Content>) -> Outcome {
    turn_with(session, Arc::new(TestHost::new()).context(content)).await
}

pub(crate) async fn turn_with(session: &mut impl Session, context: Context) -> Outcome {
    tokio::time::timeout(LIMIT, session.turn(context)).await.expect("the turn ends")
}

pub(crate) async fn close(session: impl Session) {
    tokio::time::timeout(LIMIT, session.close()).await.expect("closing ends");
}

#[track_caller]
pub(crate) fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Nack(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}

/// Checks the kind of a failure, and that its error has these words.
#[track_caller]
pub(crate) fn fails(outcome: Outcome, kind: FailureKind, words: &[&str]) {
    let failure = failure(outcome);
    assert_eq!(failure.kind, kind, "{failure:?}");
    for word in words {
        assert!(failure.error.contains(word), "`{word}` is missing in {failure:?}");
    }
}
