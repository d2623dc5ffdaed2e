//! `orch journal verify`: whether all of it is what was written.

use serde_json::json;

use super::{count, open, print_json, unread};
use crate::args::FileArgs;
use crate::exit::{Exit, Stop};
use crate::out::write;

pub(super) fn verify(args: &FileArgs) -> Result<Exit, Stop> {
    let verified = open(&args.file)?.verify().map_err(unread)?;
    if args.json {
        print_json([json!({
            "n_events": verified.n_events,
            "n_pruned": verified.n_pruned,
            "folded": verified.folded,
        })])?;
        return Ok(Exit::Completed);
    }
    let tables = match verified.folded {
        true => "what is live is what follows from them",
        false => "what is live was not compared with them, because some were pruned",
    };
    let pruned = match verified.n_pruned {
        0 => String::new(),
        n => format!(", {n} pruned"),
    };
    let events = count(verified.n_events, "event");
    write(&format!("undamaged: {events}{pruned}; {tables}\n"))?;
    Ok(Exit::Completed)
}
