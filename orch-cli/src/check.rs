//! `orch check`: validates a team, and shows it with all defaults.

use crate::args::CheckArgs;
use crate::exit::{Exit, Stop};
use crate::out::{tell, write};
use crate::team::{connectors, load};

pub(crate) fn check(args: &CheckArgs) -> Result<Exit, Stop> {
    let team = load(&args.team.file, args.team.sets()?)?;
    for warning in team.warnings.as_slice() {
        tell(warning);
    }
    team.check(&connectors()).map_err(Stop::wrong_input)?;
    write(&team.resolved().to_string())?;
    let programs = team.agents.iter().filter(|agent| agent.config.connector_type == "subprocess");
    let names: Vec<String> = programs.map(|agent| format!("`{}`", agent.name)).collect();
    if !names.is_empty() {
        tell(format_args!(
            "note: these agents run programs, which are not confined and may do what you may: {}",
            names.join(", ")
        ));
    }
    #[cfg(unix)]
    if team.agents.iter().any(|agent| agent.config.settings.contains_key("limits")) {
        crate::team::resource_control().into_iter().for_each(tell);
    }
    tell("this team can run");
    Ok(Exit::Completed)
}
