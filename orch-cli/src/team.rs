//! Loading a team the way `orch` runs it: programs under a keeper, variables from `--set`.

use std::path::Path;

use orch_connect::Connectors;
use orch_team::{Sets, Team};

use crate::args::TeamArgs;
use crate::exit::Stop;

/// The hidden subcommand under which `orch` keeps a program.
#[cfg(target_os = "linux")]
pub(crate) const KEEPER: &str = "__keeper";

/// Names folders of control groups that were set aside for the programs, separated by `:`.
#[cfg(target_os = "linux")]
const CGROUPS: &str = "ORCH_CGROUP";

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
        let keeper = KeeperCommand::this_program([KEEPER]).with_cgroups(cgroups());
        built_in_with(Containment::Keeper(keeper))
    }
    #[cfg(not(target_os = "linux"))]
    orch_connect::built_in()
}

#[cfg(target_os = "linux")]
fn cgroups() -> Vec<std::path::PathBuf> {
    let named = std::env::var_os(CGROUPS).filter(|named| !named.is_empty());
    named.map(|named| std::env::split_paths(&named).collect()).unwrap_or_default()
}

/// What can be measured of programs here, and which limits on them can be held, a line each.
#[cfg(unix)]
pub(crate) fn resource_control() -> Vec<String> {
    use orch_connect::{Containment, ResourceControl};
    use orch_runtime::Resource;

    #[cfg(target_os = "linux")]
    let containment = {
        use orch_connect::KeeperCommand;
        Containment::Keeper(KeeperCommand::this_program([KEEPER]).with_cgroups(cgroups()))
    };
    #[cfg(not(target_os = "linux"))]
    let containment = Containment::Group;
    let control = ResourceControl::of(&containment);
    let line = |resource: Resource| {
        let of = control.get(resource);
        let held = of.held.reason().map_or("limits on it are held".to_owned(), |reason| {
            format!("limits on it can only be watched: {reason}")
        });
        let key = resource.key();
        match of.is_measured() {
            true => format!("limits.{key}: {resource} is measured by {}; {held}", of.meter),
            false => format!("limits.{key}: {resource} is not measured"),
        }
    };
    Resource::ALL.into_iter().map(line).collect()
}
