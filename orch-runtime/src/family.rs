//! Making and retiring agents: from outside, and from inside a handler, where a child's rights
//! never exceed its parent's.

use std::sync::Arc;

use orch_core::{AgentConfig, AgentId, DeadLetter, DeadLetterReason, Timestamp};
use orch_policy::is_within;

use crate::error::{RetireError, SpawnError};
use crate::options::Options;
use crate::orchestrator::Inner;
use crate::permission;
use crate::registry::Entry;

/// Registers an agent that can run, and opens its mailbox.
pub(crate) fn spawn(
    inner: &Arc<Inner>,
    options: &Options,
    config: AgentConfig,
    parent: Option<&Arc<Entry>>,
) -> Result<AgentId, SpawnError> {
    options.connectors.get(&config.connector_type)?.check(&config)?;
    let policies = permission::resolved(&config.tool_policies)?;
    // One at a time, so that two cannot take the last place.
    let _one_at_a_time = inner.spawning();
    let depth = match parent {
        Some(parent) => depth_of_child(inner, options, parent, &policies)?,
        None => 0,
    };
    let entry = inner.registry.add(config, parent.map(|parent| parent.id), depth);
    inner.policy().set_policies(entry.id, policies)?;
    inner.bus.open_mailbox(entry.id);
    Ok(entry.id)
}

fn depth_of_child(
    inner: &Inner,
    options: &Options,
    parent: &Entry,
    policies: &[orch_core::ToolPolicy],
) -> Result<u32, SpawnError> {
    if parent.is_gone() {
        return Err(SpawnError::UnknownParent(parent.id));
    }
    let depth = parent.depth.saturating_add(1);
    let limits = options.spawn;
    if depth > limits.depth_max {
        return Err(SpawnError::TooDeep { depth, limit: limits.depth_max });
    }
    let spawned = inner.registry.entries().iter().filter(|entry| entry.parent.is_some()).count();
    if spawned >= limits.agents_max {
        return Err(SpawnError::TooMany { limit: limits.agents_max });
    }
    is_within(policies, &permission::resolved(&parent.config.tool_policies)?)?;
    Ok(depth)
}

/// Whether `agent` has `ancestor` above it.
pub(crate) fn is_descendant(inner: &Inner, agent: AgentId, ancestor: AgentId) -> bool {
    let parent = |agent| inner.registry.entry(agent).and_then(|entry| entry.parent);
    std::iter::successors(parent(agent), |above| parent(*above)).any(|above| above == ancestor)
}

/// Retires an agent and its descendants, whose rights came from it: unregisters them, removes their
/// mailboxes, and makes dead letters of what is left. A message that is being handled is finished;
/// if that fails, it is a dead letter too.
pub(crate) fn retire(inner: &Arc<Inner>, agent: AgentId) -> Result<(), RetireError> {
    if inner.registry.entry(agent).is_none() {
        return Err(RetireError::Unknown(agent));
    }
    let mut family: Vec<AgentId> = inner
        .registry
        .entries()
        .iter()
        .map(|entry| entry.id)
        .filter(|id| is_descendant(inner, *id, agent))
        .collect();
    family.push(agent);
    for member in family {
        retire_one(inner, member);
    }
    Ok(())
}

fn retire_one(inner: &Arc<Inner>, agent: AgentId) {
    inner.registry.remove(agent);
    let mut left = inner.bus.remove_mailbox(agent);
    if let Some(run) = inner.running() {
        let deliveries = run.forget_agent(agent);
        left.extend(deliveries.into_iter().map(orch_bus::Delivery::settle));
    }
    inner.policy().remove(agent);
    for message in left {
        let reason = DeadLetterReason::Retired;
        inner.keep_letter(DeadLetter::new(message, reason, Timestamp::now()));
    }
}
