//! How a run begins: one at a time on a bus, after the former one, and only if whoever has messages
//! waiting can run.

use std::sync::Arc;

use orch_core::{AgentStatus, StopReason};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::error::StartError;
use crate::options::Options;
use crate::orchestrator::Inner;
use crate::run::{Cleanup, Run, announce_again};

/// Runs until the run ends. Dropping the future stops the run without grace.
pub(crate) async fn start(inner: &Arc<Inner>, serves: bool) -> Result<StopReason, StartError> {
    let options = inner.options();
    wait_for_former(inner, &options).await?;
    let run = prepare(inner, options, serves)?;
    let _cut_off = CutOff(run.clone());
    let cleanup = Cleanup(run.clone());
    if let Some(durable) = &run.durable {
        durable.begin_run(&run).await.map_err(StartError::Journal)?;
    }
    let driver = Handle::current().spawn(run.clone().drive(cleanup));
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
        announce_again(run.clear().1);
        return Err(error);
    }
    inner.set_run(run.clone());
    Ok(run)
}

/// Meets the agents that have messages waiting; the first that cannot run is the error.
fn check_waiting(run: &Run) -> Result<(), StartError> {
    let announced: Vec<_> = run.pool.attachment.take_announced().collect();
    let known: Vec<_> = announced.iter().filter_map(|(mailbox, _)| run.known(mailbox)).collect();
    for agent in known {
        if agent.mailbox.most_urgent().is_some()
            && let Err(error) = run.connector_of(agent)
        {
            return Err(StartError::CannotRun {
                agent_id: agent.entry.id,
                name: agent.entry.config.name.clone(),
                error: error.to_string(),
            });
        }
    }
    for (mailbox, priority) in announced {
        run.pool.attachment.announce(mailbox, priority);
    }
    Ok(())
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
