//! Windows in which memory and the journal could say different things.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use orch_journal::{Record, Redactor, SqliteOptions};
use orch_runtime::*;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::machine::{Machine, Mood};
use crate::support::{Log, config, eventually, ms, orchestrator, outside, over, send, spawn};

/// Much shorter than what is waited for if it is wrong.
const SOON: Duration = Duration::from_secs(10);

async fn durable(journal: Arc<Journal>) -> Orchestrator {
    let retry = RetryPolicy::default().with_base(ms(2));
    let stop = StopLimits::new(ms(0), SOON);
    let orchestrator = orchestrator().with_retry_policy(retry).with_stop_limits(stop);
    orchestrator.with_journal(journal).await.unwrap()
}

async fn started(orchestrator: &Orchestrator) -> StopReason {
    timeout(SOON, orchestrator.start()).await.expect("it ends").unwrap()
}

/// Asks in each attempt what `question` says, and fails the first one.
fn asker(log: &Log, question: impl Fn(u32) -> String + Send + Sync + 'static) -> impl Connector {
    let log = log.clone();
    let question = Arc::new(question);
    function(move |ctx: Context| {
        let (log, question) = (log.clone(), question.clone());
        async move {
            let oracle = ctx.find("oracle").expect("it is spawned");
            let answer = ctx.ask(oracle, question(ctx.attempt()), ms(1_500)).await?;
            if ctx.attempt() == 1 {
                return Err(Failure::transient("busy"));
            }
            log.push(answer.as_str());
            Ok(())
        }
    })
}

fn oracle(log: &Log) -> impl Connector {
    let log = log.clone();
    function(move |ctx: Context| {
        log.push(format!("asked {}", ctx.content()));
        async move { format!("yes, {}", ctx.content()) }
    })
}

async fn ask_over_a_file(
    question: impl Fn(u32) -> String + Send + Sync + 'static,
) -> (Log, Orchestrator) {
    let folder = tempfile::tempdir().unwrap();
    let (options, redactor) = (SqliteOptions::default(), Redactor::new());
    let path = folder.path().join("run.journal");
    let journal = Journal::open(path, options, redactor, Timestamp::now()).unwrap();
    let log = Log::default();
    let orchestrator = durable(Arc::new(journal)).await;
    let orchestrator = orchestrator
        .with_connector("asker", asker(&log, question))
        .with_connector("oracle", oracle(&log));
    let a = spawn(&orchestrator, "asker", "asker").await;
    spawn(&orchestrator, "oracle", "oracle").await;
    send(&orchestrator, a, "x").await;
    started(&orchestrator).await;
    (log, orchestrator)
}

#[tokio::test]
async fn over_a_file_another_attempt_gets_the_recorded_answer() {
    let (log, _) = ask_over_a_file(|_| "same".to_owned()).await;
    assert_eq!(log.lines(), ["asked same", "yes, same"]);
}

#[tokio::test]
async fn over_a_file_another_question_in_the_same_step_is_noticed() {
    let (log, orchestrator) = ask_over_a_file(|attempt| format!("attempt {attempt}")).await;
    assert_eq!(log.lines(), ["asked attempt 1"]);
    let letter = orchestrator.dead_letters().remove(0);
    let DeadLetterReason::StepMismatch { step: 1, .. } = letter.reason else {
        panic!("{letter:?}")
    };
}

#[tokio::test]
async fn an_agent_that_was_retired_with_much_in_its_mailbox_stays_retired() {
    const N: usize = 6_000;
    let machine = Machine::default();
    let journal = machine.open();
    let orchestrator = durable(journal.clone()).await;
    let orchestrator = orchestrator.with_connector("log", Log::default().connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let sends = (0..N).map(|n| orchestrator.send(outside(a, &format!("{n}"))));
    for sent in futures_join(sends).await {
        sent.unwrap();
    }
    // A disk that is busy with something else for a moment.
    machine.set(Mood::Held);
    let slow = machine.clone();
    let thaw = std::thread::spawn(move || {
        std::thread::sleep(ms(500));
        slow.set(Mood::Good);
    });
    orchestrator.retire(a).await.unwrap();
    thaw.join().unwrap();
    let state = journal.ask(|store| store.state().clone()).await.unwrap();
    assert!(state.agent(a).is_none(), "the journal has it retired");
    assert_eq!((state.n_deliveries(), state.letters().count()), (0, N));
}

async fn futures_join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_ready = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn on_a_full_disk_nobody_is_told_that_an_agent_is_retired_who_is_not() {
    let machine = Machine::default();
    let orchestrator = durable(machine.open()).await;
    let orchestrator = orchestrator.with_connector("log", Log::default().connector());
    let a = spawn(&orchestrator, "a", "log").await;
    machine.set(Mood::Full);
    let retired = timeout(ms(1_000), orchestrator.retire(a)).await;
    machine.set(Mood::Good);
    if let Ok(Ok(())) = retired {
        drop(orchestrator);
        assert!(machine.state().agent(a).is_none(), "it was said to be retired");
    }
}

#[tokio::test]
async fn a_letter_that_is_dropped_on_a_full_disk_stays_dropped() {
    let machine = Machine::default();
    let fails = Scripted::new().fail("broken").repeat();
    let orchestrator = durable(machine.open()).await.with_connector("c", fails);
    let a = orchestrator.spawn(config("a", "c").with_max_retries(0)).await.unwrap();
    let id = send(&orchestrator, a, "x").await;
    started(&orchestrator).await;
    machine.set(Mood::Full);
    assert!(orchestrator.drop_dead_letter(id).is_some());
    tokio::time::sleep(ms(50)).await;
    machine.set(Mood::Good);
    tokio::time::sleep(ms(500)).await;
    drop(orchestrator);
    assert_eq!(machine.state().letters().count(), 0);
}

#[tokio::test]
async fn what_was_used_while_the_disk_was_full_is_counted() {
    let machine = Machine::default();
    let disk = machine.clone();
    let uses = function(move |ctx: Context| {
        disk.set(Mood::Full);
        ctx.report_usage(Usage { input_tokens: 7, ..Usage::default() });
        let disk = disk.clone();
        async move {
            tokio::time::sleep(ms(50)).await;
            disk.set(Mood::Good);
        }
    });
    let orchestrator = durable(machine.open()).await.with_connector("uses", uses);
    let a = spawn(&orchestrator, "a", "uses").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    drop(orchestrator);
    assert_eq!(machine.state().n_deliveries(), 0);
    assert_eq!(machine.state().spent().input_tokens, 7);
}

#[tokio::test]
async fn an_agent_whose_spawn_was_dropped_while_it_committed_exists() {
    let (machine, log) = (Machine::default(), Log::default());
    let disk = machine.clone();
    let spawns = function(move |ctx: Context| {
        let disk = disk.clone();
        async move {
            if ctx.attempt() == 1 {
                disk.set(Mood::Held);
                let dropped = timeout(ms(50), ctx.spawn(config("child", "log"))).await;
                assert!(dropped.is_err());
                disk.set(Mood::Good);
                return Err(Failure::transient("it took too long"));
            }
            let child = ctx.spawn(config("child", "log")).await?;
            ctx.send(child, "hello").await?;
            Ok(())
        }
    });
    let orchestrator = durable(machine.open()).await;
    let orchestrator =
        orchestrator.with_connector("spawns", spawns).with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "spawns").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["hello"]);
}

#[tokio::test]
async fn an_agent_keeps_its_id_after_a_spawn_that_failed() {
    let machine = Machine::default();
    let a = {
        let orchestrator = durable(machine.open()).await;
        let orchestrator = orchestrator.with_connector("log", Log::default().connector());
        spawn(&orchestrator, "a", "log").await
    };
    let orchestrator = durable(machine.open()).await;
    let orchestrator = orchestrator.with_connector("log", Log::default().connector());
    orchestrator.spawn(config("a", "missing")).await.unwrap_err();
    assert_eq!(spawn(&orchestrator, "a", "log").await, a);
}

#[tokio::test]
async fn a_name_whose_agent_was_retired_is_free() {
    let machine = Machine::default();
    let former = {
        let orchestrator = durable(machine.open()).await;
        let orchestrator = orchestrator.with_connector("log", Log::default().connector());
        spawn(&orchestrator, "a", "log").await
    };
    let log = Log::default();
    let orchestrator = durable(machine.open()).await.with_connector("log", log.connector());
    orchestrator.retire(former).await.unwrap();
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

#[tokio::test]
async fn an_agent_that_is_bound_during_a_run_goes_on() {
    let machine = Machine::default();
    let a = {
        let orchestrator = durable(machine.open()).await;
        let orchestrator = orchestrator.with_connector("c", Log::default().connector());
        let a = spawn(&orchestrator, "a", "c").await;
        send(&orchestrator, a, "1").await;
        send(&orchestrator, a, "2").await;
        a
    };
    let (log, begun, go_on) = (Log::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (lines, here, may) = (log.clone(), begun.clone(), go_on.clone());
    let waits = function(move |ctx: Context| {
        let (lines, here, may) = (lines.clone(), here.clone(), may.clone());
        async move {
            if ctx.content() == "1" {
                here.notify_one();
                may.notified().await;
            }
            lines.push(ctx.content().as_str());
        }
    });
    let orchestrator = durable(machine.open()).await.with_connector("c", waits);
    let binds = async {
        begun.notified().await;
        assert_eq!(spawn(&orchestrator, "a", "c").await, a);
        go_on.notify_one();
    };
    let (reason, ()) = tokio::join!(started(&orchestrator), binds);
    assert_eq!(reason, StopReason::Completed);
    assert_eq!(log.lines(), ["1", "2"]);
}

/// Panics once, when it hears that something was settled.
struct Panics(AtomicBool);

impl Observer for Panics {
    fn on_event(&self, event: &Event) {
        let is_settled = matches!(event.kind, EventKind::Settled { .. });
        assert!(!is_settled || self.0.swap(true, Ordering::Relaxed), "an observer's own mistake");
    }
}

#[tokio::test]
async fn what_is_settled_in_the_journal_is_settled_whatever_observers_do() {
    let (machine, log) = (Machine::default(), Log::default());
    let orchestrator = durable(machine.open()).await.with_connector("log", log.connector());
    let orchestrator = orchestrator.with_observer(Arc::new(Panics(AtomicBool::new(false))));
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    started(&orchestrator).await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

/// Handles a message while the disk holds its writes up, ends the tokio runtime then, and goes on in
/// another; answers the attempts that were made.
fn attempts_over_two_runtimes(fails: bool) -> Vec<String> {
    let (machine, log) = (Machine::default(), Log::default());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (disk, lines) = (machine.clone(), log.clone());
    let settles = function(move |ctx: Context| {
        lines.push(ctx.attempt().to_string());
        let is_first = ctx.attempt() == 1;
        if is_first {
            disk.set(Mood::Held);
        }
        let fails = fails && is_first;
        async move { if fails { Err(Failure::transient("busy")) } else { Ok(()) } }
    });
    let orchestrator = first.block_on(async {
        let orchestrator = durable(machine.open()).await.with_connector("c", settles);
        let a = spawn(&orchestrator, "a", "c").await;
        send(&orchestrator, a, "x").await;
        tokio::select! {
            _ = orchestrator.start() => panic!("its end is not recorded yet"),
            () = eventually("its end is being recorded", || machine.holds()) => {}
        }
        orchestrator
    });
    drop(first);
    machine.set(Mood::Good);
    let reason = runtime().block_on(started(&orchestrator));
    assert_eq!(reason, StopReason::Completed);
    log.lines()
}

#[test]
fn what_is_settled_in_the_journal_is_settled_although_its_runtime_ended_meanwhile() {
    assert_eq!(attempts_over_two_runtimes(false), ["1"]);
}

#[test]
fn an_attempt_that_failed_in_the_journal_has_failed_although_its_runtime_ended_meanwhile() {
    assert_eq!(attempts_over_two_runtimes(true), ["1", "2"]);
}

#[tokio::test]
async fn a_retry_waits_no_longer_because_the_clock_was_set_back() {
    let machine = Machine::default();
    let journal = machine.open();
    let (agent, message) = (AgentId::new(), outside(AgentId::new(), ""));
    let message = AgentMessage::new(message.from(), agent, "x");
    let ahead = Timestamp::now().after(Duration::from_secs(3_600));
    let id = message.id();
    let set = vec![
        Record::AgentRegistered { agent, config: config("a", "log"), parent: None },
        Record::Accepted { message, origin_run: 0, origin_round: 0, step: None },
        Record::RunStarted { run: 1, team: None, guard: LoopGuard::default(), since: None },
        Record::AttemptStarted { agent, message: id, attempt: 1, round: 1 },
        Record::RetryScheduled {
            agent,
            message: id,
            attempt: 1,
            error: "busy".to_owned(),
            retry_at: ahead.after(ms(100)),
        },
        Record::RunEnded { run: 1, reason: StopReason::ManualStop },
    ];
    journal.commit(ahead, set).await.unwrap();
    let log = Log::default();
    let orchestrator = durable(journal).await.with_connector("log", log.connector());
    spawn(&orchestrator, "a", "log").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

/// Two sends that overlap enter their lane in any order, so the one that was recorded later may be begun
/// first.
#[tokio::test]
async fn what_was_begun_is_tried_again_before_what_was_not() {
    let (machine, agent) = (Machine::default(), AgentId::new());
    let [first, second] = ["first", "second"].map(|text| outside(agent, text));
    let accepted = |message: &AgentMessage| Record::Accepted {
        message: message.clone(),
        origin_run: 0,
        origin_round: 0,
        step: None,
    };
    let set = vec![
        Record::AgentRegistered { agent, config: config("a", "log"), parent: None },
        accepted(&first),
        accepted(&second),
        Record::RunStarted { run: 1, team: None, guard: LoopGuard::default(), since: None },
        Record::AttemptStarted { agent, message: second.id(), attempt: 1, round: 1 },
    ];
    machine.open().commit(Timestamp::now(), set).await.unwrap();
    let log = Log::default();
    let orchestrator = durable(machine.open()).await.with_connector("log", log.connector());
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["second", "first"]);
}

#[tokio::test]
async fn a_question_is_closed_although_its_asker_has_gone() {
    let machine = Machine::default();
    let slow = function(|_: Context| async {
        tokio::time::sleep(ms(200)).await;
        "late"
    });
    let asks = function(|ctx: Context| async move {
        let oracle = ctx.find("oracle").expect("it is spawned");
        let _ = ctx.ask(oracle, "?", ms(50)).await;
    });
    let orchestrator = durable(machine.open()).await;
    let orchestrator = orchestrator.with_connector("slow", slow).with_connector("asks", asks);
    let a = spawn(&orchestrator, "a", "asks").await;
    spawn(&orchestrator, "oracle", "slow").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    drop(orchestrator);
    assert_eq!(machine.state().n_deliveries(), 0);
    assert_eq!(machine.state().questions().count(), 0);
}

#[tokio::test]
async fn a_recorded_answer_is_given_again_although_who_gave_it_was_retired() {
    let (machine, log) = (Machine::default(), Log::default());
    let orchestrator = durable(machine.open()).await.with_connector("oracle", oracle(&log));
    let this: Arc<OnceLock<Arc<Orchestrator>>> = Arc::default();
    let (lines, weak) = (log.clone(), this.clone());
    let asks = function(move |ctx: Context| {
        let (lines, weak) = (lines.clone(), weak.clone());
        async move {
            static ORACLE: OnceLock<AgentId> = OnceLock::new();
            let oracle = *ORACLE.get_or_init(|| ctx.find("oracle").expect("it is spawned"));
            let answer = ctx.ask(oracle, "?", ms(1_500)).await?;
            if ctx.attempt() == 1 {
                weak.get().expect("set before").retire(oracle).await.expect("it is there");
                return Err(Failure::transient("busy"));
            }
            lines.push(answer.as_str());
            Ok(())
        }
    });
    let orchestrator = Arc::new(orchestrator.with_connector("asks", asks));
    assert!(this.set(orchestrator.clone()).is_ok());
    let a = spawn(&orchestrator, "a", "asks").await;
    spawn(&orchestrator, "oracle", "oracle").await;
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(log.lines(), ["asked ?", "yes, ?"]);
}

#[tokio::test]
async fn a_journal_that_had_no_room_for_a_moment_has_forgotten_nothing() {
    let machine = Machine::default();
    {
        let orchestrator = durable(machine.open()).await;
        let orchestrator = orchestrator.with_connector("log", Log::default().connector());
        let a = spawn(&orchestrator, "a", "log").await;
        send(&orchestrator, a, "x").await;
    }
    let journal = machine.open();
    machine.set(Mood::Full);
    let noted = Record::Noted { event: EventKind::RunStarted { run: 0 } };
    journal.commit(Timestamp::now(), vec![noted]).await.unwrap_err();
    machine.set(Mood::Good);
    let log = Log::default();
    let orchestrator = orchestrator().with_connector("log", log.connector());
    // To be refused is right as well, and to be told that there is nothing is not.
    if let Ok(orchestrator) = orchestrator.with_journal(journal).await {
        assert_eq!(orchestrator.metrics().await.queue_depth, 1);
    }
}

#[tokio::test]
async fn a_recorded_decision_holds_while_the_disk_is_full() {
    let machine = Machine::default();
    let (disk, decisions) = (machine.clone(), Arc::new(Mutex::new(Vec::new())));
    let (said, this) = (decisions.clone(), Arc::new(OnceLock::<Arc<Orchestrator>>::new()));
    let sends = this.clone();
    let calls = function(move |ctx: Context| {
        let (disk, said, sends) = (disk.clone(), said.clone(), sends.clone());
        async move {
            if ctx.attempt() == 2 {
                disk.set(Mood::Full);
                let refused = outside(ctx.agent(), "y");
                sends.get().expect("set before").send(refused).await.unwrap_err();
                std::thread::spawn(move || {
                    std::thread::sleep(ms(300));
                    disk.set(Mood::Good);
                });
            }
            let call = ToolCall::new("search", Access::Read);
            let decision = ctx.tool(call).await;
            said.lock().unwrap().push(decision.is_allowed());
            if ctx.attempt() == 1 { Err(Failure::transient("busy")) } else { Ok(()) }
        }
    });
    let orchestrator = Arc::new(durable(machine.open()).await.with_connector("calls", calls));
    assert!(this.set(orchestrator.clone()).is_ok());
    let policy = ToolPolicy::new("search".into(), PermissionLevel::ReadOnly);
    let config = config("a", "calls").with_tool_policy(policy);
    let a = orchestrator.spawn(config).await.unwrap();
    send(&orchestrator, a, "x").await;
    assert_eq!(started(&orchestrator).await, StopReason::Completed);
    assert_eq!(*decisions.lock().unwrap(), [true, true]);
}

#[tokio::test]
async fn who_asks_again_under_the_same_id_does_not_wait_for_nothing() {
    let machine = Machine::default();
    let log = Log::default();
    let orchestrator = durable(machine.open()).await.with_connector("oracle", oracle(&log));
    let a = spawn(&orchestrator, "oracle", "oracle").await;
    let question = outside(a, "?");
    let asks = async {
        let first = orchestrator.bus().ask(question.clone(), SOON).await.unwrap();
        assert_eq!(first, "yes, ?");
        let again = timeout(ms(1_000), orchestrator.bus().ask(question.clone(), SOON)).await;
        orchestrator.stop().await;
        again
    };
    let (_, again) = tokio::join!(orchestrator.serve(), asks);
    assert!(again.is_ok(), "it is told at once, whatever it is told");
    assert_eq!(log.lines(), ["asked ?"]);
}

/// Says something to `b` for each letter.
struct ToB(Arc<AgentRegistry>);

impl Router for ToB {
    fn settled(&self, _: AgentId, _: &AgentMessage, _: Option<&Content>) -> Vec<AgentMessage> {
        Vec::new()
    }

    fn given_up(&self, letter: &DeadLetter) -> Vec<AgentMessage> {
        if letter.reason != DeadLetterReason::Retired {
            return Vec::new();
        }
        self.0.find("b").map(|b| outside(b, "given up")).into_iter().collect()
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_room_that_nobody_makes() {
    let machine = Machine::default();
    let orchestrator = over(MessageBus::with_limits(BusLimits::default().with_lane_capacity(1)));
    let router = ToB(orchestrator.registry().clone());
    let stuck = Arc::new(AtomicU32::new(0));
    let begun = stuck.clone();
    let never = function(move |_: Context| {
        begun.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>()
    });
    let orchestrator = orchestrator
        .with_stop_limits(StopLimits::new(ms(0), SOON))
        .with_router(Arc::new(router))
        .with_connector("never", never)
        .with_journal(machine.open())
        .await
        .unwrap();
    let b = spawn(&orchestrator, "b", "never").await;
    let a = orchestrator.spawn(config("a", "never").with_concurrency(1)).await.unwrap();
    send(&orchestrator, b, "full").await;
    let stops = async {
        eventually("b handles", || stuck.load(Ordering::Relaxed) == 1).await;
        send(&orchestrator, a, "left").await;
        eventually("a handles", || stuck.load(Ordering::Relaxed) == 2).await;
        let waits = outside(a, "waits").with_priority(MessagePriority::Low);
        orchestrator.send(waits).await.unwrap();
        orchestrator.retire(a).await.unwrap();
        timeout(SOON, orchestrator.stop()).await
    };
    let (_, stopped) = tokio::join!(orchestrator.start(), stops);
    assert!(stopped.is_ok());
}
