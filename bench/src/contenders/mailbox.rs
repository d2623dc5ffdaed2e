//! `orch_bus::Mailbox` alone.

use std::sync::Arc;

use orch_bus::{BusLimits, Mailbox, MessageBus};
use orch_core::{AgentId, AgentMessage};

use crate::channel::{AsyncChannel, Channel};
use crate::role::Address;

/// A mailbox whose lanes have no limit.
pub(crate) struct Alone;

impl Channel for Alone {
    type Sender = Arc<Mailbox>;
    type Receiver = Arc<Mailbox>;

    fn open() -> (Self::Sender, Self::Receiver) {
        let bus = MessageBus::with_limits(unlimited());
        let mailbox = bus.open_mailbox(AgentId::new());
        (mailbox.clone(), mailbox)
    }

    fn send(mailbox: &Arc<Mailbox>, message: AgentMessage) {
        Address::send(mailbox, message);
    }

    fn try_recv(mailbox: &mut Arc<Mailbox>) -> Option<AgentMessage> {
        mailbox.try_recv()
    }
}

impl AsyncChannel for Alone {
    async fn recv(mailbox: &mut Arc<Mailbox>) -> Option<AgentMessage> {
        Mailbox::recv(mailbox).await
    }
}

/// An address that is kept skips the directory.
impl Address for Arc<Mailbox> {
    fn send(&self, message: AgentMessage) {
        self.try_send(message).expect("a mailbox without a limit is never full");
    }
}

pub(crate) fn unlimited() -> BusLimits {
    BusLimits::default().with_lane_capacity(u32::MAX)
}
