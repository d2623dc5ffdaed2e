//! What the processes of an agent use of the machine, and the limits on it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is counted of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resource {
    /// Milliseconds of processor time. What was used stays used.
    Cpu,
    /// Bytes of memory that are held at once.
    Memory,
    /// Processes that live at once. Each thread counts as one, as the kernel counts them.
    Processes,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Processes];

    /// Its key in settings.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Processes => "processes",
        }
    }

    /// A figure as people read it: `1.25 s of CPU time`, `512.0 MiB of memory`.
    #[must_use]
    pub fn show(self, figure: u64) -> String {
        match self {
            Self::Cpu => format!("{}.{:02} s of CPU time", figure / 1_000, figure % 1_000 / 10),
            Self::Memory => {
                let tenths = figure / (1 << 20) * 10 + figure % (1 << 20) * 10 / (1 << 20);
                format!("{}.{} MiB of memory", tenths / 10, tenths % 10)
            }
            Self::Processes => format!("{figure} processes and threads"),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU time",
            Self::Memory => "memory",
            Self::Processes => "processes",
        })
    }
}

/// What the processes of one attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
#[non_exhaustive]
pub struct Resources {
    /// Milliseconds of processor time, in user space and in the kernel, of all that lived meanwhile.
    pub cpu_ms: u64,
    /// The most bytes of memory that were seen at once.
    pub memory_bytes: u64,
    /// The most processes and threads that were seen at once.
    pub processes: u64,
    /// Where the figures come from.
    pub measured_by: MeasuredBy,
}

impl Resources {
    /// These figures.
    #[must_use]
    pub const fn new(
        cpu_ms: u64,
        memory_bytes: u64,
        processes: u64,
        measured_by: MeasuredBy,
    ) -> Self {
        Self { cpu_ms, memory_bytes, processes, measured_by }
    }

    /// One of the figures.
    #[must_use]
    pub const fn get(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Cpu => self.cpu_ms,
            Resource::Memory => self.memory_bytes,
            Resource::Processes => self.processes,
        }
    }
}

/// Where each figure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(default)]
pub struct MeasuredBy {
    /// The processor time.
    pub cpu: Meter,
    /// The memory.
    pub memory: Meter,
    /// The processes.
    pub processes: Meter,
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Meter {
    /// Nothing measures it.
    #[default]
    Nothing,
    /// A group of version 2: the kernel counts everything that ever was in it. Memory has the page
    /// cache in it.
    CgroupV2,
    /// A group of version 1; as above.
    CgroupV1,
    /// Looks at `/proc` from time to time.
    Proc,
    /// Looks at `/proc`: what several processes share is divided among them (PSS).
    ProcPss,
    /// Looks at `/proc`: what several processes share is counted for each of them (RSS).
    ProcRss,
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::CgroupV2 => "a control group",
            Self::CgroupV1 => "a control group of version 1",
            Self::Proc => "looks at /proc",
            Self::ProcPss => "looks at /proc (PSS)",
            Self::ProcRss => "looks at /proc (RSS)",
        })
    }
}

/// The most that the processes of one run of a program may use; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceLimits {
    /// Milliseconds of processor time.
    pub cpu_ms: Option<u64>,
    /// Bytes of memory at once.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at once.
    pub processes: Option<u64>,
}

impl ResourceLimits {
    /// The limit on one of them.
    #[must_use]
    pub const fn get(&self, resource: Resource) -> Option<u64> {
        match resource {
            Resource::Cpu => self.cpu_ms,
            Resource::Memory => self.memory_bytes,
            Resource::Processes => self.processes,
        }
    }

    /// Whether there is no limit at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit that the processes of a program came up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LimitReached {
    /// Of what.
    pub resource: Resource,
    /// What was seen: milliseconds, bytes, or a number.
    pub figure: u64,
    /// The limit, in the same measure.
    pub limit: u64,
    /// What happened there.
    pub how: Reached,
}

/// How a limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reached {
    /// So little is left that the rest is for coming to an end.
    Nearly,
    /// All of it is used.
    UsedUp,
    /// The kernel refused what would have passed it.
    Refused,
    /// It was seen above the limit, which was merely watched.
    SeenAbove,
}

/// Reads well after "the program was stopped: ".
impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, figure, limit, how } = *self;
        let (figure, most) = (resource.show(figure), resource.show(limit));
        match (how, resource) {
            (Reached::Nearly, _) => {
                write!(f, "it used {figure} of {most}, and the last tenth is for coming to an end")
            }
            (Reached::UsedUp, _) => write!(f, "it used up its {most}"),
            (Reached::Refused, Resource::Memory) => {
                write!(f, "it wanted more than {most}, and the kernel killed a process of it")
            }
            (Reached::Refused, _) => {
                write!(f, "it wanted more than {most}, which the kernel refused")
            }
            (Reached::SeenAbove, _) => write!(f, "it took {figure}, more than {most}"),
        }?;
        write!(f, " (limits.{})", resource.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reached_limit_names_itself_and_its_figures() {
        let said = |resource, figure, limit, how| {
            LimitReached { resource, figure, limit, how }.to_string()
        };
        assert_eq!(
            said(Resource::Cpu, 27_019, 30_000, Reached::Nearly),
            "it used 27.01 s of CPU time of 30.00 s of CPU time, and the last tenth is for coming \
             to an end (limits.cpu)"
        );
        assert_eq!(
            said(Resource::Memory, 3 << 19, 1 << 20, Reached::SeenAbove),
            "it took 1.5 MiB of memory, more than 1.0 MiB of memory (limits.memory)"
        );
        assert_eq!(
            said(Resource::Processes, 32, 32, Reached::Refused),
            "it wanted more than 32 processes and threads, which the kernel refused \
             (limits.processes)"
        );
    }

    #[test]
    fn figures_read_back_from_json_and_what_is_missing_is_nothing() {
        let by = MeasuredBy { cpu: Meter::CgroupV1, memory: Meter::ProcPss, ..Default::default() };
        let json = serde_json::to_string(&Resources::new(1, 2, 3, by)).unwrap();
        assert_eq!(
            json,
            r#"{"cpu_ms":1,"memory_bytes":2,"processes":3,"measured_by":{"cpu":"cgroup_v1","memory":"proc_pss","processes":"nothing"}}"#
        );
        assert_eq!(serde_json::from_str::<Resources>("{}").unwrap(), Resources::default());
        assert!(serde_json::from_str::<ResourceLimits>("{}").unwrap().is_none());
    }
}
