//! A whole runtime under one seed: virtual time, seeded ids, a random team, and an outside that
//! sends, stops and starts at random.

mod connector;
mod handler;
mod outside;
mod plan;
mod router;
mod world;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use orch_core::{AgentId, MessageId, StopReason, mint};
use orch_runtime::{AgentRegistry, BusLimits, MessageBus, Orchestrator, StartError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Violation, check};
use crate::history::{History, Log, VirtualClock, What};
use crate::simulation::connector::Simulated;
use crate::simulation::outside::Hands;
use crate::simulation::plan::{CONNECTOR, Outside, Plan};
use crate::simulation::router::PassOn;
use crate::simulation::world::World;

/// Virtual time after which a run that has not ended is stuck. No run of a simulation has as much
/// to do.
const RUN_MAX: Duration = Duration::from_hours(24 * 7);
/// Virtual time from the end of everything to taking stock.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// Real time after which a simulation spins without getting on. They take milliseconds.
const REAL_TIME_MAX: Duration = Duration::from_mins(2);

/// One simulation, determined by its seed.
///
/// ```
/// let report = orch_testkit::Simulation::from_seed(42).run();
/// report.assert_no_violation();
/// ```
#[derive(Clone, Debug)]
pub struct Simulation {
    seed: u64,
    sabotage: Option<Sabotage>,
}

/// Something wrong that the outside does to the running system, for the checks to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// Takes messages out of mailboxes and forgets them.
    Steal,
    /// Calls a handler a second time in the same attempt.
    HandleTwice,
    /// Sends messages again that were accepted before, under their old ids.
    SendTwice,
}

/// What came out of a simulation.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that brings it about again.
    pub seed: u64,
    /// What happened.
    pub history: History,
    /// Which promises were broken, and how.
    pub violations: Vec<Violation>,
}

/// Runs the simulation of this seed, and checks what happened.
///
/// # Panics
///
/// If it spins without getting on.
#[must_use]
pub fn simulate(seed: u64) -> Report {
    Simulation::from_seed(seed).run()
}

impl Simulation {
    /// The simulation of this seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self { seed, sabotage: None }
    }

    /// Lets the outside do something that is wrong.
    #[must_use]
    pub const fn with_sabotage(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = Some(sabotage);
        self
    }

    /// Runs it on a thread of its own, and checks what happened.
    ///
    /// # Panics
    ///
    /// If it spins without getting on.
    #[must_use]
    pub fn run(&self) -> Report {
        let (done, is_done) = mpsc::channel();
        let (seed, sabotage) = (self.seed, self.sabotage);
        let thread = std::thread::spawn(move || {
            let _ = done.send(run(Plan::draw(seed), sabotage));
        });
        let history = match is_done.recv_timeout(REAL_TIME_MAX) {
            Ok(history) => history,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("the simulation spins without getting on: {}", replay(seed))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let _ = thread.join();
                panic!("the simulation panicked: {}", replay(seed))
            }
        };
        Report { seed, violations: check(&history), history }
    }
}

impl Report {
    /// Passes if every promise was kept.
    ///
    /// # Panics
    ///
    /// With the violations and the way to see more, if one was broken.
    pub fn assert_no_violation(&self) {
        let Self { seed, violations, .. } = self;
        let all: String = violations.iter().map(|violation| format!("\n  {violation}")).collect();
        assert!(violations.is_empty(), "{}{all}", replay(*seed));
    }
}

fn replay(seed: u64) -> String {
    format!(
        "seed {seed} fails; see it with\n  ORCH_SIM_SEED={seed} cargo test -p orch-testkit every_seed -- --nocapture"
    )
}

fn run(plan: Plan, sabotage: Option<Sabotage>) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing that could be missing");
    let terms = plan.terms.clone();
    let records = runtime.block_on(async {
        let clock = VirtualClock { began: Instant::now(), seed: plan.seed };
        let _replaced = mint::replace(clock);
        let world = World::new(plan, Log::begin(), sabotage);
        Theatre::new(world.clone()).play().await;
        world.log.seal();
        world.log.records()
    });
    History { terms, records }
}

/// The runtime under test, and who acts on it.
struct Theatre {
    hands: Hands,
    acting: JoinSet<()>,
}

impl Theatre {
    fn new(world: Arc<World>) -> Self {
        let plan = &world.plan;
        let limits = BusLimits::default()
            .with_lane_capacity(plan.lane_capacity)
            .with_send_wait(Duration::from_millis(plan.send_wait_ms));
        let bus = Arc::new(MessageBus::with_limits(limits));
        let orchestrator = Orchestrator::new(Arc::new(AgentRegistry::new()), bus)
            .with_connector(CONNECTOR, Simulated(world.clone()))
            .with_loop_guard(plan.terms.guard)
            .with_max_concurrency(plan.terms.max_concurrency)
            .with_failure_policy(plan.terms.failure_policy)
            .with_retry_policy(plan.retry())
            .with_restart_intensity(plan.intensity)
            .with_stop_limits(plan.stop_limits())
            .with_spawn_limits(plan.spawn_limits)
            .with_seed(plan.seed)
            .with_observer(Arc::new(world.log.clone()));
        let orchestrator = match plan.terms.has_router {
            true => orchestrator.with_router(Arc::new(PassOn(world.clone()))),
            false => orchestrator,
        };
        let orchestrator = Arc::new(orchestrator);
        let hands = Hands { world, orchestrator, drop_start: Arc::new(Notify::new()) };
        Self { hands, acting: JoinSet::new() }
    }

    async fn play(mut self) {
        let plan = self.hands.world.plan.clone();
        for config in plan.agents {
            self.hands.spawn(config).await;
        }
        for (number, what) in (0..).zip(plan.at_first) {
            self.hands.act(number, what).await;
        }
        for (number, (at, what)) in (1_000..).zip(plan.later) {
            let hands = self.hands.clone();
            self.acting.spawn(async move {
                sleep(Duration::from_millis(at)).await;
                hands.act(number, what).await;
            });
        }
        self.sabotage();
        if self.start_again_and_again(plan.runs_max).await {
            self.acting.shutdown().await;
            // A run whose start was dropped puts itself away meanwhile.
            sleep(AFTERWARDS).await;
            self.take_stock();
        }
    }

    /// Starts until everything is done, or it was started often enough. False if it got stuck.
    async fn start_again_and_again(&mut self, runs_max: u32) -> bool {
        let mut random = self.hands.world.random(&[8]);
        for _ in 0..runs_max {
            let serves = random.chance(15).then(|| random.between(1, 3_000));
            let Ok(reason) = timeout(RUN_MAX, self.start(serves)).await else {
                self.hands.world.note(What::Stuck);
                return false;
            };
            if random.chance(30) {
                self.hands.resend(random.bits()).await;
            }
            while self.acting.try_join_next().is_some() {}
            let is_done = matches!(reason, Some(StopReason::Completed));
            if is_done
                && self.acting.is_empty()
                && self.hands.orchestrator.dead_letters().is_empty()
            {
                return true;
            }
            sleep(Duration::from_millis(random.between(0, 900))).await;
        }
        true
    }

    /// One run; `None` if it was dropped or did not begin. One that serves is stopped after so many
    /// milliseconds.
    async fn start(&mut self, serves: Option<u64>) -> Option<StopReason> {
        if let Some(millis) = serves {
            let hands = self.hands.clone();
            self.acting.spawn(async move {
                sleep(Duration::from_millis(millis)).await;
                hands.act(0, Outside::Stop).await;
            });
        }
        let Hands { world, orchestrator, drop_start } = &self.hands;
        world.note(What::StartCalled);
        let dropped = drop_start.notified();
        let run = async {
            match serves {
                Some(_) => orchestrator.serve().await,
                None => orchestrator.start().await,
            }
        };
        let started = tokio::select! {
            biased; // A run that ended is not dropped.
            started = run => started,
            () = dropped => {
                world.note(What::StartDropped);
                return None;
            }
        };
        let said = started.as_ref().map(Clone::clone).map_err(ToString::to_string);
        world.note(What::StartReturned(said));
        if let Err(StartError::CannotRun { agent_id, .. }) = started {
            let _ = orchestrator.retire(agent_id).await;
        }
        started.ok()
    }

    /// Empties all mailboxes, and notes what was left.
    fn take_stock(&self) {
        let Hands { world, orchestrator, .. } = &self.hands;
        let letters = orchestrator.dead_letters();
        let letters: Vec<MessageId> = letters.iter().map(|letter| letter.message.id()).collect();
        let bus = orchestrator.bus();
        let mut agents: Vec<AgentId> = bus.agents();
        agents.sort();
        for agent in agents {
            let left = bus.mailbox(agent).map(|mailbox| mailbox.close_and_drain());
            let left = left.unwrap_or_default().iter().map(orch_core::AgentMessage::id).collect();
            world.note(What::Left(agent, left));
        }
        world.note(What::Letters(letters));
    }

    fn sabotage(&mut self) {
        let Some(sabotage) = self.hands.world.sabotage else { return };
        let hands = self.hands.clone();
        let mut random = hands.world.random(&[9]);
        self.acting.spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_millis(random.between(0, 60))).await;
                let agent = hands.world.agent(random.bits());
                let Some(mailbox) = hands.orchestrator.bus().mailbox(agent) else { continue };
                match sabotage {
                    Sabotage::Steal => drop(mailbox.try_recv()),
                    Sabotage::SendTwice => {
                        if let Some(message) = hands.world.log.accepted_by(agent) {
                            let _ = mailbox.try_send(message);
                        }
                    }
                    Sabotage::HandleTwice => {}
                }
            }
        });
    }
}
