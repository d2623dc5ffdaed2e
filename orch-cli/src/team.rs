//! Loading a team the way `orch` runs it: programs under a keeper, variables from `--set`.

use std::path::Path;

use orch_connect::Connectors;
use orch_team::{Sets, Team};

use crate::args::TeamArgs;
use crate::exit::Stop;

/// The hidden subcommand under which `orch` keeps a program.
#[cfg(target_os = "linux")]
pub(crate) const KEEPER: &str = "__keeper";

/// The team of a file, checked as far as a file can be.
pub(crate) fn load(file: &Path, sets: Sets) -> Result<Team, Stop> {
    Team::load(file, &sets).map_err(Stop::wrong_input)
}

/// Variables that are set as `KEY=VALUE`.
pub(crate) fn sets_of(pairs: &[String]) -> Result<Sets, Stop> {
    let sets = pairs.iter().try_fold(Sets::new(), |sets, pair| sets.with_pair(pair));
    sets.map_err(Stop::wrong_input)
}

impl TeamArgs {
    pub(crate) fn sets(&self) -> Result<Sets, Stop> {
        sets_of(&self.sets)
    }
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
