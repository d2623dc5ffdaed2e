//! `orch check`: validates a team, and shows it with all defaults.

use crate::args::CheckArgs;
use crate::exit::{Exit, Stop};
use crate::team::{connectors, load};

pub(crate) fn check(args: &CheckArgs) -> Result<Exit, Stop> {
    let team = load(&args.team)?;
    for warning in team.warnings.as_slice() {
        eprintln!("{warning}");
    }
    team.check(&connectors()).map_err(Stop::wrong_input)?;
    print!("{}", team.resolved());
    let programs = team.agents.iter().filter(|agent| agent.config.connector_type == "subprocess");
    for agent in programs {
        eprintln!(
            "note: agent `{}` runs a program, which is not confined: it may do what you may",
            agent.name
        );
    }
    eprintln!("this team can run");
    Ok(Exit::Completed)
}
