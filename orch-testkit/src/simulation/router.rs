//! Passes some of the answers on that nobody asked for, and some of what was given up.

use std::sync::Arc;

use orch_core::{AgentId, AgentMessage, Content, DeadLetter};
use orch_runtime::Router;

use crate::history::What;
use crate::simulation::world::{Order, World};

pub(crate) struct PassOn(pub(crate) Arc<World>);

impl PassOn {
    fn pass_on(&self, from: AgentId, message: &AgentMessage, what: u64) -> Vec<AgentMessage> {
        let Some(order) = Order::read(message.content()) else { return Vec::new() };
        let mut random = self.0.random(&[10, order.label, what]);
        if order.fuel == 0 || random.chance(60) {
            return Vec::new();
        }
        let to = self.0.agent(random.bits());
        let order = Order { label: random.bits(), fuel: order.fuel - 1 };
        let Some(call) = self.0.message(from, to, order) else { return Vec::new() };
        self.0.note(What::Sending { send: call.send });
        vec![call.message.with_priority(random.priority())]
    }
}

impl Router for PassOn {
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        _output: Option<&Content>,
    ) -> Vec<AgentMessage> {
        self.pass_on(agent, message, 1)
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        self.pass_on(letter.message.to(), &letter.message, 2)
    }
}
