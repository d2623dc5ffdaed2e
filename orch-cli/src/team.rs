//! Loading a team the way `orch` runs it: programs under a keeper, variables from `--set`.

use orch_connect::Connectors;
use orch_team::{Sets, Team};

use crate::args::TeamArgs;
use crate::exit::Stop;

/// The hidden subcommand under which `orch` keeps a program.
#[cfg(target_os = "linux")]
pub(crate) const KEEPER: &str = "__keeper";

/// The team of a file, checked as far as a file can be.
pub(crate) fn load(args: &TeamArgs) -> Result<Team, Stop> {
    let sets = args.sets.iter().try_fold(Sets::new(), |sets, pair| sets.with_pair(pair));
    let sets = sets.map_err(Stop::wrong_input)?;
    Team::load(&args.file, &sets).map_err(Stop::wrong_input)
}

/// The built-in connectors, with programs contained as well as this system can.
pub(crate) fn connectors() -> Connectors {
    #[cfg(target_os = "linux")]
    {
        use orch_connect::{Containment, KeeperCommand, built_in_with};
        built_in_with(Containment::Keeper(KeeperCommand::this_program([KEEPER])))
    }
    #[cfg(not(target_os = "linux"))]
    orch_connect::built_in()
}
