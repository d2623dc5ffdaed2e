//! Making and retiring agents: from outside, and from inside a handler, where a child's rights
//! never exceed its parent's.

use std::sync::Arc;

use orch_core::{AgentConfig, AgentId, DeadLetter, DeadLetterReason, Timestamp};
use orch_journal::Record;
use orch_policy::is_within;

use crate::durable::{Durable, Unbound};
use crate::error::{RetireError, SpawnError};
use crate::options::Options;
use crate::orchestrator::Inner;
use crate::permission;
use crate::registry::Entry;
use crate::router::{REFUSALS_MAX, refused, routed};

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

/// As [`spawn`], recorded before anybody can see the agent, in one set with the step that makes it.
pub(crate) async fn spawn_durably(
    inner: &Arc<Inner>,
    options: &Options,
    durable: &Durable,
    config: AgentConfig,
    (agent, parent): (AgentId, Option<&Arc<Entry>>),
    step: Option<Record>,
) -> Result<AgentId, SpawnError> {
    options.connectors.get(&config.connector_type)?.check(&config)?;
    let policies = permission::resolved(&config.tool_policies)?;
    if let Some(parent) = parent {
        depth_of_child(inner, options, parent, &policies)?;
    }
    let parent_id = parent.map(|parent| parent.id);
    let mut set =
        vec![Record::AgentRegistered { agent, config: config.clone(), parent: parent_id }];
    set.extend(step);
    durable.write_now(set).await.map_err(SpawnError::Journal)?;
    let spawned = spawn_as(inner, config, parent_id, agent, policies, |policies| match parent {
        Some(parent) => depth_of_child(inner, options, parent, policies),
        None => Ok(0),
    });
    if spawned.is_err() {
        // Another one took the last place meanwhile.
        durable.tell(vec![Record::AgentRetired { agent }]);
    }
    spawned
}

fn spawn_as(
    inner: &Arc<Inner>,
    config: AgentConfig,
    parent: Option<AgentId>,
    agent: AgentId,
    policies: Vec<orch_core::ToolPolicy>,
    depth: impl FnOnce(&[orch_core::ToolPolicy]) -> Result<u32, SpawnError>,
) -> Result<AgentId, SpawnError> {
    let _one_at_a_time = inner.spawning();
    let depth = depth(&policies)?;
    inner.registry.add_known(agent, config, parent, depth);
    inner.policy().set_policies(agent, policies)?;
    inner.bus.open_mailbox(agent);
    Ok(agent)
}

/// Why there is none although its making began.
pub(crate) fn unmade() -> SpawnError {
    SpawnError::Journal("nobody was left to see to it".to_owned())
}

/// Gives an agent of an earlier process the configuration that it is spawned with now. A run that has met
/// it goes on with what it had.
pub(crate) async fn bind_durably(
    inner: &Arc<Inner>,
    options: &Options,
    durable: &Durable,
    unbound: Unbound,
    config: AgentConfig,
) -> Result<AgentId, SpawnError> {
    let agent = unbound.agent().ok_or_else(unmade)?;
    options.connectors.get(&config.connector_type)?.check(&config)?;
    let policies = permission::resolved(&config.tool_policies)?;
    let set = vec![Record::AgentRegistered { agent, config: config.clone(), parent: None }];
    durable.write_now(set).await.map_err(SpawnError::Journal)?;
    let _one_at_a_time = inner.spawning();
    unbound.note_bound();
    inner.registry.rebind(agent, config);
    inner.policy().set_policies(agent, policies)?;
    Ok(agent)
}

fn depth_of_child(
    inner: &Inner,
    options: &Options,
    parent: &Entry,
    policies: &[orch_core::ToolPolicy],
) -> Result<u32, SpawnError> {
    if parent.is_unregistered() {
        return Err(SpawnError::UnknownParent(parent.id));
    }
    let depth = parent.depth.saturating_add(1);
    let limits = options.spawn;
    if depth > limits.depth_max {
        return Err(SpawnError::TooDeep { depth, limit: limits.depth_max });
    }
    if inner.registry.n_spawned() >= limits.agents_max {
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
    for member in unregister_family(inner, agent)? {
        clear_out(inner, member);
    }
    Ok(())
}

/// Unregisters an agent and its descendants, the deepest first.
pub(crate) fn unregister_family(
    inner: &Inner,
    agent: AgentId,
) -> Result<Vec<AgentId>, RetireError> {
    // Or a child that is being spawned would outlive its parent.
    let _none_is_spawned = inner.spawning();
    let known = inner.registry.entry(agent).ok_or(RetireError::Unknown(agent))?;
    let mut family = inner.registry.descendants(&known);
    family.push(known);
    family.sort_by_key(|entry| (std::cmp::Reverse(entry.depth), entry.id));
    let family: Vec<AgentId> = family.into_iter().map(|entry| entry.id).collect();
    family.iter().for_each(|member| drop(inner.registry.remove(*member)));
    Ok(family)
}

/// Removes the mailbox of an agent that was unregistered; what is left becomes dead letters.
fn clear_out(inner: &Inner, agent: AgentId) {
    left_of(inner, agent).into_iter().for_each(|letter| give_up(inner, letter));
}

/// Removes the mailbox of an agent that was unregistered, and answers the dead letters that what was
/// left becomes. Nobody has heard of them yet.
pub(crate) fn left_of(inner: &Inner, agent: AgentId) -> Vec<DeadLetter> {
    let left = inner.bus.remove_mailbox(agent);
    let parked = inner.running().map(|run| run.forget_agent(agent)).unwrap_or_default();
    inner.policy().remove(agent);
    let now = Timestamp::now();
    let letter = |message| DeadLetter::new(message, DeadLetterReason::Retired, now);
    let parked = parked.into_iter().map(|delivery| {
        let attempts = delivery.attempts().to_vec();
        letter(delivery.settle()).with_attempts(attempts)
    });
    let parked: Vec<DeadLetter> = parked.collect();
    parked.into_iter().chain(left.into_iter().map(letter)).collect()
}

/// Keeps a dead letter, and sends what the router makes of it, without waiting for room: nobody is
/// there who could.
fn give_up(inner: &Inner, letter: DeadLetter) {
    let mut letters = vec![letter];
    let mut n_given_up = 0;
    while let Some(letter) = letters.pop() {
        inner.keep_letter(letter.clone());
        n_given_up += 1;
        let Some(router) = &inner.options().router else { continue };
        if n_given_up > REFUSALS_MAX {
            continue;
        }
        for message in routed(|| router.given_up(&letter)) {
            if let Err(error) = inner.bus.try_send(message) {
                letters.push(refused(error, Timestamp::now()));
            }
        }
    }
}
