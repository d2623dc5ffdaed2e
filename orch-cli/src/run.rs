//! `orch run`: runs a team, shows it, prints its answer.

use std::path::Path;

use orch_journal::{SqliteStore, Store};
use orch_runtime::{BusLimits, Content};
use orch_team::Team;

use crate::args::RunArgs;
use crate::drive::{Drive, Inputs, drive};
use crate::exit::{Exit, Stop};
use crate::given::{self, Given, Standing};
use crate::team::{connectors, load};
use crate::{input, logging, out};

pub(crate) fn run(args: &RunArgs) -> Result<Exit, Stop> {
    logging::set_up(&args.view.log);
    let team = load(&args.team.file, args.team.sets()?)?;
    if !args.view.quiet {
        team.warnings.as_slice().iter().for_each(out::tell);
    }
    let limit = BusLimits::default().content_bytes_max;
    let inputs = input::read_all(&args.inputs, limit).map_err(Stop::wrong_input)?;
    let journal = match &args.journal {
        Some(file) => Some(begin(args, file, &team, &inputs)?),
        None => None,
    };
    drive(Drive { view: &args.view, team, inputs: Inputs::New(inputs), journal })
}

/// Makes the journal, once it is certain that the team can begin: what it holds from then on is a run
/// that has not ended.
fn begin(
    args: &RunArgs,
    file: &Path,
    team: &Team,
    inputs: &[Content],
) -> Result<given::Journaled, Stop> {
    team.check(&connectors()).map_err(Stop::wrong_input)?;
    team.check_inputs(inputs).map_err(Stop::wrong_input)?;
    let given = Given::new(&args.team, team, inputs)?;
    let store = given::open(file, &args.disk)?;
    refuse_used(file, &store)?;
    given.keep_in(file, store, team)
}

/// A journal holds one run.
fn refuse_used(file: &Path, store: &SqliteStore) -> Result<(), Stop> {
    let shown = file.display();
    Err(Stop::wrong_input(match given::standing(store.state())? {
        Standing::Empty => return Ok(()),
        Standing::Foreign => {
            format!("{shown} is the journal of a program, and not of `orch run`: name another file")
        }
        Standing::Unfinished(given) => format!(
            "{shown} holds a run of {} that has not ended; to go on with it: orch resume {shown}",
            given.team
        ),
        Standing::Ended(given, reason) => format!(
            "{shown} holds a run of {} that has ended ({reason}): name another file for this one. \
             To look at it: orch journal show {shown}",
            given.team
        ),
    }))
}
