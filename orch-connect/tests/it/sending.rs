//! How a context sends: at once where the host can, and through a future only where it has to wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orch_connect::{BoxFuture, Context, Host, HostError, Idempotent, ToolBegun, ToolEnd, Turn};
use orch_core::{
    AgentConfig, AgentId, AgentMessage, Content, Decision, MessageId, MessagePriority, StepKey,
    ToolCall, Usage,
};

/// What a send that is tried at once comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AtOnce {
    Accepted,
    Refused,
    HasToWait,
}

/// Sends, and can do nothing else.
struct Sends {
    agent: AgentId,
    at_once: AtOnce,
    /// What was accepted, at once or after a wait.
    accepted: Mutex<Vec<AgentMessage>>,
    n_tried: AtomicUsize,
    n_waited: AtomicUsize,
}

impl Sends {
    fn new(at_once: AtOnce) -> Self {
        Self {
            agent: AgentId::new(),
            at_once,
            accepted: Mutex::default(),
            n_tried: AtomicUsize::new(0),
            n_waited: AtomicUsize::new(0),
        }
    }

    fn turn(at_once: AtOnce) -> Arc<Turn<Self>> {
        let host = Self::new(at_once);
        let handled = AgentMessage::new(AgentId::OUTSIDE, host.agent, "go");
        Arc::new(Turn::new(host, handled, 1))
    }

    fn accept(&self, message: AgentMessage) -> Result<MessageId, HostError> {
        let id = message.id();
        self.accepted.lock().expect("no test panics while it holds this").push(message);
        Ok(id)
    }

    /// Sends that were tried at once, and futures that were asked for.
    fn counts(&self) -> (usize, usize) {
        (self.n_tried.load(Ordering::Relaxed), self.n_waited.load(Ordering::Relaxed))
    }
}

impl Host for Sends {
    fn agent(&self) -> AgentId {
        self.agent
    }

    fn send_priority(&self) -> MessagePriority {
        MessagePriority::High
    }

    fn send(&self, message: AgentMessage) -> BoxFuture<'_, Result<MessageId, HostError>> {
        self.n_waited.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.accept(message)
        })
    }

    fn send_now(
        &self,
        message: AgentMessage,
    ) -> Result<Result<MessageId, HostError>, AgentMessage> {
        self.n_tried.fetch_add(1, Ordering::Relaxed);
        match self.at_once {
            AtOnce::Accepted => Ok(self.accept(message)),
            AtOnce::Refused => Ok(Err(HostError::Over)),
            AtOnce::HasToWait => Err(message),
        }
    }

    fn find(&self, _: &str) -> Option<AgentId> {
        unreachable!()
    }

    fn ask(&self, _: AgentMessage, _: Duration) -> BoxFuture<'_, Result<Content, HostError>> {
        unreachable!()
    }

    fn broadcast(&self, _: AgentMessage) -> BoxFuture<'_, usize> {
        unreachable!()
    }

    fn publish<'a>(&'a self, _: &'a str, _: AgentMessage) -> BoxFuture<'a, usize> {
        unreachable!()
    }

    fn spawn(&self, _: AgentConfig) -> BoxFuture<'_, Result<AgentId, HostError>> {
        unreachable!()
    }

    fn retire(&self, _: AgentId) -> BoxFuture<'_, Result<(), HostError>> {
        unreachable!()
    }

    fn tool(&self, _: ToolCall) -> BoxFuture<'_, Decision> {
        unreachable!()
    }

    fn begin_tool(
        &self,
        _: ToolCall,
        _: Idempotent,
    ) -> BoxFuture<'_, Result<ToolBegun, HostError>> {
        unreachable!()
    }

    fn end_tool(&self, _: StepKey, _: ToolEnd) -> BoxFuture<'_, Result<(), HostError>> {
        unreachable!()
    }

    fn report_usage(&self, _: Usage) {}

    fn say(&self, _: &str) {}

    fn is_stopping(&self) -> bool {
        false
    }

    fn stopping(&self) -> BoxFuture<'_, ()> {
        unreachable!()
    }
}

/// Sends twice, once in each way.
async fn sends(at_once: AtOnce) -> (Vec<Result<(), HostError>>, Arc<Turn<Sends>>) {
    let turn = Sends::turn(at_once);
    let (context, to) = (Context::of(turn.clone()), AgentId::new());
    let sent = context.send(to, "a").await;
    let message = context.message_to(to, "b");
    let id = message.id();
    let sent_message = context.send_message(message).await;
    if let Ok(sent) = &sent_message {
        assert_eq!(*sent, id);
    }
    (vec![sent.map(drop), sent_message.map(drop)], turn)
}

#[tokio::test]
async fn what_is_accepted_at_once_asks_for_no_future() {
    let (sent, turn) = sends(AtOnce::Accepted).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(turn.host().counts(), (2, 0));
    assert_eq!(turn.host().accepted.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_refused_at_once_is_not_sent_again() {
    let (sent, turn) = sends(AtOnce::Refused).await;
    assert!(sent.iter().all(|sent| matches!(sent, Err(HostError::Over))), "{sent:?}");
    assert_eq!(turn.host().counts(), (2, 0));
}

#[tokio::test]
async fn what_has_to_wait_is_sent_once_and_whole() {
    let (sent, turn) = sends(AtOnce::HasToWait).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(turn.host().counts(), (2, 2));
    let accepted = turn.host().accepted.lock().unwrap();
    let contents: Vec<&str> = accepted.iter().map(|message| message.content().as_str()).collect();
    assert_eq!(contents, ["a", "b"]);
    assert!(accepted.iter().all(|message| message.priority() == MessagePriority::High));
}

#[tokio::test]
async fn a_send_that_is_never_polled_sends_nothing() {
    let turn = Sends::turn(AtOnce::Accepted);
    let context = Context::of(turn.clone());
    drop(context.send(AgentId::new(), "a"));
    drop(context.send_message(context.message_to(AgentId::new(), "b")));
    assert_eq!(turn.host().counts(), (0, 0));
}

#[tokio::test]
async fn a_shared_host_is_tried_at_once_too() {
    let host = Arc::new(Sends::new(AtOnce::Accepted));
    let handled = AgentMessage::new(AgentId::OUTSIDE, host.agent, "go");
    let context = Context::new(host.clone(), handled.clone(), 3);
    context.send(AgentId::new(), "a").await.unwrap();
    assert_eq!(host.counts(), (1, 0));
    assert_eq!((context.message(), context.attempt()), (&handled, 3));
}
