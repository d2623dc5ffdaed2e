//! The connector of the simulation: sessions that may fail to open, end by themselves, and take
//! their time to close.

use std::sync::Arc;
use std::time::Duration;

use orch_core::{AgentConfig, Outcome};
use orch_runtime::{ConnectError, Connector, Context, Session, SessionSpec};
use tokio::time::sleep;

use crate::random::Random;
use crate::simulation::Sabotage;
use crate::simulation::handler::handle;
use crate::simulation::plan::SESSION_MS_MAX;
use crate::simulation::world::World;

#[derive(Clone, Debug)]
pub(crate) struct Simulated(pub(crate) Arc<World>);

pub(crate) struct SimulatedSession {
    world: Arc<World>,
    random: Random,
    ends_by_itself: u64,
    is_impatient: bool,
    is_open: bool,
}

impl Connector for Simulated {
    type Session = SimulatedSession;

    fn check(&self, _config: &AgentConfig) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn open(&self, spec: SessionSpec) -> Result<SimulatedSession, ConnectError> {
        let mut random = self.0.random(&[6, self.0.log.number()]);
        let percent = |name: &str| spec.config.settings[name].as_u64().unwrap_or(0);
        nap(&mut random).await;
        for (setting, transient) in [("open_fails", true), ("open_fails_for_good", false)] {
            if random.chance(percent(setting)) {
                let error = "simulated".to_owned();
                return Err(ConnectError::OpenFailed { error, transient });
            }
        }
        Ok(SimulatedSession {
            world: self.0.clone(),
            random,
            ends_by_itself: percent("ends_by_itself"),
            is_impatient: spec.config.settings["impatient"] == true,
            is_open: true,
        })
    }
}

impl Session for SimulatedSession {
    async fn turn(&mut self, context: Context) -> Outcome {
        let outcome = handle(self.world.clone(), context.clone(), self.is_impatient).await;
        self.is_open = !self.random.chance(self.ends_by_itself);
        if self.world.sabotage == Some(Sabotage::HandleTwice) && self.random.chance(20) {
            return handle(self.world.clone(), context, self.is_impatient).await;
        }
        outcome
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    async fn close(mut self) {
        nap(&mut self.random).await;
    }
}

/// Some time, or none at all.
async fn nap(random: &mut Random) {
    let millis = random.weighted(&[(3, 0), (1, SESSION_MS_MAX)]);
    let millis = random.between(0, millis);
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}
