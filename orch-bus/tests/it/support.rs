//! What the tests share: short ways to make, send and look.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use orch_bus::{BusLimits, Mailbox, MessageBus};
use orch_core::{AgentId, AgentMessage, Event, EventKind, MessagePriority, Observer};

/// Long enough for any machine; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A message from outside.
pub(crate) fn message(to: AgentId, priority: MessagePriority, text: &str) -> AgentMessage {
    AgentMessage::new(AgentId::OUTSIDE, to, text).with_priority(priority)
}

/// A bus whose lanes take `capacity` messages, with one mailbox.
pub(crate) fn bus_with_lanes_of(capacity: u32) -> (Arc<MessageBus>, Arc<Mailbox>) {
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(capacity));
    let mailbox = bus.open_mailbox(AgentId::new());
    (Arc::new(bus), mailbox)
}

/// Sends this text, for which there is room.
pub(crate) fn put(mailbox: &Arc<Mailbox>, priority: MessagePriority, text: &str) {
    mailbox.try_send(message(mailbox.agent(), priority, text)).expect("there is room");
}

/// The texts of all that waits, in the order of receiving.
pub(crate) fn take_all(mailbox: &Arc<Mailbox>) -> Vec<String> {
    std::iter::from_fn(|| mailbox.try_recv()).map(|it| it.content().to_string()).collect()
}

pub(crate) fn texts(messages: &[AgentMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.content().as_str()).collect()
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O needs nothing")
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// Every event of a bus.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Vec<EventKind>>);

impl Seen {
    pub(crate) fn of(bus: &MessageBus) -> Arc<Self> {
        let seen = Arc::new(Self::default());
        bus.events().add(seen.clone());
        seen
    }

    pub(crate) fn take(&self) -> Vec<EventKind> {
        std::mem::take(&mut *self.0.lock().expect("no observer panics"))
    }
}

impl Observer for Seen {
    fn on_event(&self, event: &Event) {
        self.0.lock().expect("no observer panics").push(event.kind.clone());
    }
}
