//! `orch dead-letters`: the messages that were given up.

use std::fmt::Write;

use orch_journal::{Letter, Prepared, Record, Redactor, SqliteReader, State, Store};
use orch_runtime::Timestamp;
use serde_json::{Value, json};

use crate::args::{DeadLettersCommand, DropArgs, LetterArgs, LettersArgs, ResendArgs};
use crate::exit::{Exit, Stop};
use crate::journal::{
    Letters, Names, clean, count, open, open_alone, pick_agent, print_json, unread, whole,
};
use crate::out::{tell, write};
use crate::table::{Left, Right, Table};
use crate::when::local;

pub(crate) fn dead_letters(command: &DeadLettersCommand) -> Result<Exit, Stop> {
    match command {
        DeadLettersCommand::List(args) => list(args),
        DeadLettersCommand::Show(args) => show(args),
        DeadLettersCommand::Resend(args) => resend(args),
        DeadLettersCommand::Drop(args) => drop_some(args),
    }
}

fn read(reader: &SqliteReader) -> Result<(State, Names), Stop> {
    Ok((reader.state().map_err(unread)?, Names::load(reader).map_err(unread)?))
}

fn list(args: &LettersArgs) -> Result<Exit, Stop> {
    let (state, names) = read(&open(&args.file.file)?)?;
    let agent = args.agent.as_deref().map(|text| pick_agent(&names, text)).transpose()?;
    let oldest = args.range.since.unwrap_or(Timestamp::from_millis(0));
    let wanted = |it: &&Letter| {
        agent.is_none_or(|agent| it.letter.message.to() == agent) && it.letter.at >= oldest
    };
    let letters: Vec<&Letter> = state.letters().filter(wanted).collect();
    let letters = &letters[letters.len().saturating_sub(args.range.limit.0)..];
    if args.file.json {
        print_json(letters.iter().map(|it| object(it)))?;
    } else if letters.is_empty() {
        tell("no dead letters");
    } else {
        write(&table(letters, &names))?;
    }
    Ok(Exit::Completed)
}

fn object(letter: &Letter) -> Value {
    json!({ "seq": letter.seq, "accepted": letter.accepted, "letter": letter.letter })
}

fn table(letters: &[&Letter], names: &Names) -> String {
    let mut table = Table::new([
        ("message", Right),
        ("given up at", Left),
        ("for", Left),
        ("attempts", Right),
        ("why", Left),
        ("content", Left),
    ]);
    for Letter { letter, .. } in letters {
        table.add([
            names.message(letter.message.id()),
            local(letter.at),
            names.agent(letter.message.to()),
            letter.attempts.len().to_string(),
            clean(&letter.reason.to_string()),
            clean(letter.message.content()),
        ]);
    }
    table.text()
}

fn show(args: &LetterArgs) -> Result<Exit, Stop> {
    let (state, names) = read(&open(&args.file.file)?)?;
    let letter = Letters(&state).pick(&args.message)?;
    if args.file.json {
        print_json([object(letter)])?;
    } else {
        write(&text(letter, &names))?;
    }
    Ok(Exit::Completed)
}

fn text(Letter { letter, .. }: &Letter, names: &Names) -> String {
    let message = &letter.message;
    let mut table = Table::new([("", Left), ("", Left)]);
    let mut add = |what: &str, text: String| table.add([what.to_owned(), text]);
    add("message", format!("{} ({})", names.message(message.id()), message.id()));
    add("from", names.agent(message.from()));
    add("for", names.agent(message.to()));
    add("priority", message.priority().to_string());
    add("chain", format!("{}, hop {}", message.chain(), message.hop()));
    add("sent at", local(message.created_at()));
    add("given up at", local(letter.at));
    add("why", clean(&letter.reason.to_string()));
    for (key, value) in message.metadata() {
        add("metadata", clean(&format!("{key}: {value}")));
    }
    let mut text = table.body();
    for attempt in &letter.attempts {
        // A String takes all that is written.
        let _ = write!(text, "\nattempt {} at {}\n", attempt.attempt, local(attempt.at));
        indent(&mut text, &attempt.error);
    }
    text.push_str("\ncontent\n");
    indent(&mut text, message.content());
    text
}

/// All lines of a text, set in, so that none of them looks like one of ours.
fn indent(text: &mut String, said: &str) {
    for line in whole(said).lines() {
        let _ = writeln!(text, "  {line}");
    }
}

fn resend(args: &ResendArgs) -> Result<Exit, Stop> {
    let mut store = open_alone(&args.file)?;
    let letter = Letters(store.state()).pick(&args.message)?;
    let (message, again) = (letter.letter.message.id(), letter.sent_again());
    append(&mut store, again)?;
    let file = args.file.display();
    tell(format_args!("{message} waits again, with all its attempts: orch resume {file}"));
    Ok(Exit::Completed)
}

fn drop_some(args: &DropArgs) -> Result<Exit, Stop> {
    let mut store = open_alone(&args.file)?;
    let letters = Letters(store.state());
    let mut chosen: Vec<&Letter> = match args.all {
        true => store.state().letters().collect(),
        false => args.messages.iter().map(|it| letters.pick(it)).collect::<Result<_, _>>()?,
    };
    chosen.sort_unstable_by_key(|it| it.seq);
    chosen.dedup_by_key(|it| it.seq);
    let n_dropped = chosen.len() as u64;
    let dropped = chosen.into_iter().map(|Letter { letter, seq, .. }| {
        let (agent, message) = (letter.message.to(), letter.message.id());
        Record::LetterDropped { agent, message, letter: Some(*seq), sent_as: None }
    });
    let dropped: Vec<Record> = dropped.collect();
    if !dropped.is_empty() {
        append(&mut store, dropped)?;
    }
    tell(format_args!("dropped {}", count(n_dropped, "dead letter")));
    Ok(Exit::Completed)
}

/// All of it or nothing. That the former process was cut off stays for `resume` to record.
fn append(store: &mut impl Store, records: Vec<Record>) -> Result<(), Stop> {
    let set = Prepared::new(Timestamp::now(), records, &Redactor::new());
    let set = set.map_err(Stop::internal)?;
    let answers = store.append(&[set]).map_err(unread)?;
    answers.into_iter().try_for_each(|it| it.map(|_| ())).map_err(Stop::internal)
}
