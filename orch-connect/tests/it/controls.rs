//! Planted bugs: each check of the conformance suite has to fail on a connector that breaks its
//! rule.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use orch_connect::conformance::{self, Behaviour, Subject};
use orch_connect::{ConnectError, Connector, Context, Session, SessionSpec};
use orch_core::{AgentConfig, Content, Failure, Outcome};
use tokio::task::JoinSet;

use crate::support::config;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    TrimsContent,
    AllFailuresAreTransient,
    LeavesWorkBehind,
    WorksOnlyOnce,
    ClosesNever,
    MixesSessions,
}

struct Buggy {
    bug: Bug,
    behaviour: Behaviour,
    left: Arc<AtomicUsize>,
    /// What the last session was given, where sessions mix.
    shared: Arc<Mutex<Content>>,
}

struct BuggySession {
    bug: Bug,
    behaviour: Behaviour,
    left: Arc<AtomicUsize>,
    shared: Arc<Mutex<Content>>,
}

impl Connector for Buggy {
    type Session = BuggySession;

    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn open(&self, _spec: SessionSpec) -> Result<BuggySession, ConnectError> {
        let (left, shared) = (Arc::clone(&self.left), Arc::clone(&self.shared));
        Ok(BuggySession { bug: self.bug, behaviour: self.behaviour, left, shared })
    }
}

impl Session for BuggySession {
    async fn turn(&mut self, context: Context) -> Outcome {
        *self.shared.lock().expect("no test panics with it") = context.content().clone();
        tokio::task::yield_now().await;
        let mut content = context.content().clone();
        match (self.behaviour, self.bug) {
            (Behaviour::FailFinally, Bug::AllFailuresAreTransient)
            | (Behaviour::FailTransiently, _) => {
                return Failure::transient("not now, never").into();
            }
            (Behaviour::FailFinally, _) => return Failure::last("never").into(),
            (Behaviour::TakeLong, _) => {
                self.left.fetch_add(1, Ordering::SeqCst);
                return std::future::pending().await;
            }
            (_, Bug::TrimsContent) => content = content.trim().into(),
            (_, Bug::MixesSessions) => content = self.shared.lock().expect("as above").clone(),
            (_, Bug::WorksOnlyOnce) if content == "again" => {
                return Failure::last("used up").into();
            }
            _ => {}
        }
        Outcome::output(format!("[{content}]"))
    }

    async fn close(self) {
        match self.bug {
            Bug::LeavesWorkBehind => {}
            Bug::ClosesNever => std::future::pending().await,
            _ => self.left.store(0, Ordering::SeqCst),
        }
    }
}

fn subject(bug: Bug) -> impl Fn(Behaviour) -> Subject {
    move |behaviour| {
        let left = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&left);
        let connector = Buggy { bug, behaviour, left, shared: Arc::default() };
        Subject::new(connector, config("buggy")).counting(move || count.load(Ordering::SeqCst))
    }
}

/// Checks that a check panics, and with which words.
async fn goes_red(check: impl Future<Output = ()> + Send + 'static, words: &str) {
    let mut tasks = JoinSet::new();
    tasks.spawn(check);
    let ended = tasks.join_next().await.expect("one task");
    let panicked = ended.expect_err("the planted bug was not found").into_panic();
    let text = panicked.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains(words), "it was found for another reason: {text}");
}

#[tokio::test(start_paused = true)]
async fn each_check_finds_its_planted_bug() {
    goes_red(conformance::content_survives(subject(Bug::TrimsContent)), "came back as").await;
    let kinds = conformance::failures_keep_their_kind(subject(Bug::AllFailuresAreTransient));
    goes_red(kinds, "changed its kind").await;
    let left = conformance::cut_off_turn_leaves_nothing(subject(Bug::LeavesWorkBehind));
    goes_red(left, "1 still at work").await;
    let once = conformance::cut_off_turn_leaves_nothing(subject(Bug::WorksOnlyOnce));
    goes_red(once, "were not answered").await;
    goes_red(conformance::closing_is_bounded(subject(Bug::ClosesNever)), "closing took").await;
    goes_red(conformance::sessions_do_not_mix(subject(Bug::MixesSessions)), "came back as").await;
}

#[tokio::test(start_paused = true)]
async fn without_a_planted_bug_no_check_finds_one() {
    conformance::content_survives(subject(Bug::None)).await;
    conformance::failures_keep_their_kind(subject(Bug::None)).await;
    conformance::cut_off_turn_leaves_nothing(subject(Bug::None)).await;
    conformance::closing_is_bounded(subject(Bug::None)).await;
    conformance::sessions_do_not_mix(subject(Bug::None)).await;
}
