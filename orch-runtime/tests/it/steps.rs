//! What handlers do as steps of a durable orchestrator: tool calls, messages to many, several at a time;
//! and what a person decides about them.

use std::sync::Arc;

use orch_journal::{Entry, Record, StepKind};
use orch_runtime::*;

use crate::disk::{Disk, at_each_kill, mortal, run_until_killed};
use crate::support::{LIMIT, Log, config, ms, orchestrator, outside, over, send, spawn};

async fn durable(disk: &Disk) -> Orchestrator {
    let orchestrator = orchestrator().with_retry_policy(RetryPolicy::default().with_base(ms(2)));
    orchestrator.with_journal(disk.open(None).0).await.unwrap()
}

/// An agent that may call everything.
fn caller(name: &str, connector: &str) -> AgentConfig {
    let everything = ToolPolicy::new("*".into(), PermissionLevel::Full);
    config(name, connector).with_tool_policy(everything).with_max_retries(99)
}

fn pay() -> ToolCall {
    ToolCall::new("pay", Access::Write).with_arguments("10 EUR".into())
}

fn count(lines: &[String], begin: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(begin)).count()
}

/// Looks, pays, and fails its first attempt.
fn pays(log: &Log) -> impl Connector + use<> {
    let log = log.clone();
    function(move |ctx: Context| {
        let log = log.clone();
        async move {
            let look = ToolCall::new("look", Access::Read);
            let price = ctx.call_tool(look, Idempotent::Yes, async |key| {
                log.push(format!("look {key}"));
                Ok("10 EUR")
            });
            let price = price.await?;
            let paid = ctx.call_tool(pay(), Idempotent::No, async |key| {
                log.push(format!("pay {key}"));
                Ok(format!("paid {price}"))
            });
            let paid = paid.await?;
            if ctx.attempt() == 1 {
                return Err(Failure::transient("busy"));
            }
            log.push(format!("done: {paid}"));
            Ok(paid)
        }
    })
}

/// As an operator does it: looks whether money left the account, says so, and sends the message again.
async fn decide_and_resend(orchestrator: &Orchestrator, log: &Log) -> bool {
    for letter in orchestrator.dead_letters() {
        let DeadLetterReason::ToolUnfinished { step, tool } = &letter.reason else {
            panic!("{:?}", letter.reason);
        };
        assert_eq!((*step, tool.as_str()), (2, "pay"));
        let key = StepKey { delivery: letter.message.id(), n: *step };
        let unfinished = orchestrator.unfinished_tools().await.unwrap();
        assert_eq!(unfinished.iter().map(|it| it.key).collect::<Vec<_>>(), [key]);
        let decided = match log.lines().contains(&format!("pay {key}")) {
            true => orchestrator.finish_tool(key, "paid 10 EUR").await,
            false => orchestrator.reset_tool(key, "no money left the account").await,
        };
        if decided.is_err() || orchestrator.resend(key.delivery).await.is_err() {
            return false;
        }
    }
    true
}

async fn pays_to_the_end(journal: Journal, log: Arc<Log>) -> bool {
    let with = |it: Orchestrator| it.with_connector("pays", pays(&log));
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    let Ok(a) = orchestrator.spawn(caller("a", "pays")).await else { return false };
    if orchestrator.send(message(a)).await.is_err() {
        return false;
    }
    loop {
        if run_until_killed(&orchestrator).await.is_none() {
            return false;
        }
        if orchestrator.dead_letters().is_empty() {
            return true;
        }
        if !decide_and_resend(&orchestrator, &log).await {
            return false;
        }
    }
}

/// The same message in each process.
fn message(to: AgentId) -> AgentMessage {
    outside(to, "x").with_id(MessageId::from_uuid(to.as_uuid()))
}

#[test]
fn a_tool_call_is_made_once_or_decided_about_whenever_its_process_is_killed() {
    at_each_kill(pays_to_the_end, |_, log: &Log, when| {
        let lines = log.lines();
        assert_eq!(count(&lines, "pay "), 1, "{when}: {lines:?}");
        let looked: Vec<_> = lines.iter().filter(|line| line.starts_with("look ")).collect();
        assert!(looked.iter().all(|it| *it == looked[0]), "{when}: the key is the same: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("done: paid 10 EUR"), "{when}");
    });
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_a_dead_letter_and_its_agent_goes_on() {
    let (disk, log) = (Disk::default(), Log::default());
    let said = log.clone();
    let hangs = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let call = ctx.call_tool(pay(), Idempotent::No, async |_| {
                log.push(format!("pay for {}", ctx.content()));
                if ctx.content() == "x" {
                    std::future::pending::<()>().await;
                }
                Ok("paid")
            });
            // Whatever the handler makes of it.
            let _ = call.await;
        }
    });
    let orchestrator = durable(&disk).await.with_connector("hangs", hangs);
    let a = orchestrator.spawn(caller("a", "hangs").with_timeout_ms(300)).await.unwrap();
    let x = send(&orchestrator, a, "x").await;
    send(&orchestrator, a, "y").await;
    let key = StepKey { delivery: x, n: 1 };
    let under_way = async {
        while log.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        orchestrator.finish_tool(key, "paid").await
    };
    let (reason, under_way) = tokio::join!(orchestrator.start(), under_way);
    assert_eq!(under_way, Err(DecideError::UnderWay(key)));
    assert_eq!(reason.unwrap(), StopReason::Completed, "the agent is well");
    assert_eq!(log.lines(), ["pay for x", "pay for y"]);
    let letter = orchestrator.dead_letters().remove(0);
    let tool = "pay".to_owned();
    assert_eq!(letter.reason, DeadLetterReason::ToolUnfinished { step: 1, tool });
    assert!(letter.attempts[1].error.contains("nobody knows how it ended"), "{letter:?}");
    orchestrator.finish_tool(key, "paid").await.unwrap();
    let again = orchestrator.finish_tool(key, "paid twice").await;
    assert!(matches!(again, Err(DecideError::NotUnfinished(_))), "{again:?}");
    orchestrator.resend(x).await.unwrap();
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines().len(), 2, "nobody is paid twice");
    assert_eq!(disk.state().n_deliveries() + disk.state().letters().count(), 0);
}

#[tokio::test]
async fn a_call_that_had_no_effect_is_made_again_and_one_of_which_nobody_knows_is_not() {
    for (not_done, n_calls) in [(true, 2), (false, 1)] {
        let (disk, log) = (Disk::default(), Log::default());
        let said = log.clone();
        let fails = function(move |ctx: Context| {
            let log = said.clone();
            async move {
                let call = ctx.call_tool(pay(), Idempotent::No, async |key| {
                    log.push(key.to_string());
                    let failure = Failure::transient("no connection");
                    match ctx.attempt() {
                        1 if not_done => Err(ToolFailure::NotDone(failure)),
                        1 => Err(failure.into()),
                        _ => Ok("paid"),
                    }
                });
                call.await.map_err(Failure::from)
            }
        });
        let orchestrator = durable(&disk).await.with_connector("fails", fails);
        let a = orchestrator.spawn(caller("a", "fails")).await.unwrap();
        send(&orchestrator, a, "x").await;
        orchestrator.start().await.unwrap();
        assert_eq!(log.lines().len(), n_calls);
        assert_eq!(orchestrator.dead_letters().is_empty(), not_done);
    }
}

/// Without a journal the keys are the same in each attempt, and calls are made again.
#[tokio::test]
async fn in_memory_a_call_has_the_same_key_in_each_attempt() {
    let log = Log::default();
    let orchestrator = orchestrator()
        .with_retry_policy(RetryPolicy::default().with_base(ms(2)))
        .with_connector("pays", pays(&log));
    let a = orchestrator.spawn(caller("a", "pays")).await.unwrap();
    let id = send(&orchestrator, a, "x").await;
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    let (look, pay) = (format!("look {id}/1"), format!("pay {id}/2"));
    assert_eq!(log.lines(), [&*look, &*pay, &*look, &*pay, "done: paid 10 EUR"]);
    let decided = orchestrator.finish_tool(StepKey { delivery: id, n: 1 }, "x").await;
    assert_eq!(decided, Err(DecideError::NoJournal));
}

#[tokio::test]
async fn a_message_whose_steps_are_wrong_is_sent_again_with_them_or_afresh() {
    let (disk, log) = (Disk::default(), Log::default());
    let said = log.clone();
    let asks = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let to = ctx.find("b").expect("it is spawned");
            let question = if ctx.attempt() == 1 && log.lines().is_empty() { "1" } else { "2" };
            let answer = ctx.ask(to, question, LIMIT).await?;
            log.push(format!("{question}: {answer}"));
            if question == "1" { Err(Failure::transient("busy")) } else { Ok(()) }
        }
    });
    let orchestrator = durable(&disk)
        .await
        .with_connector("asks", asks)
        .with_connector("answers", function(|ctx: Context| async move { ctx.content().clone() }));
    let a = spawn(&orchestrator, "a", "asks").await;
    spawn(&orchestrator, "b", "answers").await;
    let id = send(&orchestrator, a, "x").await;
    let deadline = Timestamp::now().after(LIMIT);
    for _ in 0..2 {
        orchestrator.start().await.unwrap();
        let letter = orchestrator.dead_letters().remove(0);
        assert!(matches!(letter.reason, DeadLetterReason::StepMismatch { step: 1, .. }));
        orchestrator.resend(id).await.unwrap();
    }
    orchestrator.start().await.unwrap();
    assert_eq!(log.lines(), ["1: 1"], "it was never asked another question");
    let afresh = orchestrator.resend_afresh(id).await.unwrap();
    assert_ne!(afresh, id);
    assert!(matches!(orchestrator.resend(id).await, Err(ResendError::Unknown(_))));
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["1: 1", "2: 2"]);
    assert!(Timestamp::now() < deadline, "nothing waited for an answer that nobody gives");
    let named = |it: &Entry| matches!(it.record, Record::LetterDropped { sent_as: Some(copy), .. } if copy == afresh);
    assert_eq!(disk.events().iter().filter(|it| named(it)).count(), 1);
    assert_eq!(disk.state().n_deliveries() + disk.state().letters().count(), 0);
}

/// A message that expired is handled when somebody sends it again, also by the next process.
#[tokio::test]
async fn what_is_sent_again_has_no_deadline_any_more() {
    let (disk, log) = (Disk::with_file(), Log::default());
    let id = {
        let orchestrator = durable(&disk).await.with_connector("log", log.connector());
        let a = spawn(&orchestrator, "a", "log").await;
        let message = outside(a, "x").with_deadline(Timestamp::now().after(ms(20)));
        let id = orchestrator.send(message).await.unwrap();
        tokio::time::sleep(ms(30)).await;
        orchestrator.start().await.unwrap();
        assert_eq!(orchestrator.dead_letters()[0].reason, DeadLetterReason::Expired);
        orchestrator.resend(id).await.unwrap();
        id
    };
    assert_eq!(disk.state().delivery(id).unwrap().message.deadline(), None);
    let orchestrator = durable(&disk).await.with_connector("log", log.connector());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

/// Two messages want a call of which one is granted in an hour.
async fn searches(journal: Journal, log: Arc<Log>) -> bool {
    let said = log.clone();
    let search = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let decision = ctx.tool(ToolCall::new("search", Access::Read)).await;
            if decision.is_allowed() {
                log.push(ctx.delivery_key().to_string());
            }
            if ctx.attempt() == 1 { Err(Failure::transient("busy")) } else { Ok(()) }
        }
    });
    let with = |it: Orchestrator| it.with_connector("search", search);
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    let limited = ToolPolicy::new("*".into(), PermissionLevel::ReadOnly).with_rate_limit(1);
    let config = config("a", "search").with_tool_policy(limited).with_max_retries(9);
    let Ok(a) = orchestrator.spawn(config).await else { return false };
    for n in 1..=2 {
        let id = MessageId::from_uuid(a.as_uuid()).of_step(n);
        if orchestrator.send(outside(a, "x").with_id(id)).await.is_err() {
            return false;
        }
    }
    run_until_killed(&orchestrator).await.is_some()
}

#[test]
fn a_rate_is_not_passed_by_all_processes_together() {
    at_each_kill(searches, |disk, log: &Log, when| {
        let mut granted = log.lines();
        granted.sort_unstable();
        granted.dedup();
        assert_eq!(granted.len(), 1, "{when}");
        let grants = disk.state().grants().map(|it| it.policy.clone()).collect::<Vec<_>>();
        assert_eq!(grants, ["*"], "{when}: one for each call, whatever its attempts");
    });
}

#[tokio::test(start_paused = true)]
async fn what_a_rate_denied_is_decided_anew_once_it_may_be_allowed() {
    let (disk, log) = (Disk::default(), Log::default());
    let said = log.clone();
    let search = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let decision = ctx.tool(ToolCall::new("search", Access::Read)).await;
            log.push(format!("{} {}", ctx.content(), decision.is_allowed()));
            if decision.is_allowed() { Ok(()) } else { Err(Failure::transient("denied")) }
        }
    });
    let retry = RetryPolicy::default().with_base(ms(3_700_000)).with_cap(ms(3_700_000));
    let orchestrator = orchestrator()
        .with_retry_policy(retry)
        .with_loop_guard(LoopGuard::unlimited())
        .with_connector("search", search);
    let orchestrator = orchestrator.with_journal(disk.open(None).0).await.unwrap();
    let limited = ToolPolicy::new("search".into(), PermissionLevel::ReadOnly).with_rate_limit(1);
    // Without a timeout: paused time passes while the journal's thread works.
    let config = config("a", "search").with_tool_policy(limited).with_timeout_ms(u64::MAX);
    let a = orchestrator.spawn(config).await.unwrap();
    send(&orchestrator, a, "x").await;
    send(&orchestrator, a, "y").await;
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x true", "y false", "y true"]);
}

/// Tells everybody and a topic, and several at once; fails its first attempt.
async fn tells(journal: Journal, log: Arc<Log>) -> bool {
    let said = log.clone();
    let tells = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let b = ctx.find("b").expect("it is spawned");
            let n_told = ctx.broadcast("to all").await;
            let n_on_topic = ctx.publish("news", "to some").await;
            let (one, two, three) =
                tokio::join!(ctx.send(b, "one"), ctx.ask(b, "two", LIMIT), ctx.send(b, "three"));
            one?;
            two?;
            three?;
            if ctx.attempt() == 1 {
                return Err(Failure::transient("busy"));
            }
            log.push(format!("told {n_told} and {n_on_topic}"));
            Ok(())
        }
    });
    let with = |it: Orchestrator| {
        let listen = function(|_: Context| async { "heard" });
        it.with_connector("tells", tells).with_connector("listen", listen)
    };
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    let Ok(a) = orchestrator.spawn(config("a", "tells").with_max_retries(99)).await else {
        return false;
    };
    for name in ["b", "c", "d"] {
        let Ok(id) = orchestrator.spawn(config(name, "listen").with_max_retries(99)).await else {
            return false;
        };
        if name != "b" {
            orchestrator.bus().subscribe(id, "news");
        }
    }
    if orchestrator.send(message(a)).await.is_err() {
        return false;
    }
    run_until_killed(&orchestrator).await.is_some()
}

#[test]
fn messages_to_many_and_several_at_a_time_are_sent_once_whenever_their_process_is_killed() {
    at_each_kill(tells, |disk, log: &Log, when| {
        let events = disk.events();
        let accepted = |text: &str| {
            let is = |it: &&Entry| matches!(&it.record, Record::Accepted { message, .. } if message.content() == text);
            events.iter().filter(is).count()
        };
        let texts = ["to all", "to some", "one", "two", "three"];
        assert_eq!(texts.map(accepted), [3, 2, 1, 1, 1], "{when}");
        assert_eq!(log.lines().last().map(String::as_str), Some("told 3 and 2"), "{when}");
        let left = disk.state();
        assert_eq!(left.n_deliveries() + left.letters().count(), 0, "{when}");
        // Numbered in the order in which they were first polled.
        let steps = events.iter().filter_map(|it| match it.record {
            Record::StepTaken { key, kind, .. } => Some((key.n, kind)),
            _ => None,
        });
        let mut steps: Vec<_> = steps.collect();
        steps.sort_unstable_by_key(|(n, _)| *n);
        let kinds: Vec<_> = steps.into_iter().map(|(_, kind)| kind).collect();
        let (broadcast, publish) = (StepKind::Broadcast, StepKind::Publish);
        let expected = [broadcast, publish, StepKind::Send, StepKind::Ask, StepKind::Send];
        assert_eq!(kinds, expected, "{when}");
    });
}

#[tokio::test]
async fn a_copy_that_is_refused_is_a_dead_letter_in_the_set_of_the_others() {
    let disk = Disk::default();
    let limits = BusLimits::default().with_lane_capacity(1).with_send_wait(ms(20));
    let tells = function(|ctx: Context| async move { ctx.broadcast("x").await.to_string() });
    let full = AgentId::new();
    let orchestrator = over(MessageBus::with_limits(limits))
        .with_connector("tells", tells)
        .with_connector("listen", Log::default().connector());
    let orchestrator = orchestrator.with_journal(disk.open(None).0).await.unwrap();
    let a = spawn(&orchestrator, "a", "tells").await;
    spawn(&orchestrator, "free", "listen").await;
    // Nobody handles what lies in there.
    orchestrator.bus().create_mailbox(full).await;
    send(&orchestrator, full, "waits").await;
    send(&orchestrator, a, "go").await;
    let is_one_set = |events: &[Entry]| {
        let step = events.iter().position(|it| {
            matches!(&it.record, Record::StepTaken { kind: StepKind::Broadcast, output: Some(n), .. } if n == "1")
        });
        let step = step.expect("it is recorded");
        let is_accepted = matches!(events[step + 1].record, Record::Accepted { .. });
        let is_given_up = matches!(&events[step + 2].record, Record::DeadLettered { letter } if letter.message.to() == full);
        is_accepted && is_given_up
    };
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert!(is_one_set(&disk.events()), "{:#?}", disk.events());
    assert_eq!(orchestrator.dead_letters().len(), 1);
}

/// What is used is not lost while the journal's queue, or its disk, is full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_recorded_whatever_the_queue_and_the_disk_have_room_for() {
    const N: u64 = 5_000;
    for is_full in [false, true] {
        let disk = Disk::default();
        let under = disk.clone();
        let uses = function(move |ctx: Context| {
            let disk = under.clone();
            async move {
                match is_full {
                    true => disk.fill(),
                    false => disk.hold(),
                }
                let one = Usage { input_tokens: 1, ..Usage::default() };
                for _ in 0..if is_full { 3 } else { N } {
                    ctx.report_usage(one);
                }
                tokio::time::sleep(ms(20)).await;
                disk.thaw();
            }
        });
        let orchestrator = durable(&disk).await.with_connector("uses", uses);
        let a = spawn(&orchestrator, "a", "uses").await;
        send(&orchestrator, a, "x").await;
        assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
        let expected = if is_full { 3 } else { N };
        assert_eq!(disk.state().spent().input_tokens, expected, "full disk: {is_full}");
    }
}

/// Makes a helper, asks it, and lets it go; fails its first attempt.
async fn delegates(journal: Journal, log: Arc<Log>) -> bool {
    let said = log.clone();
    let delegates = function(move |ctx: Context| {
        let log = said.clone();
        async move {
            let helper = ctx.spawn(config("helper", "helps").with_max_retries(99)).await?;
            let answer = ctx.ask(helper, "help", LIMIT).await?;
            ctx.retire(helper).await?;
            if ctx.attempt() == 1 {
                return Err(Failure::transient("busy"));
            }
            log.push(answer.as_str());
            Ok(())
        }
    });
    let helps = function(|_: Context| async { "helped" });
    let with =
        |it: Orchestrator| it.with_connector("delegates", delegates).with_connector("helps", helps);
    let Some(orchestrator) = mortal(journal, with).await else { return false };
    let config = config("a", "delegates").with_max_retries(99);
    let Ok(a) = orchestrator.spawn(config).await else { return false };
    if orchestrator.send(message(a)).await.is_err() {
        return false;
    }
    run_until_killed(&orchestrator).await.is_some()
}

#[test]
fn a_helper_is_made_asked_and_retired_once_whenever_its_process_is_killed() {
    at_each_kill(delegates, |disk, log: &Log, when| {
        assert_eq!(log.lines().last().map(String::as_str), Some("helped"), "{when}");
        let (events, state) = (disk.events(), disk.state());
        let asked = |it: &Entry| matches!(&it.record, Record::Accepted { message, .. } if message.content() == "help");
        assert_eq!(events.iter().filter(|it| asked(it)).count(), 1, "{when}");
        let names: Vec<_> = state.agents().map(|it| it.config.name.clone()).collect();
        assert_eq!((names, state.n_deliveries()), (vec!["a".to_owned()], 0), "{when}");
    });
}
