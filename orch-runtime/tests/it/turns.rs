//! A router beside a journal: what it was told stands there in the order in which it was told, so that
//! one that is told again is where it was.

use std::sync::{Arc, Mutex};

use orch_journal::Record;
use orch_runtime::*;

use crate::disk::Disk;
use crate::support::{LIMIT, Log, ms, orchestrator, outside, over, spawn};

/// Sends everything that was handled on to one agent, and notes what it was told.
#[derive(Default)]
struct Collect {
    to: Mutex<Option<AgentId>>,
    told: Mutex<Vec<MessageId>>,
}

impl Router for Collect {
    fn settled(
        &self,
        agent: AgentId,
        message: &AgentMessage,
        _: Option<&Content>,
    ) -> Vec<AgentMessage> {
        self.told.lock().unwrap().push(message.id());
        let to = self.to.lock().unwrap().filter(|to| *to != agent);
        to.map(|to| AgentMessage::new(agent, to, message.content().clone())).into_iter().collect()
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        panic!("{letter:?}");
    }
}

/// Eight agents handle twenty messages each, whose outputs go on to a ninth.
async fn collect(bus: MessageBus, disk: &Disk) -> (Vec<MessageId>, Log) {
    let (router, log) = (Arc::new(Collect::default()), Log::default());
    let orchestrator = over(bus)
        .with_loop_guard(LoopGuard::unlimited())
        .with_router(router.clone())
        .with_connector("says", function(|_: Context| async { "done" }))
        .with_connector("log", log.connector());
    let orchestrator = orchestrator.with_journal(disk.open(None).0).await.unwrap();
    *router.to.lock().unwrap() = Some(spawn(&orchestrator, "sink", "log").await);
    let mut all = Vec::new();
    for n in 0..8 {
        let agent = spawn(&orchestrator, &format!("a{n}"), "says").await;
        all.extend((0..20).map(|i| outside(agent, &format!("{n}.{i}"))));
    }
    orchestrator.send_all(all).await.unwrap();
    let ended = tokio::time::timeout(LIMIT / 4, orchestrator.start()).await;
    assert_eq!(ended.expect("nobody waits for a turn in vain").unwrap(), StopReason::Completed);
    let told = router.told.lock().unwrap().clone();
    (told, log)
}

fn settled(disk: &Disk) -> Vec<MessageId> {
    let settled = disk.events().into_iter().filter_map(|it| match it.record {
        Record::Settled { message, .. } => Some(message),
        _ => None,
    });
    settled.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ends_are_recorded_in_the_order_in_which_the_router_was_told() {
    for _ in 0..5 {
        let disk = Disk::default();
        let (told, log) = collect(MessageBus::new(), &disk).await;
        assert_eq!(log.lines().len(), 160);
        assert_eq!(settled(&disk), told);
    }
}

/// The ends that make room wait for their turn, so nobody who has the turn may wait for room.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_mailbox_delays_what_goes_on_and_not_the_turn() {
    let disk = Disk::default();
    let bus = MessageBus::with_limits(BusLimits::default().with_lane_capacity(20));
    let (told, log) = collect(bus, &disk).await;
    assert_eq!(log.lines().len(), 160);
    assert_eq!(settled(&disk), told);
    assert_eq!(disk.state().letters().count(), 0);
}

#[tokio::test]
async fn the_past_is_all_that_was_said_of_messages() {
    let (disk, log) = (Disk::default(), Log::default());
    let orchestrator = orchestrator().with_connector("log", log.connector());
    assert!(matches!(orchestrator.past().await, Err(PastError::NoJournal)));
    let orchestrator = orchestrator.with_journal(disk.open(None).0).await.unwrap();
    let a = spawn(&orchestrator, "a", "log").await;
    // More than are read at once.
    let all: Vec<AgentMessage> = (0..1_500).map(|n| outside(a, &n.to_string())).collect();
    orchestrator.send_all(all.clone()).await.unwrap();
    assert_eq!(
        orchestrator.past().await.unwrap(),
        all.into_iter().map(Past::Accepted).collect::<Vec<_>>()
    );
    let orchestrator = orchestrator.with_loop_guard(LoopGuard::unlimited());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    let past = orchestrator.past().await.unwrap();
    let settled = past.iter().filter(|it| matches!(it, Past::Settled { .. }));
    assert_eq!((past.len(), settled.count()), (3_000, 1_500));
}

#[tokio::test]
async fn many_messages_are_accepted_together_and_those_that_were_accepted_before_once() {
    let (disk, log) = (Disk::default(), Log::default());
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let orchestrator = orchestrator.with_journal(disk.open(None).0).await.unwrap();
    let a = spawn(&orchestrator, "a", "log").await;
    let all: Vec<AgentMessage> = (0..4).map(|n| outside(a, &n.to_string())).collect();
    disk.fill();
    let error = orchestrator.send_all(all.clone()).await.unwrap_err();
    assert!(matches!(&error, SendError::NotDurable { transient: true, .. }), "{error}");
    disk.thaw();
    tokio::time::sleep(ms(400)).await;
    orchestrator.send_all(all[..2].to_vec()).await.unwrap();
    orchestrator.send_all(all.clone()).await.unwrap();
    let nowhere = AgentMessage::new(AgentId::OUTSIDE, AgentId::new(), "x");
    let error = orchestrator.send_all(vec![outside(a, "y"), nowhere]).await.unwrap_err();
    assert!(matches!(error, SendError::UnknownAgent(_)), "all of a set or none: {error}");
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["0", "1", "2", "3"]);
}
