//! `orch prune`: removes what a journal says of runs that ended long ago.

use orch_journal::Store;

use crate::args::PruneArgs;
use crate::exit::{Exit, Stop};
use crate::given::{self, Standing};
use crate::journal::{bytes, count, open_alone, unread};
use crate::out::tell;
use crate::when::local;

/// Events in one transaction: a prune that is cut off has removed what it had by then.
const EVENTS_MAX: usize = 2_000;

/// A flow goes on by what is recorded of it.
fn refuse_unfinished(args: &PruneArgs, store: &impl Store) -> Result<(), Stop> {
    match given::standing(store.state())? {
        Standing::Unfinished(_) => Err(Stop::wrong_input(format_args!(
            "the run in {file} has not ended, and needs what it has done to go on: orch resume {file}",
            file = args.file.display()
        ))),
        _ => Ok(()),
    }
}

pub(crate) fn prune(args: &PruneArgs) -> Result<Exit, Stop> {
    let mut store = open_alone(&args.file)?;
    refuse_unfinished(args, &store)?;
    let mut n_removed = 0;
    loop {
        let pruned = store.prune(args.before, EVENTS_MAX).map_err(unread)?;
        n_removed += pruned.n_removed as u64;
        // The WAL would hold a copy of all that was touched.
        store.maintain().map_err(unread)?;
        if !pruned.more {
            break;
        }
    }
    let stats = store.stats().map_err(unread)?;
    tell(format_args!(
        "removed {} of runs that ended before {}; {} are left, in {}",
        count(n_removed, "event"),
        local(args.before),
        count(stats.n_events, "event"),
        bytes(stats.file_bytes)
    ));
    Ok(Exit::Completed)
}
