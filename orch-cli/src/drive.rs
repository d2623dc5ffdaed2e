//! Drives a run to its end: with a journal or without, from its beginning or from where it was left.

use std::sync::Arc;

use orch_runtime::{AgentId, AgentRegistry, Content, MessageBus, Orchestrator};
use orch_team::{Team, TeamOutcome};

use crate::answer::{exit_of, print};
use crate::args::ViewArgs;
use crate::exit::{Exit, Stop};
use crate::given::Journaled;
use crate::out;
use crate::screen::{Screen, View};
use crate::signals::stop_on_signals;
use crate::summary::{problems, summary, way_on};
use crate::team::connectors;

/// A run to drive.
pub(crate) struct Drive<'a> {
    pub(crate) view: &'a ViewArgs,
    pub(crate) team: Team,
    pub(crate) inputs: Inputs,
    pub(crate) journal: Option<Journaled>,
}

/// What the team works on.
pub(crate) enum Inputs {
    New(Vec<Content>),
    /// It has begun with these, in an earlier process.
    Begun(Vec<Content>),
}

pub(crate) fn drive(drive: Drive<'_>) -> Result<Exit, Stop> {
    runtime()?.block_on(until_end(drive))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Stop::internal(format!("failed to start the async runtime: {error}")))
}

async fn until_end(drive: Drive<'_>) -> Result<Exit, Stop> {
    let Drive { view: args, team, inputs, journal } = drive;
    let view = View::choose(args.json, args.quiet, args.log.level.is_some());
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let (screen, observer) = Screen::start(view, bus.clone());
    let orchestrator =
        Orchestrator::new(registry, bus).with_connectors(connectors()).with_observer(observer);
    let file = journal.as_ref().map(|it| it.file.clone());
    let ran = run_on(orchestrator, &team, inputs, journal).await;
    let board = screen.finish();
    let (outcome, still_running) = ran?;
    let exit = exit_of(&outcome.stop_reason, &outcome.answer);
    print(args.json, &outcome.answer, &outcome.stop_reason, &board.explain(&outcome.stop_reason))?;
    // Last, so that it stands above the prompt however long the answer is.
    if args.quiet {
        out::tell_all(problems(&board, &outcome, &still_running, exit));
    } else if !args.json && !args.log.json {
        let mut text = summary(&board, &outcome, &still_running, exit);
        if let Some(file) = file {
            text.push_str(&way_on(&outcome, board.n_dead_letters, &file));
        }
        out::tell(format_args!("\n{}", text.trim_end()));
    }
    Ok(exit)
}

/// Runs the team until its end, and answers how it ended and who has not returned.
async fn run_on(
    orchestrator: Orchestrator,
    team: &Team,
    inputs: Inputs,
    journal: Option<Journaled>,
) -> Result<(TeamOutcome, Vec<AgentId>), Stop> {
    team.check(&connectors()).map_err(Stop::wrong_input)?;
    let orchestrator = match journal {
        Some(Journaled { journal, hash, .. }) => {
            let durable = orchestrator.with_team(hash).with_journal(journal).await;
            durable.map_err(Stop::damaged)?
        }
        None => orchestrator,
    };
    let run = team.build_on(orchestrator).await.map_err(Stop::wrong_input)?;
    let work = async {
        match inputs {
            Inputs::New(inputs) => run.run(inputs).await,
            Inputs::Begun(inputs) => {
                run.take_up(inputs).await?;
                run.resume().await
            }
        }
    };
    let outcome = tokio::select! {
        biased; // The end of the run before a signal that comes too late.
        outcome = work => outcome.map_err(stop_of)?,
        error = stop_on_signals(run.orchestrator(), team.run.grace) => {
            return Err(Stop::internal(format!("failed to listen for signals: {error}")));
        }
    };
    let report = run.orchestrator().last_report();
    Ok((outcome, report.map(|report| report.still_running).unwrap_or_default()))
}

/// What a run that did not start means.
fn stop_of(error: orch_team::RunError) -> Stop {
    use orch_runtime::{SendError, StartError};
    use orch_team::RunError;
    match &error {
        RunError::Past(_)
        | RunError::Start(StartError::Journal(_))
        | RunError::NotAccepted(SendError::NotDurable { .. } | SendError::Uncertain { .. }) => {
            Stop::damaged(error)
        }
        _ => Stop::wrong_input(error),
    }
}
