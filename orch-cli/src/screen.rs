//! What a person (or a program) sees of a run while it runs: a thread of its own, told by events.

mod board;
mod json;
mod live;
mod plain;
mod text;

use std::io::IsTerminal;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use orch_runtime::{Event, MessageBus, Observer};

pub(crate) use board::Board;
pub(crate) use text::{one_line, plain, seconds};

use live::Live;

/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(80);

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Rows that change, on a terminal.
    Live,
    /// A line for each thing worth telling.
    Plain,
    /// One JSON event a line, on standard output.
    Json,
    /// Nothing.
    Quiet,
}

impl View {
    /// The view for these wishes and this standard error.
    pub(crate) fn choose(json: bool, quiet: bool, logs: bool) -> Self {
        match (json, quiet || logs) {
            (true, _) => Self::Json,
            (false, true) => Self::Quiet,
            (false, false) if std::io::stderr().is_terminal() => Self::Live,
            (false, false) => Self::Plain,
        }
    }
}

enum Signal {
    Event(Box<Event>),
    Finish,
}

/// The thread that shows a run.
pub(crate) struct Screen {
    signals: Sender<Signal>,
    thread: JoinHandle<Board>,
}

/// Passes events to the screen's thread, and never waits for it.
struct ToScreen(Sender<Signal>);

impl Observer for ToScreen {
    fn on_event(&self, event: &Event) {
        // The screen may be gone at the very end; nobody misses what comes then.
        let _ = self.0.send(Signal::Event(Box::new(event.clone())));
    }
}

impl Screen {
    /// Begins to show a run; the observer is to be told its events.
    pub(crate) fn start(view: View, bus: Arc<MessageBus>) -> (Self, Arc<dyn Observer>) {
        let (signals, received) = unbounded();
        let thread = thread::spawn(move || show(view, &received, &bus));
        let observer = Arc::new(ToScreen(signals.clone()));
        (Self { signals, thread }, observer)
    }

    /// Shows what is left to show, and answers what was seen.
    pub(crate) fn finish(self) -> Board {
        let _ = self.signals.send(Signal::Finish);
        self.thread.join().unwrap_or_default()
    }
}

fn show(view: View, signals: &Receiver<Signal>, bus: &MessageBus) -> Board {
    let mut board = Board::default();
    let mut live = (view == View::Live).then(Live::new);
    loop {
        match signals.recv_timeout(FRAME) {
            Ok(Signal::Event(event)) => {
                match view {
                    View::Json => json::print(&event),
                    View::Plain => plain::print(&board, &event),
                    View::Live | View::Quiet => {}
                }
                board.apply(&event);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Signal::Finish) | Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(live) = &mut live {
            live.draw(&board, bus);
        }
    }
    if let Some(live) = live {
        live.clear();
    }
    board
}
