//! A durable orchestrator: its promises one by one. `kills` has them together.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use orch_journal::{MemoryStore, Record, SqliteOptions};
use orch_runtime::*;

use crate::disk::{Disk, Kill};
use crate::support::{Log, config, ms, orchestrator, outside, send, spawn};

async fn durable(disk: &Disk) -> Orchestrator {
    orchestrator().with_journal(disk.open(None).0).await.unwrap()
}

#[tokio::test]
async fn what_was_accepted_waits_in_its_order_for_the_next_process() {
    let (disk, log) = (Disk::default(), Log::default());
    let a = {
        let orchestrator = durable(&disk).await.with_connector("log", log.connector());
        let a = spawn(&orchestrator, "a", "log").await;
        for n in 0..3 {
            send(&orchestrator, a, &format!("{n}")).await;
        }
        let urgent = outside(a, "now").with_priority(MessagePriority::Critical);
        orchestrator.send(urgent).await.unwrap();
        a
    };
    let orchestrator = durable(&disk).await.with_connector("log", log.connector());
    assert_eq!(orchestrator.metrics().await.queue_depth, 4);
    assert_eq!(spawn(&orchestrator, "a", "log").await, a, "it keeps its id");
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["now", "0", "1", "2"]);
    assert_eq!(disk.state().n_deliveries(), 0);
}

#[tokio::test]
async fn an_agent_that_is_not_spawned_again_has_what_was_recorded_and_start_names_what_is_missing()
{
    let (disk, log) = (Disk::default(), Log::default());
    {
        let orchestrator = durable(&disk).await.with_connector("mine", log.connector());
        let a = spawn(&orchestrator, "a", "mine").await;
        send(&orchestrator, a, "x").await;
    }
    let orchestrator = durable(&disk).await;
    let error = orchestrator.start().await.unwrap_err();
    assert!(matches!(&error, StartError::CannotRun { name, .. } if name == "a"), "{error}");
    assert!(error.to_string().contains("mine"), "{error}");
    let orchestrator = orchestrator.with_connector("mine", log.connector());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

#[tokio::test]
async fn a_message_that_is_sent_again_under_its_id_is_accepted_once() {
    let (disk, log) = (Disk::default(), Log::default());
    let orchestrator = durable(&disk).await.with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let message = outside(a, "x");
    for _ in 0..3 {
        assert_eq!(orchestrator.send(message.clone()).await.unwrap(), message.id());
    }
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(orchestrator.send(message.clone()).await.unwrap(), message.id());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

/// Panicking stands for killing: the attempt was recorded, and nothing after it.
#[test]
fn a_message_that_kills_its_process_is_a_dead_letter_after_its_attempts() {
    let (disk, n_attempts) = (Disk::default(), Arc::new(AtomicU32::new(0)));
    let id = Mutex::new(None);
    for life in 0_usize.. {
        assert!(life < 10);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let has_letter = runtime.block_on(async {
            let orchestrator = durable(&disk).await.with_connector("kills", {
                let n_attempts = n_attempts.clone();
                function(move |_: Context| {
                    n_attempts.fetch_add(1, Ordering::Relaxed);
                    std::future::pending::<()>()
                })
            });
            let kills = config("a", "kills").with_max_retries(2);
            let a = orchestrator.spawn(kills).await.unwrap();
            if life == 0 {
                *id.lock().unwrap() = Some(send(&orchestrator, a, "x").await);
            }
            let before = n_attempts.load(Ordering::Relaxed);
            let attempted = async {
                while n_attempts.load(Ordering::Relaxed) == before {
                    tokio::task::yield_now().await;
                }
            };
            // A process that is killed says nothing more: neither put back nor the end of the run.
            let ended = tokio::select! {
                ended = orchestrator.start() => Some(ended.unwrap()),
                () = attempted => None,
            };
            if ended.is_none() {
                disk.freeze();
            }
            orchestrator
                .dead_letters()
                .first()
                .map(|letter| (letter.message.id(), letter.reason.clone(), letter.attempts.len()))
        });
        drop(runtime);
        disk.thaw();
        if let Some(letter) = has_letter {
            let exhausted = DeadLetterReason::AttemptsExhausted;
            assert_eq!(letter, (id.lock().unwrap().unwrap(), exhausted, 3));
            break;
        }
    }
    assert_eq!(n_attempts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_attempt_that_takes_another_step_fails_for_good_and_says_both_sides() {
    let disk = Disk::default();
    let log = Log::default();
    let orchestrator = durable(&disk)
        .await
        .with_retry_policy(RetryPolicy::default().with_base(ms(2)))
        .with_connector("log", log.connector())
        .with_connector(
            "wavers",
            function(|ctx: Context| async move {
                let to = ctx.find("b").expect("it is spawned");
                // Whatever comes of it: the handler does not say.
                let _ = ctx.send(to, format!("attempt {}", ctx.attempt())).await;
                if ctx.attempt() == 1 { Err(Failure::transient("busy")) } else { Ok(()) }
            }),
        );
    let a = spawn(&orchestrator, "a", "wavers").await;
    spawn(&orchestrator, "b", "log").await;
    send(&orchestrator, a, "x").await;
    assert!(matches!(orchestrator.start().await.unwrap(), StopReason::AgentError { .. }));
    assert_eq!(log.lines(), ["attempt 1"], "nothing is sent blindly");
    let letter = orchestrator.dead_letters().remove(0);
    assert!(matches!(letter.reason, DeadLetterReason::StepMismatch { step: 1, .. }));
    let error = &letter.attempts[1].error;
    assert!(error.contains("an earlier attempt took the step Send"), "{error}");
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let (disk, log) = (Disk::default(), Log::default());
    let orchestrator = durable(&disk).await.with_connector("log", log.connector());
    let a = spawn(&orchestrator, "a", "log").await;
    let message = outside(a, "x");
    disk.fill();
    let error = orchestrator.send(message.clone()).await.unwrap_err();
    assert!(matches!(&error, SendError::NotDurable { transient: true, .. }), "{error}");
    assert!(matches!(orchestrator.start().await, Err(StartError::Journal(_))));
    disk.thaw();
    tokio::time::sleep(ms(400)).await;
    orchestrator.send(message).await.unwrap();
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
}

#[tokio::test]
async fn a_journal_that_stops_ends_the_run_and_acks_nothing() {
    let (disk, log) = (Disk::default(), Log::default());
    // Registered, accepted, run started, attempt started; then the settling fails.
    let (journal, _) = disk.open(Some((4, Kill::Before)));
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let orchestrator = orchestrator.with_journal(journal).await.unwrap();
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    let reason = orchestrator.start().await.unwrap();
    assert!(matches!(reason, StopReason::JournalFailed { .. }), "{reason}");
    assert_eq!(log.lines(), ["x"]);
    assert_eq!(orchestrator.metrics().await.total_messages, 0);
    assert_eq!(orchestrator.metrics().await.queue_depth, 1, "it is back in its mailbox");
    let settled = |it: &orch_journal::Entry| matches!(it.record, Record::Settled { .. });
    assert!(!disk.events().iter().any(settled));
}

#[tokio::test]
async fn dead_letters_are_there_after_a_restart_and_are_sent_again_once() {
    let disk = Disk::default();
    let id = {
        let fails = Scripted::new().fail("broken").repeat();
        let orchestrator = durable(&disk).await.with_connector("c", fails);
        let a = orchestrator.spawn(config("a", "c").with_max_retries(0)).await.unwrap();
        let id = send(&orchestrator, a, "x").await;
        orchestrator.start().await.unwrap();
        id
    };
    let log = Log::default();
    let orchestrator = durable(&disk).await.with_connector("c", log.connector());
    spawn(&orchestrator, "a", "c").await;
    assert_eq!(orchestrator.dead_letters().len(), 1);
    orchestrator.resend(id).await.unwrap();
    assert!(orchestrator.dead_letters().is_empty());
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["x"]);
    let state = disk.state();
    assert_eq!((state.letters().count(), state.n_deliveries()), (0, 0));
}

#[tokio::test]
async fn a_file_carries_a_team_from_one_process_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let (options, redactor) = (SqliteOptions::default(), orch_journal::Redactor::new());
        let path = folder.path().join("run.journal");
        Journal::open(path, options, redactor, Timestamp::now()).unwrap()
    };
    let log = Log::default();
    let a = {
        let orchestrator = orchestrator().with_connector("log", log.connector());
        let orchestrator = orchestrator.with_journal(open()).await.unwrap();
        let a = spawn(&orchestrator, "a", "log").await;
        send(&orchestrator, a, "1").await;
        assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
        send(&orchestrator, a, "2").await;
        a
    };
    let orchestrator = orchestrator().with_connector("log", log.connector());
    let orchestrator = orchestrator.with_journal(open()).await.unwrap();
    assert_eq!(spawn(&orchestrator, "a", "log").await, a);
    assert_eq!(orchestrator.start().await.unwrap(), StopReason::Completed);
    assert_eq!(log.lines(), ["1", "2"]);
}

#[tokio::test]
async fn a_journal_comes_before_the_first_message() {
    let orchestrator = orchestrator().with_connector("log", Log::default().connector());
    let a = spawn(&orchestrator, "a", "log").await;
    send(&orchestrator, a, "x").await;
    let journal =
        Journal::start(MemoryStore::new(), orch_journal::Redactor::new(), Timestamp::now());
    let error = orchestrator.with_journal(journal.unwrap()).await.unwrap_err();
    assert!(matches!(error, RecoverError::TooLate(1)), "{error}");
}
