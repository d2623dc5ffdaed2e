//! What a run was given: its team and its inputs, kept in the journal before anything else, so that
//! `orch resume` needs nothing but the journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orch_journal::{
    ContentHash, Durability, Journal, OpenError, Record, Redactor, SqliteOptions, SqliteStore,
    State,
};
use orch_runtime::secret::is_secret_key;
use orch_runtime::{AgentId, Content, StopReason, Timestamp};
use orch_team::{Sets, Team};
use serde::{Deserialize, Serialize};

use crate::args::{DiskArgs, Kept, TeamArgs};
use crate::exit::Stop;
use crate::journal::unopened;

/// It is kept as a conversation of nobody's: a journal keeps those whole, and prunes none.
const CONVERSATION: &str = "orch.team";

/// What a run was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// The path of the team file; absolute.
    pub(crate) team: String,
    /// The hash of the team as it is shown with all defaults: without its secrets, so that a new key is
    /// no other team.
    pub(crate) hash: ContentHash,
    /// Variables that were set, without those whose names say that they are secrets.
    pub(crate) sets: BTreeMap<String, String>,
    /// Those.
    pub(crate) secret_sets: Vec<String>,
    pub(crate) inputs: Vec<Content>,
}

/// A journal that is written, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Journaled {
    pub(crate) journal: Arc<Journal>,
    pub(crate) file: PathBuf,
    pub(crate) hash: ContentHash,
}

/// How a journal stands.
#[derive(Debug)]
pub(crate) enum Standing {
    Empty,
    /// `orch run` did not begin it.
    Foreign,
    Unfinished(Given),
    /// Nothing waits, and the last run came to its end so.
    Ended(Given, StopReason),
}

pub(crate) fn standing(state: &State) -> Result<Standing, Stop> {
    let Some(text) = state.conversation(AgentId::OUTSIDE, CONVERSATION) else {
        return Ok(if state.last().0 == 0 { Standing::Empty } else { Standing::Foreign });
    };
    let given: Given = serde_json::from_str(text).map_err(|error| {
        Stop::damaged(format_args!("what the run was given cannot be read: {error}"))
    })?;
    Ok(match ended(state) {
        Some(reason) => Standing::Ended(given, reason),
        None => Standing::Unfinished(given),
    })
}

/// Why the last run ended, if it came to its end and nothing is left to do. One that was stopped may
/// have more to do than what waits: its flow knows.
fn ended(state: &State) -> Option<StopReason> {
    let (_, last) = state.runs().last_key_value()?;
    let at_rest =
        matches!(last.reason, Some(StopReason::Completed | StopReason::AgentError { .. }));
    last.reason.clone().filter(|_| at_rest && state.n_deliveries() == 0)
}

/// Whether this is what a run was given, for whoever shows events.
pub(crate) fn is_given(agent: AgentId, conversation: &str) -> bool {
    agent == AgentId::OUTSIDE && conversation == CONVERSATION
}

/// Opens a journal to write it, or makes it.
pub(crate) fn open(file: &Path, args: &DiskArgs) -> Result<SqliteStore, Stop> {
    let options = SqliteOptions::new().with_durability(match args.durability {
        Kept::Sync => Durability::Sync,
        Kept::Os => Durability::Os,
        Kept::Off => Durability::Off,
    });
    // Of a process that was killed a moment ago a child may be left that has not let go of the file
    // yet: it was forked, and is about to become another program.
    for _ in 0..20 {
        match SqliteStore::open(file, options.clone()) {
            Err(OpenError::InUse { .. }) => std::thread::sleep(Duration::from_millis(50)),
            opened => return opened.map_err(unopened),
        }
    }
    SqliteStore::open(file, options).map_err(|error| match error {
        OpenError::InUse { .. } => {
            Stop::wrong_input(format_args!("{error}: its run goes on there"))
        }
        error => unopened(error),
    })
}

/// The hash by which a team is known again.
pub(crate) fn hash(team: &Team) -> ContentHash {
    ContentHash::of(team.resolved().to_string().as_bytes())
}

/// The path of a team file, as it is kept.
pub(crate) fn absolute(file: &Path) -> Result<String, Stop> {
    let absolute = std::path::absolute(file).map_err(Stop::wrong_input)?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Stop::wrong_input(format_args!("the path {} is not UTF-8", absolute.display()))
    })
}

impl Given {
    pub(crate) fn new(args: &TeamArgs, team: &Team, inputs: &[Content]) -> Result<Self, Stop> {
        let (secret, sets): (Vec<_>, Vec<_>) =
            args.sets()?.into_pairs().partition(|(name, _)| is_secret_key(name));
        Ok(Self {
            team: absolute(&args.file)?,
            hash: hash(team),
            sets: sets.into_iter().collect(),
            secret_sets: secret.into_iter().map(|(name, _)| name).collect(),
            inputs: inputs.to_vec(),
        })
    }

    /// The values of variables: those that were kept, and those that are given now.
    pub(crate) fn sets(&self, now: Sets) -> Result<Sets, Stop> {
        let mut sets = Sets::new();
        for (name, value) in &self.sets {
            sets = sets.with(name, value);
        }
        let now: BTreeMap<String, String> = now.into_pairs().collect();
        if let Some(name) = self.secret_sets.iter().find(|name| !now.contains_key(*name)) {
            return Err(Stop::wrong_input(format_args!(
                "the variable `{name}` was set, and is not recorded because it is a secret: set it \
                 again, with --set {name}=…"
            )));
        }
        Ok(now.into_iter().fold(sets, |sets, (name, value)| sets.with(name, value)))
    }

    /// Notes variables that are set to something else.
    pub(crate) fn set(&mut self, sets: Sets) {
        for (name, value) in sets.into_pairs() {
            match is_secret_key(&name) {
                true if self.secret_sets.contains(&name) => {}
                true => self.secret_sets.push(name),
                false => drop(self.sets.insert(name, value)),
            }
        }
    }

    /// Writes it into a journal, which it starts.
    pub(crate) fn keep_in(
        &self,
        file: &Path,
        store: SqliteStore,
        team: &Team,
    ) -> Result<Journaled, Stop> {
        let journaled = self.start(file, store, team)?;
        let redactor = Redactor::new().with_secrets(team.secret_values());
        let mut clean = self.clone();
        // Before it is JSON, in which a secret may be written in another way.
        for input in &mut clean.inputs {
            *input = redactor.text(input).into_owned().into();
        }
        let text = serde_json::to_string(&clean).map_err(Stop::internal)?;
        let record = Record::Conversed {
            agent: AgentId::OUTSIDE,
            conversation: CONVERSATION.to_owned(),
            text: text.into(),
        };
        let kept = journaled.journal.commit_blocking(Timestamp::now(), vec![record]);
        kept.map_err(|error| Stop::damaged(format_args!("{}: {error}", file.display())))?;
        Ok(journaled)
    }

    /// Starts a journal that has it.
    pub(crate) fn start(
        &self,
        file: &Path,
        store: SqliteStore,
        team: &Team,
    ) -> Result<Journaled, Stop> {
        let redactor = Redactor::new().with_secrets(team.secret_values());
        let journal = Journal::start(store, redactor, Timestamp::now());
        let failed = |error| Stop::damaged(format_args!("{}: {error}", file.display()));
        let journal = Arc::new(journal.map_err(failed)?);
        Ok(Journaled { journal, file: file.to_owned(), hash: self.hash })
    }
}
