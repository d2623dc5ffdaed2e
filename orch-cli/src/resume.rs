//! `orch resume`: shows where a run stands, and goes on with it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use orch_journal::{ContentHash, SqliteStore, Store};
use orch_runtime::{AgentRegistry, MessageBus, Orchestrator, StopReason};
use orch_team::Team;

use crate::answer::print;
use crate::args::ResumeArgs;
use crate::drive::{Drive, Inputs, drive, runtime};
use crate::exit::{Exit, Stop};
use crate::given::{self, Given, Journaled, Standing};
use crate::journal::open;
use crate::team::{load, sets_of};
use crate::{left, logging, out};

pub(crate) fn resume(args: &ResumeArgs) -> Result<Exit, Stop> {
    logging::set_up(&args.view.log);
    // It makes none where there is none.
    drop(open(&args.file)?);
    let store = given::open(&args.file, &args.disk)?;
    let file = args.file.display();
    let given = match given::standing(store.state())? {
        Standing::Empty => {
            return Err(Stop::wrong_input(format_args!(
                "no run was begun in {file}: orch run TEAM --journal {file}"
            )));
        }
        Standing::Foreign => {
            return Err(Stop::wrong_input(format_args!(
                "{file} is the journal of a program, and not of `orch run`: only that program knows \
                 how to go on"
            )));
        }
        Standing::Ended(given, reason) => return ended(args, given, store, &reason),
        Standing::Unfinished(given) => given,
    };
    let (team, now) = team_of(args, &given)?;
    tell_left(args, &store)?;
    if !may_go_on(args)? {
        return Err(Stop { exit: Exit::Stopped, message: "nothing was changed".to_owned() });
    }
    let journal = match now == given {
        true => now.start(&args.file, store, &team)?,
        false => now.keep_in(&args.file, store, &team)?,
    };
    drive(Drive {
        view: &args.view,
        team,
        inputs: Inputs::Begun(given.inputs),
        journal: Some(journal),
    })
}

/// The team as it is now, and what the run is given from now on.
fn team_of(args: &ResumeArgs, given: &Given) -> Result<(Team, Given), Stop> {
    let file = args.team.as_deref().unwrap_or(Path::new(&given.team));
    let new_sets = sets_of(&args.sets)?;
    let team = load(file, given.sets(new_sets.clone())?)?;
    let hash = given::hash(&team);
    if hash != given.hash && !args.accept_changes {
        return Err(Stop::wrong_input(format_args!(
            "{} is not the team that this run began with, or its variables are others: it reads as \
             {}, and began as {}. Put it back, or go on with it as it is now by --accept-changes: what \
             was done stays done",
            file.display(),
            short(hash),
            short(given.hash)
        )));
    }
    let mut now = given.clone();
    now.team = given::absolute(file)?;
    now.hash = hash;
    now.set(new_sets);
    Ok((team, now))
}

/// Enough of a hash to tell it from another.
fn short(hash: ContentHash) -> String {
    hash.to_string().chars().take(12).collect()
}

/// Shows what was spent and what waits.
fn tell_left(args: &ResumeArgs, store: &SqliteStore) -> Result<(), Stop> {
    if args.view.quiet || (args.view.log.json && !args.view.json) {
        return Ok(());
    }
    let reader = open(&args.file)?;
    let left = left::Left::read(&reader, store.state())?;
    match args.view.json {
        true => out::write(&format!("{}\n", left.object())),
        false => {
            out::tell(left.text(&args.file));
            Ok(())
        }
    }
}

/// Asks, if there is somebody to ask.
fn may_go_on(args: &ResumeArgs) -> Result<bool, Stop> {
    let stdin = std::io::stdin();
    if args.yes || !stdin.is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "go on? [Y/n] ").and_then(|()| stderr.flush());
    let mut said = String::new();
    stdin.lock().read_line(&mut said).map_err(Stop::internal)?;
    // The end of input is no yes.
    Ok(said.ends_with('\n') && !said.trim_start().to_lowercase().starts_with('n'))
}

/// Prints the answer of a run that has ended: whoever waited for it may have been killed before.
fn ended(
    args: &ResumeArgs,
    given: Given,
    store: SqliteStore,
    reason: &StopReason,
) -> Result<Exit, Stop> {
    let (team, _) = team_of(args, &given)?;
    if !args.view.quiet {
        let file = args.file.display();
        out::tell(format_args!("the run in {file} has ended ({reason}), and nothing waits"));
    }
    let Journaled { journal, .. } = given.start(&args.file, store, &team)?;
    let past = runtime()?.block_on(async {
        let (registry, bus) = (AgentRegistry::new(), MessageBus::new());
        let orchestrator = Orchestrator::new(registry.into(), bus.into());
        let orchestrator = orchestrator.with_journal(journal).await.map_err(Stop::damaged)?;
        orchestrator.past().await.map_err(Stop::damaged)
    })?;
    let answer = team.answer_of(given.inputs, past).map_err(Stop::wrong_input)?;
    print(args.view.json, &answer, reason, &reason.to_string())
}
