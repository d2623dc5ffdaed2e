//! The steps of a script, and how they group into turns.

use std::fmt;
use std::time::Duration;

use orch_core::{Content, Failure, ToolCall, Usage};

/// How long a question waits unless its step says otherwise.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// What an agent does, turn by turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) turns: Vec<Turn>,
    pub(super) repeat: Repeat,
}

/// What happens when no unused turn is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Repeat {
    #[default]
    No,
    All,
    Last,
}

/// Actions and what ends them.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    /// What the content must contain.
    pub(super) when: Option<String>,
    pub(super) actions: Vec<Action>,
    /// `None` while the turn is being written, and for actions at the end of a script.
    pub(super) end: Option<End>,
}

/// A step after which the turn goes on.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Delay(Duration),
    Block(Duration),
    Usage(Usage),
    Say(String),
    Send { to: String, content: Content },
    Ask { to: String, content: Content, timeout: Duration },
    Broadcast(Content),
    Publish { topic: String, content: Content },
    Tool { call: ToolCall, allowed: bool },
}

/// A step that ends its turn.
#[derive(Clone, Debug)]
pub(super) enum End {
    Reply(Content),
    Echo,
    ReplyAnswer,
    Done,
    Fail(Failure),
    Panic(String),
    Hang,
}

impl Script {
    pub(super) fn act(&mut self, action: Action) {
        self.open_turn().actions.push(action);
    }

    pub(super) fn end(&mut self, end: End) {
        self.open_turn().end = Some(end);
    }

    /// Sets the condition of the turn that begins; false if one has begun already.
    pub(super) fn when(&mut self, text: String) -> bool {
        let turn = self.open_turn();
        let begins = turn.actions.is_empty() && turn.when.is_none();
        if begins {
            turn.when = Some(text);
        }
        begins
    }

    fn open_turn(&mut self) -> &mut Turn {
        if self.turns.last().is_none_or(|turn| turn.end.is_some()) {
            self.turns.push(Turn::default());
        }
        self.turns.last_mut().expect("one was pushed if there was none")
    }
}

impl Turn {
    pub(super) fn fits(&self, content: &str) -> bool {
        self.when.as_ref().is_none_or(|text| content.contains(text.as_str()))
    }

    /// How many steps it has.
    pub(super) fn n_steps(&self) -> usize {
        self.actions.len() + usize::from(self.end.is_some())
    }

    /// A step in words.
    pub(super) fn step(&self, index: usize) -> String {
        let action = self.actions.get(index).map(ToString::to_string);
        action.or_else(|| self.end.as_ref().map(ToString::to_string)).unwrap_or_default()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(f, "delay {time:?}"),
            Self::Block(time) => write!(f, "block {time:?}"),
            Self::Usage(usage) => write!(f, "usage of {} tokens", usage.total_tokens()),
            Self::Say(text) => write!(f, "say {text:?}"),
            Self::Send { to, content } => write!(f, "send {content:?} to {to}"),
            Self::Ask { to, content, .. } => write!(f, "ask {to} {content:?}"),
            Self::Broadcast(content) => write!(f, "broadcast {content:?}"),
            Self::Publish { topic, content } => write!(f, "publish {content:?} on {topic}"),
            Self::Tool { call, allowed } => {
                write!(f, "tool {}, {}", call.tool, if *allowed { "allowed" } else { "denied" })
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(text) => write!(f, "reply {text:?}"),
            Self::Echo => f.write_str("echo"),
            Self::ReplyAnswer => f.write_str("reply_answer"),
            Self::Done => f.write_str("done"),
            Self::Fail(failure) => write!(f, "fail {:?}", failure.error),
            Self::Panic(text) => write!(f, "panic {text:?}"),
            Self::Hang => f.write_str("hang"),
        }
    }
}
