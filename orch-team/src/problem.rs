//! What is wrong with a team file: each problem with its place, all of them in one error.

use std::fmt;

use crate::flow::GuardTooLow;
use crate::nearest::did_you_mean;
use crate::source::Place;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key or a table that stands in the file twice.
    #[error("`{key}` is there twice; keep one of them")]
    Duplicate {
        /// The key, or the last part of the table's name.
        key: String,
    },
    /// A key that nothing reads.
    #[error("unknown key `{key}` in {section}{}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it stands in.
        section: String,
        /// The known key that was most likely meant.
        nearest: Option<String>,
    },
    /// A key that is needed and not there.
    #[error("{section} needs `{key}`")]
    MissingKey {
        /// The key.
        key: String,
        /// The table that lacks it.
        section: String,
    },
    /// A value of another type than its key takes.
    #[error("`{key}` in {section} must be {expected}, not {found}")]
    WrongType {
        /// The key.
        key: String,
        /// The table that it stands in.
        section: String,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A value of the right type that its key does not take.
    #[error("`{key}` in {section}: {problem}")]
    WrongValue {
        /// The key.
        key: String,
        /// The table that it stands in.
        section: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The flow names an agent that the file does not have.
    #[error("the flow uses agent `{name}`, which the file does not have{}",
        did_you_mean(.nearest.as_deref()))]
    UnknownAgent {
        /// The name.
        name: String,
        /// The agent that was most likely meant.
        nearest: Option<String>,
    },
    /// `${name}` of a variable that `[set]` does not declare.
    #[error("variable `{name}` is not declared in [set]{}", did_you_mean(.nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The declared variable that was most likely meant.
        nearest: Option<String>,
    },
    /// There is no `[flow]`, or nothing in it says which flow.
    #[error("the file has no flow")]
    NoFlow,
    /// There is more than one flow.
    #[error("a team has one flow; this one has {}", .flows.join(" and "))]
    SeveralFlows {
        /// The keys that begin a flow.
        flows: Vec<String>,
    },
    /// There is no agent.
    #[error("the file has no agents")]
    NoAgents,
    /// The flow needs more than a guard allows.
    #[error(transparent)]
    GuardTooLow(#[from] GuardTooLow),
    /// An agent that the flow does not send to. A warning: other agents may.
    #[error("the flow does not use agent `{name}`")]
    UnusedAgent {
        /// The agent.
        name: String,
    },
    /// A variable that no string uses. A warning.
    #[error("nothing uses variable `{name}`")]
    UnusedVariable {
        /// The variable.
        name: String,
    },
}

impl ProblemKind {
    /// Whether a team with this problem can run all the same.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::UnusedAgent { .. } | Self::UnusedVariable { .. })
    }
}

/// One thing that is wrong with a team file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The file, as it was named.
    pub file: String,
    /// Where it stands; `None` for what comes from outside of the file.
    pub place: Option<Place>,
    /// What would be right, where that can be said.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: impl Into<ProblemKind>) -> Self {
        Self { kind: kind.into(), file: String::new(), place: None, hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Shows the problem with its source line; ends with a newline.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.kind.is_warning() { "warning" } else { "error" };
        writeln!(f, "{severity}: {}", one_line(&self.kind.to_string()))?;
        match &self.place {
            Some(place) => {
                let gutter = " ".repeat(place.line.to_string().len());
                writeln!(f, "{gutter}--> {}:{}:{}", self.file, place.line, place.column)?;
                place.fmt(f)?;
            }
            None => writeln!(f, " --> {}", self.file)?,
        }
        self.hint.as_ref().map_or(Ok(()), |hint| writeln!(f, "  = hint: {}", one_line(hint)))
    }
}

/// Text from the file inside a message must not break its line or act on a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Everything that is wrong with a team file, in the order in which it stands there.
///
/// Shown, it is one block a problem and a last line that counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorted by place; what has none comes first.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|it| it.place.as_ref().map(|place| (place.line, place.column)));
        Self(problems)
    }

    /// The problems, errors and warnings, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// How many of them keep the team from running.
    #[must_use]
    pub fn n_errors(&self) -> usize {
        self.0.iter().filter(|it| !it.kind.is_warning()).count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        let n_errors = self.n_errors();
        let n_warnings = self.0.len() - n_errors;
        let counts = [(n_errors, "error"), (n_warnings, "warning")];
        let counts = counts.iter().filter(|(n, _)| 0 < *n);
        let counts: Vec<_> = counts.map(|(n, word)| n_of(*n as u64, word)).collect();
        let file = self.0.first().map_or("", |it| &it.file);
        write!(f, "{file}: {}", counts.join(", "))
    }
}

impl std::error::Error for Problems {}

/// `1 item`, `2 items`.
pub(crate) fn n_of(n: u64, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}
