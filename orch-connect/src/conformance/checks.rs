//! The checks. Each panics with a sentence that says which rule was broken.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentConfig, AgentId, Content, FailureKind, Outcome};

use super::TestHost;
use crate::{Connector, DynConnector, DynSession, SessionSpec};

/// Longer than any close may take on a machine that is busy with other things.
const CLOSE_MAX: Duration = Duration::from_secs(30);
/// Longer than a short turn takes on such a machine.
const TURN_MAX: Duration = Duration::from_secs(60);

/// What the agent of a [`Subject`] does with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers `[` and the content and `]`, and nothing else.
    Echo,
    /// Fails in a way that may be tried again, with `not now` in the error.
    FailTransiently,
    /// Fails in a way that would happen again, with `never` in the error.
    FailFinally,
    /// Does not answer for a minute. Code that cannot be cut off takes three seconds.
    TakeLong,
}

/// A connector and an agent of it.
pub struct Subject {
    connector: Arc<dyn DynConnector>,
    config: Arc<AgentConfig>,
    leftovers: Box<dyn Fn() -> usize + Send + Sync>,
    in_brackets: bool,
}

impl Subject {
    /// An agent that leaves nothing that could be counted.
    #[must_use]
    pub fn new(connector: impl Connector, config: AgentConfig) -> Self {
        Self {
            connector: Arc::new(connector),
            config: Arc::new(config),
            leftovers: Box::new(|| 0),
            in_brackets: true,
        }
    }

    /// Sets how what is still at work for the agent is counted: processes, threads, handlers.
    #[must_use]
    pub fn counting(mut self, leftovers: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        self.leftovers = Box::new(leftovers);
        self
    }

    /// For an agent that echoes the content without brackets.
    #[must_use]
    pub fn echoing_plainly(mut self) -> Self {
        self.in_brackets = false;
        self
    }

    async fn check_echo(&self, session: &mut Box<dyn DynSession>, content: &str) {
        let expected = if self.in_brackets { format!("[{content}]") } else { content.to_owned() };
        check_answer(session, content, &expected).await;
    }

    async fn open(&self) -> Box<dyn DynSession> {
        self.connector.check(&self.config).expect("the subject's configuration is accepted");
        let spec = SessionSpec::new(AgentId::new(), Arc::clone(&self.config));
        self.connector.open(spec).await.expect("a session of the subject opens")
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("config", &self.config).finish_non_exhaustive()
    }
}

async fn turn(session: &mut Box<dyn DynSession>, content: impl Into<Content>) -> Outcome {
    let context = Arc::new(TestHost::new()).context(content);
    let turn = tokio::time::timeout(TURN_MAX, session.turn(context)).await;
    turn.expect("a turn of a subject that does not take long ends")
}

async fn close(session: Box<dyn DynSession>) {
    let closed = tokio::time::timeout(CLOSE_MAX, session.close()).await;
    assert!(closed.is_ok(), "closing took more than {CLOSE_MAX:?}");
}

async fn check_answer(session: &mut Box<dyn DynSession>, content: &str, expected: &str) {
    let outcome = turn(session, content).await;
    let Outcome::Ack { output: Some(output) } = &outcome else {
        panic!("{} bytes were not answered: {outcome:?}", content.len());
    };
    let first_wrong = output.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
    assert!(
        **output == *expected,
        "{} bytes came back as {}, first different at {first_wrong:?}",
        expected.len(),
        output.len()
    );
}

/// Checks that content reaches the agent, and its answer comes back, byte for byte.
///
/// # Panics
///
/// If the connector breaks the rule.
pub async fn content_survives(subject: impl Fn(Behaviour) -> Subject) {
    let subject = subject(Behaviour::Echo);
    let mut session = subject.open().await;
    let megabyte = "0123456789abcde\n".repeat(1 << 16);
    let awkward = "two\nlines\n\n and\ttabs \"quotes\" \\back 'single' $HOME `x` %s {} </b>\r\n";
    for content in ["plain", "", "\n", awkward, "żółć 漢字 🦀 \u{2028}\u{200f}", &megabyte]
    {
        subject.check_echo(&mut session, content).await;
    }
    assert!(session.is_open(), "a session is open after turns that ended well");
    close(session).await;
}

/// Checks that a failure keeps its kind and says what the agent said.
///
/// # Panics
///
/// If the connector breaks the rule.
pub async fn failures_keep_their_kind(subject: impl Fn(Behaviour) -> Subject) {
    for (behaviour, kind, words) in [
        (Behaviour::FailTransiently, FailureKind::Transient, "not now"),
        (Behaviour::FailFinally, FailureKind::Final, "never"),
    ] {
        let subject = subject(behaviour);
        let mut session = subject.open().await;
        let outcome = turn(&mut session, "try").await;
        let Outcome::Nack(failure) = &outcome else {
            panic!("a failure was acknowledged: {outcome:?}");
        };
        assert_eq!(failure.kind, kind, "the failure changed its kind: {failure:?}");
        assert!(failure.error.contains(words), "`{words}` is missing in {failure:?}");
        close(session).await;
    }
}

/// Checks that after a turn that was cut off, closing leaves nothing, and a new session works.
///
/// # Panics
///
/// If the connector breaks the rule.
pub async fn cut_off_turn_leaves_nothing(subject: impl Fn(Behaviour) -> Subject) {
    let slow = subject(Behaviour::TakeLong);
    let mut session = slow.open().await;
    let context = Arc::new(TestHost::new()).context("wait");
    // The cut is meant to come in the middle; where it does not, the check is weaker and not wrong.
    let cut = tokio::time::timeout(Duration::from_millis(500), session.turn(context)).await;
    assert!(cut.is_err(), "a turn that takes long ended at once: {cut:?}");
    close(session).await;
    let left = (slow.leftovers)();
    assert_eq!(left, 0, "{left} still at work after a cut-off turn and a close");

    let again = subject(Behaviour::Echo);
    let mut session = again.open().await;
    again.check_echo(&mut session, "again").await;
    close(session).await;
    let left = (again.leftovers)();
    assert_eq!(left, 0, "{left} still at work after a turn and a close");
}

/// Checks that closing ends: a session that was never used, and one that was.
///
/// # Panics
///
/// If the connector breaks the rule.
pub async fn closing_is_bounded(subject: impl Fn(Behaviour) -> Subject) {
    for behaviour in [Behaviour::Echo, Behaviour::TakeLong] {
        let subject = subject(behaviour);
        close(subject.open().await).await;
        let left = (subject.leftovers)();
        assert_eq!(left, 0, "{left} still at work after closing a session without a turn");
    }
    let subject = subject(Behaviour::Echo);
    let mut session = subject.open().await;
    subject.check_echo(&mut session, "once").await;
    close(session).await;
}

/// Checks that two sessions at the same time get their own answers.
///
/// # Panics
///
/// If the connector breaks the rule.
pub async fn sessions_do_not_mix(subject: impl Fn(Behaviour) -> Subject) {
    let subject = subject(Behaviour::Echo);
    let (mut a, mut b) = (subject.open().await, subject.open().await);
    for round in 0..5 {
        let (to_a, to_b) = (format!("a{round}"), format!("b{round}"));
        tokio::join!(subject.check_echo(&mut a, &to_a), subject.check_echo(&mut b, &to_b));
    }
    close(a).await;
    subject.check_echo(&mut b, "b is still open").await;
    close(b).await;
}
