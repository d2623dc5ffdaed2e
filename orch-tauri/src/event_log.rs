//! The last events of one orchestrator, numbered, for readers that come, lag and come again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orch_runtime::{Event, EventKind, Observer};
use tokio::sync::watch;

use crate::answer::{EventFrame, NumberedEvent};
use crate::text;

/// How many events are kept.
pub(crate) const EVENTS_MAX: usize = 4096;

/// How many bytes of text the kept events may hold alive.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The most events and (about) the most bytes of text in one frame.
const FRAME_EVENTS_MAX: usize = 256;
const FRAME_BYTES_MAX: usize = 256 << 10;

/// Keeps the last events. Bounded by their count and by the text that they hold.
#[derive(Debug)]
pub(crate) struct EventLog {
    kept: Mutex<Kept>,
    /// The number of the newest event, to wait for.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<(usize, Arc<Event>)>,
    /// Invariant: the sum of the first parts of `events`.
    bytes: usize,
    /// The number of the newest event ever; the kept ones have the numbers up to it.
    newest: u64,
}

/// Reads a log from a number on, each event once and in order.
#[derive(Debug)]
pub(crate) struct EventReader {
    log: Arc<EventLog>,
    /// The number of the last event that was read or missed.
    after: u64,
    newest: watch::Receiver<u64>,
}

impl EventLog {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), newest: watch::Sender::new(0) })
    }

    /// The number of the newest event; 0 if there was none.
    pub(crate) fn newest(&self) -> u64 {
        self.lock().newest
    }

    /// Reads what comes after the event of that number.
    pub(crate) fn reader(self: &Arc<Self>, after: u64) -> EventReader {
        EventReader { log: Arc::clone(self), after, newest: self.newest.subscribe() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for EventLog {
    fn on_event(&self, event: &Event) {
        let mut kept = self.lock();
        kept.push(Arc::new(event.clone()));
        // Under the lock, so that the numbers that are waited for only grow.
        self.newest.send_replace(kept.newest);
    }
}

impl Kept {
    fn push(&mut self, event: Arc<Event>) {
        let bytes = bytes_of(&event.kind);
        self.newest += 1;
        self.bytes += bytes;
        self.events.push_back((bytes, event));
        while EVENTS_MAX < self.events.len()
            || (TEXT_BYTES_MAX < self.bytes && 1 < self.events.len())
        {
            let Some((bytes, _)) = self.events.pop_front() else { break };
            self.bytes -= bytes;
        }
    }

    /// The number of the last event that is not kept any more.
    fn forgotten(&self) -> u64 {
        self.newest - self.events.len() as u64
    }

    /// The events after that number that fit into a frame, and the number before the first.
    fn take(&self, after: u64) -> (u64, Vec<Arc<Event>>) {
        let from = after.max(self.forgotten());
        let skipped = usize::try_from(from - self.forgotten()).unwrap_or(usize::MAX);
        let mut room = FRAME_BYTES_MAX;
        let mut events = Vec::new();
        for (bytes, event) in self.events.iter().skip(skipped).take(FRAME_EVENTS_MAX) {
            let bytes = (*bytes).min(text::EVENT_TEXT_BYTES_MAX);
            if room < bytes && !events.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            events.push(Arc::clone(event));
        }
        (from, events)
    }
}

impl EventReader {
    /// Waits for the next events; `None` once the log is gone.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future before it is ready reads nothing.
    pub(crate) async fn next(&mut self) -> Option<EventFrame> {
        let after = self.after;
        self.newest.wait_for(|newest| after < *newest).await.ok()?;
        let (from, events) = self.log.lock().take(self.after);
        let missed = from - self.after;
        self.after = from + events.len() as u64;
        let numbered = (from + 1..).zip(&events);
        let events = numbered.filter_map(|(number, event)| to_json(number, event)).collect();
        Some(EventFrame { missed, events })
    }
}

/// An event as a page gets it: its texts cut, its numbers such that JavaScript holds them.
fn to_json(number: u64, event: &Event) -> Option<serde_json::Value> {
    let event = NumberedEvent { number, cut: false, event: event.clone() };
    let mut value = serde_json::to_value(event).ok()?;
    if text::cut_texts(&mut value) {
        value["cut"] = true.into();
    }
    text::clamp_numbers(&mut value);
    Some(value)
}

/// About how many bytes of text an event holds alive.
fn bytes_of(kind: &EventKind) -> usize {
    const FIXED: usize = 256;
    let text = match kind {
        EventKind::Accepted { message } => {
            let metadata = message.metadata().iter().map(|(key, value)| key.len() + value.len());
            message.content().len() + metadata.sum::<usize>()
        }
        EventKind::Settled { output, .. } => output.as_ref().map_or(0, |output| output.len()),
        EventKind::Said { text, .. } => text.len(),
        EventKind::Registered { name, .. } => name.len(),
        EventKind::RetryScheduled { error, .. } | EventKind::AgentFailed { error, .. } => {
            error.len()
        }
        EventKind::ToolDecided { call, .. } | EventKind::ApprovalAsked { call, .. } => {
            call.arguments.to_string().len()
        }
        _ => 0,
    };
    FIXED + text
}

#[cfg(test)]
mod tests {
    use orch_runtime::{AgentId, EventHub, Severity};

    use super::*;

    fn say(log: &EventLog, text: &str) {
        let hub = EventHub::new();
        let keep = Arc::new(Keep::default());
        hub.add(keep.clone());
        hub.emit(Severity::Debug, || EventKind::Said {
            agent: AgentId::OUTSIDE,
            text: text.into(),
        });
        let event = keep.0.lock().unwrap().take().unwrap();
        log.on_event(&event);
    }

    #[derive(Default)]
    struct Keep(Mutex<Option<Event>>);
    impl Observer for Keep {
        fn on_event(&self, event: &Event) {
            *self.0.lock().unwrap() = Some(event.clone());
        }
    }

    fn numbers(frame: &EventFrame) -> Vec<u64> {
        frame.events.iter().map(|event| event["number"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_reader_gets_every_event_once_and_in_order() {
        let log = EventLog::new();
        (0..3).for_each(|_| say(&log, "a"));
        let mut reader = log.reader(1);
        assert_eq!(numbers(&reader.next().await.unwrap()), [2, 3]);
        say(&log, "b");
        assert_eq!(numbers(&reader.next().await.unwrap()), [4]);
        assert_eq!(log.newest(), 4);
    }

    #[tokio::test]
    async fn a_reader_that_lags_is_told_how_many_it_missed_and_goes_on() {
        let log = EventLog::new();
        let mut reader = log.reader(0);
        (0..EVENTS_MAX + 10).for_each(|_| say(&log, "a"));
        let frame = reader.next().await.unwrap();
        assert_eq!((frame.missed, numbers(&frame)[0]), (10, 11));
        let mut read = frame.events.len();
        while read < EVENTS_MAX {
            let frame = reader.next().await.unwrap();
            assert_eq!((frame.missed, frame.events.len() <= FRAME_EVENTS_MAX), (0, true));
            read += frame.events.len();
        }
        assert_eq!(reader.after, log.newest());
    }

    #[tokio::test]
    async fn long_texts_are_cut_and_do_not_fill_the_memory() {
        let log = EventLog::new();
        let long = "x".repeat(1 << 20);
        (0..40).for_each(|_| say(&log, &long));
        let held = log.lock().bytes;
        assert!(held <= TEXT_BYTES_MAX, "{held}");
        let frame = log.reader(39).next().await.unwrap();
        assert_eq!(frame.events[0]["cut"], true);
        assert_eq!(frame.events[0]["text"].as_str().unwrap().len(), text::EVENT_TEXT_BYTES_MAX);
        assert_eq!(log.reader(0).next().await.unwrap().missed, 40 - log.lock().events.len() as u64);
    }
}
