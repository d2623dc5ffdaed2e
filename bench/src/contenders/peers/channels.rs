//! Channels that a task can await.

use orch_core::{AgentMessage, MessagePriority};
use tokio::sync::mpsc;

use crate::channel::{AsyncChannel, Channel};

const OPEN: &str = "the receiver outlives its senders";

pub(super) struct Tokio;

impl Channel for Tokio {
    type Sender = mpsc::UnboundedSender<AgentMessage>;
    type Receiver = mpsc::UnboundedReceiver<AgentMessage>;

    fn open() -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok()
    }
}

impl AsyncChannel for Tokio {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv().await
    }
}

pub(super) struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<AgentMessage>;
    type Receiver = flume::Receiver<AgentMessage>;

    fn open() -> (Self::Sender, Self::Receiver) {
        flume::unbounded()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok()
    }
}

impl AsyncChannel for Flume {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv_async().await.ok()
    }
}

pub(super) struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::Sender<AgentMessage>;
    type Receiver = kanal::AsyncReceiver<AgentMessage>;

    fn open() -> (Self::Sender, Self::Receiver) {
        let (sender, receiver) = kanal::unbounded();
        (sender, receiver.to_async())
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok().flatten()
    }
}

impl AsyncChannel for Kanal {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv().await.ok()
    }
}

pub(super) struct AsyncChannels;

impl Channel for AsyncChannels {
    type Sender = async_channel::Sender<AgentMessage>;
    type Receiver = async_channel::Receiver<AgentMessage>;

    fn open() -> (Self::Sender, Self::Receiver) {
        async_channel::unbounded()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.try_send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok()
    }
}

impl AsyncChannel for AsyncChannels {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv().await.ok()
    }
}

pub(super) struct Crossfire;

type CrossfireList = crossfire::mpsc::List<AgentMessage>;

impl Channel for Crossfire {
    type Sender = crossfire::MTx<CrossfireList>;
    type Receiver = crossfire::AsyncRx<CrossfireList>;

    fn open() -> (Self::Sender, Self::Receiver) {
        crossfire::mpsc::unbounded_async()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        sender.send(message).expect(OPEN);
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok()
    }
}

impl AsyncChannel for Crossfire {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv().await.ok()
    }
}

pub(super) struct AsyncPriority;

impl Channel for AsyncPriority {
    type Sender = async_priority_channel::Sender<AgentMessage, MessagePriority>;
    type Receiver = async_priority_channel::Receiver<AgentMessage, MessagePriority>;

    fn open() -> (Self::Sender, Self::Receiver) {
        async_priority_channel::unbounded()
    }

    fn send(sender: &Self::Sender, message: AgentMessage) {
        let priority = message.priority();
        assert!(sender.try_send(message, priority).is_ok(), "{OPEN}");
    }

    fn try_recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.try_recv().ok().map(|(message, _)| message)
    }
}

impl AsyncChannel for AsyncPriority {
    async fn recv(receiver: &mut Self::Receiver) -> Option<AgentMessage> {
        receiver.recv().await.ok().map(|(message, _)| message)
    }
}
