//! How a run begins: one at a time on a bus, after the former one, and only if whoever has messages
//! waiting can run.

use std::sync::Arc;

use orch_bus::{Announce, Mailbox};
use orch_core::{AgentStatus, StopReason};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::StartError;
use crate::options::Options;
use crate::orchestrator::Inner;
use crate::run::Run;

/// Runs until the run ends. Dropping the future stops the run without grace.
pub(crate) async fn start(inner: &Arc<Inner>, serves: bool) -> Result<StopReason, StartError> {
    let options = inner.options();
    wait_for_former(inner, &options).await?;
    let run = prepare(inner, options, serves)?;
    let _cut_off = CutOff(run.clone());
    let driver = Handle::current().spawn(run.clone().drive());
    inner.set_driver(driver);
    Ok(run.finished().await.reason)
}

async fn wait_for_former(inner: &Inner, options: &Options) -> Result<(), StartError> {
    let Some(former) = inner.former() else { return Ok(()) };
    // Whoever waits for the answer of one that has ended has only not been polled yet.
    if former.is_wanted() && !former.is_finished() {
        return Err(StartError::AlreadyRunning);
    }
    let gone = async {
        former.finished().await;
        former.tasks.wait().await;
    };
    match timeout(options.stop.cut, gone).await {
        Ok(()) => Ok(()),
        Err(_) => Err(StartError::StillRunning { agents: former.stragglers() }),
    }
}

fn prepare(
    inner: &Arc<Inner>,
    options: Arc<Options>,
    serves: bool,
) -> Result<Arc<Run>, StartError> {
    let attachment = inner.bus.attach().ok_or(StartError::AlreadyRunning)?;
    inner.revive_failed();
    let run = Arc::new(Run::new(inner.clone(), options, inner.next_run(), attachment, serves));
    if let Err(error) = check_waiting(&run) {
        announce_again(&run);
        return Err(error);
    }
    inner.set_run(run.clone());
    Ok(run)
}

/// Meets the agents that have messages waiting; the first that cannot run is the error.
fn check_waiting(run: &Run) -> Result<(), StartError> {
    let agents = {
        let mut core = run.lock();
        run.look_at_announced(&mut core, run.now());
        core.agents()
    };
    for agent in agents {
        if agent.mailbox.most_urgent().is_some()
            && let Err(error) = run.connector_of(&agent)
        {
            return Err(StartError::CannotRun {
                agent_id: agent.entry.id,
                name: agent.entry.config.name.clone(),
                error: error.to_string(),
            });
        }
    }
    Ok(())
}

/// Leaves the mailboxes as they were found.
fn announce_again(run: &Run) {
    let (_, mailboxes) = run.lock().clear();
    let again = |mailbox: Arc<Mailbox>| {
        mailbox.announce(Announce::Every);
        mailbox.announce_if_waiting();
    };
    mailboxes.into_iter().for_each(again);
}

/// Dropped with `start`'s future: a stop without grace, unless the run has ended.
struct CutOff(Arc<Run>);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.let_go();
        self.0.cut_off(StopReason::ManualStop);
    }
}

impl Inner {
    /// Gives failed agents another chance, and lets their mailboxes announce what waits in them.
    fn revive_failed(&self) {
        for agent in self.registry.take_failed() {
            let Some(entry) = self.registry.entry(agent) else { continue };
            self.set_status(&entry, &AgentStatus::Idle);
            if let Some(mailbox) = self.bus.mailbox(agent) {
                mailbox.announce_if_waiting();
            }
        }
    }
}
