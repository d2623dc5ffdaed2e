//! `orch journal timeline`: what happened, in its order.

use orch_journal::{Entry, Of};
use orch_runtime::Timestamp;
use serde_json::{Value, json};

use super::{Names, find, line, open, print_json, unread};
use crate::args::{RangeArgs, TimelineArgs};
use crate::exit::{Exit, Stop};
use crate::out::{tell, write};
use crate::table::{Left, Right, Table};
use crate::when::local;

pub(super) fn timeline(args: &TimelineArgs) -> Result<Exit, Stop> {
    let reader = open(&args.file.file)?;
    let names = Names::load(&reader).map_err(unread)?;
    let of = match (&args.message, args.run) {
        (Some(text), _) => Of::Message(find::pick_message(&reader, &names, text)?),
        (None, Some(run)) => {
            let runs = reader.runs().map_err(unread)?;
            if !runs.iter().any(|it| it.run == run) {
                let n_runs = runs.len();
                return Err(Stop::wrong_input(format_args!("there is no run {run} of {n_runs}")));
            }
            Of::Run(run)
        }
        (None, None) => Of::All,
    };
    let entries = reader.latest(of, args.range.limit.0).map_err(unread)?;
    print(&since(entries, &args.range), &names, args.file.json)
}

/// Those that are new enough. Events are in the order of time, so the last ones of those are among
/// the last ones of all.
pub(super) fn since(mut entries: Vec<Entry>, range: &RangeArgs) -> Vec<Entry> {
    let oldest = range.since.unwrap_or(Timestamp::from_millis(0));
    entries.retain(|entry| entry.at >= oldest);
    entries
}

pub(super) fn print(entries: &[Entry], names: &Names, json: bool) -> Result<Exit, Stop> {
    if json {
        print_json(entries.iter().map(object))?;
    } else if entries.is_empty() {
        tell("nothing happened there");
    } else {
        write(&table(entries, names))?;
    }
    Ok(Exit::Completed)
}

pub(super) fn object(entry: &Entry) -> Value {
    json!({ "seq": entry.seq, "at": entry.at, "record": entry.record })
}

fn table(entries: &[Entry], names: &Names) -> String {
    let columns =
        [("event", Right), ("at", Left), ("message", Right), ("agent", Left), ("what", Left)];
    let mut table = Table::new(columns);
    for entry in entries {
        let (record, seq) = (&entry.record, entry.seq.0.to_string());
        let (which, who) = (line::which(record, names), line::who(record, names));
        table.add([seq, local(entry.at), which, who, line::what(entry, names)]);
    }
    table.text()
}
