//! `orch run`: runs a team, shows it, prints its answer.

use std::fmt::Write;
use std::sync::Arc;

use orch_runtime::{AgentId, AgentRegistry, BusLimits, Content, MessageBus, Orchestrator};
use orch_team::{Team, TeamOutcome};
use serde_json::json;

use crate::args::RunArgs;
use crate::exit::{Exit, Stop};
use crate::screen::{Board, Screen, View};
use crate::signals::stop_on_signals;
use crate::summary::{problems, summary};
use crate::team::{connectors, load};
use crate::{input, logging, out};

pub(crate) fn run(args: &RunArgs) -> Result<Exit, Stop> {
    logging::set_up(&args.log);
    let team = load(&args.team)?;
    if !args.quiet {
        team.warnings.as_slice().iter().for_each(out::tell);
    }
    let limit = BusLimits::default().content_bytes_max;
    let inputs = input::read_all(&args.inputs, limit).map_err(Stop::wrong_input)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::internal(format!("failed to start the async runtime: {error}")))?;
    runtime.block_on(run_team(args, team, inputs))
}

async fn run_team(args: &RunArgs, team: Team, inputs: Vec<Content>) -> Result<Exit, Stop> {
    let view = View::choose(args.json, args.quiet, args.log.level.is_some());
    let (registry, bus) = (Arc::new(AgentRegistry::new()), Arc::new(MessageBus::new()));
    let (screen, observer) = Screen::start(view, bus.clone());
    let orchestrator =
        Orchestrator::new(registry, bus).with_connectors(connectors()).with_observer(observer);
    let ran = run_on(orchestrator, &team, inputs).await;
    let board = screen.finish();
    let (outcome, still_running) = ran?;
    let exit = exit_of(&outcome);
    answer(args.json, &board, &outcome, exit)?;
    // Last, so that it stands above the prompt however long the answer is.
    if args.quiet {
        out::tell_all(problems(&board, &outcome, &still_running, exit));
    } else if !args.json && !args.log.json {
        out::tell(format_args!("\n{}", summary(&board, &outcome, &still_running, exit).trim_end()));
    }
    Ok(exit)
}

/// Runs the team until its end, and answers how it ended and who has not returned.
async fn run_on(
    orchestrator: Orchestrator,
    team: &Team,
    inputs: Vec<Content>,
) -> Result<(TeamOutcome, Vec<AgentId>), Stop> {
    team.check(&connectors()).map_err(Stop::wrong_input)?;
    let run = team.build_on(orchestrator).await.map_err(Stop::wrong_input)?;
    let outcome = tokio::select! {
        biased; // The end of the run before a signal that comes too late.
        outcome = run.run(inputs) => outcome.map_err(Stop::wrong_input)?,
        error = stop_on_signals(run.orchestrator(), team.run.grace) => {
            return Err(Stop::internal(format!("failed to listen for signals: {error}")));
        }
    };
    let report = run.orchestrator().last_report();
    Ok((outcome, report.map(|report| report.still_running).unwrap_or_default()))
}

/// The stop reason's code; a run that completed with a partial answer has not done what was asked.
fn exit_of(outcome: &TeamOutcome) -> Exit {
    use orch_team::FlowProblem;
    let exit = Exit::of(&outcome.stop_reason);
    if exit != Exit::Completed || !outcome.answer.partial {
        return exit;
    }
    let not_approved = |problem: &FlowProblem| matches!(problem, FlowProblem::NotApproved { .. });
    let too_low = |problem: &FlowProblem| matches!(problem, FlowProblem::GuardsTooLow(_));
    match &outcome.answer.problems {
        problems if problems.iter().any(too_low) => Exit::WrongInput,
        problems if problems.iter().any(not_approved) => Exit::Iterations,
        _ => Exit::AgentFailed,
    }
}

fn answer(json: bool, board: &Board, outcome: &TeamOutcome, exit: Exit) -> Result<(), Stop> {
    let answer = &outcome.answer;
    if json {
        let problems: Vec<String> = answer.problems.iter().map(ToString::to_string).collect();
        let line = json!({
            "event": "answer",
            "content": answer.content.as_str(),
            "partial": answer.partial,
            "problems": problems,
            "stop_reason": outcome.stop_reason,
            "explanation": board.explain(&outcome.stop_reason),
            "exit_code": exit as u8,
        });
        return out::write(&format!("{line}\n"));
    }
    let mut text = String::new();
    for urgent in &answer.urgent {
        let _ = writeln!(text, "{} says: {}\n", urgent.agent, urgent.content.trim_end());
    }
    if !answer.content.is_empty() {
        let _ = writeln!(text, "{}", answer.content.trim_end_matches('\n'));
    }
    out::write(&text)
}
