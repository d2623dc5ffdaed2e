//! What a flow needs from the guards, as far as it is known before it begins.

use std::collections::BTreeMap;
use std::fmt;

use orch_runtime::{Content, LoopGuard};

use super::FlowError;
use super::map::items_of;
use super::spec::{FlowSpec, Loop, Map, Pipe, Steps, Urgent};
use crate::name::AgentName;
use crate::problem::n_of;

/// What a flow needs in a run without failures, in which messages are handled in the order in which
/// they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Demand {
    /// What is to be done, such as `mapping 120 items`.
    pub work: String,
    /// Messages that each agent handles.
    pub messages: BTreeMap<AgentName, u64>,
    /// Rounds of hand-outs: each message takes a round of its agent, and one after that of the
    /// message that it follows from.
    pub rounds: u64,
}

impl FlowSpec {
    /// What the flow needs with these inputs, as far as they say it: a list that an agent has yet
    /// to make is counted as empty. The flow checks the guards again when it has that list.
    ///
    /// # Errors
    ///
    /// [`FlowError`] if the flow cannot start with these inputs.
    pub fn demand(&self, inputs: &[Content]) -> Result<Demand, FlowError> {
        let empty = (1..).zip(inputs).find(|(_, input)| input.trim().is_empty());
        if let Some((number, _)) = empty {
            return Err(FlowError::EmptyInput { number });
        }
        Ok(match &self.steps {
            Steps::Pipe(pipe) => Demand::of_pipe(pipe, &self.urgent, inputs.len().max(1)),
            Steps::Map(map) => match items_of(&map.over, inputs)? {
                Some(items) => Demand::of_map(map, &self.urgent, items.len()),
                None => Demand::of_list(map),
            },
            Steps::Loop(_) if inputs.is_empty() => return Err(FlowError::NoInput),
            Steps::Loop(it) => Demand::of_loop(it, &self.urgent),
        })
    }

    /// What the flow needs whatever its inputs are.
    #[must_use]
    pub fn demand_at_least(&self) -> Demand {
        match &self.steps {
            Steps::Pipe(pipe) => Demand::of_pipe(pipe, &self.urgent, 1),
            Steps::Map(map) if map.lister().is_some() => Demand::of_list(map),
            Steps::Map(map) => Demand::of_map(map, &self.urgent, 1),
            Steps::Loop(it) => Demand::of_loop(it, &self.urgent),
        }
    }
}

impl Demand {
    fn new(work: String) -> Self {
        Self { work, messages: BTreeMap::new(), rounds: 0 }
    }

    fn add(&mut self, agent: &AgentName, n_messages: u64) {
        if n_messages == 0 {
            return;
        }
        *self.messages.entry(agent.clone()).or_default() += n_messages;
    }

    fn busiest(&self) -> u64 {
        self.messages.values().copied().max().unwrap_or(0)
    }

    /// Counts the urgent messages that are sent before the last of the others ends.
    ///
    /// One that follows from a late message moves its agent on to a late round, and all that waits
    /// there with it. How far depends on who was how fast; but no round is higher than the number
    /// of messages.
    fn with_urgent(mut self, urgent: &[Urgent]) -> Self {
        let n_others: u64 = self.messages.values().sum();
        for urgent in urgent.iter().filter(|it| it.after_answers < n_others) {
            self.add(&urgent.to, 1);
        }
        let n_messages = self.messages.values().sum();
        if n_others < n_messages {
            self.rounds = n_messages;
        }
        self
    }

    fn of_pipe(Pipe { stages }: &Pipe, urgent: &[Urgent], n_inputs: usize) -> Self {
        let (n_inputs, n_stages) = (n_inputs as u64, stages.len() as u64);
        let work = [n_of(n_inputs, "input"), n_of(n_stages, "agent")];
        let mut demand = Self::new(format!("piping {} through {}", work[0], work[1]));
        for stage in stages {
            demand.add(stage, n_inputs);
        }
        // The last input passes its first agent after all others, and has the other stages before
        // it then.
        demand.rounds = demand.busiest() + n_stages - 1;
        demand.with_urgent(urgent)
    }

    fn of_list(map: &Map) -> Self {
        let mut demand = Self::new("making the list".to_owned());
        if let Some(lister) = map.lister() {
            demand.add(lister, 1);
            demand.rounds = 1;
        }
        demand
    }

    pub(super) fn of_map(map: &Map, urgent: &[Urgent], n_items: usize) -> Self {
        let (n_items, n_agents) = (n_items as u64, map.agents.len() as u64);
        let Self { messages, rounds: n_lists, .. } = Self::of_list(map);
        let work = format!("mapping {}", n_of(n_items, "item"));
        let mut demand = Self { work, messages, rounds: 0 };
        for (number, agent) in (0..).zip(&map.agents) {
            demand.add(agent, n_items / n_agents + u64::from(number < n_items % n_agents));
        }
        demand.rounds = n_lists + demand.busiest();
        if let Some(reduce) = &map.reduce {
            demand.add(reduce, 1);
            demand.rounds += 1;
        }
        demand.with_urgent(urgent)
    }

    fn of_loop(it: &Loop, urgent: &[Urgent]) -> Self {
        let at_most = u64::from(it.at_most);
        let mut demand = Self::new(format!("looping up to {}", n_of(at_most, "time")));
        demand.add(&it.doer, at_most);
        demand.add(&it.checker, at_most);
        demand.rounds = 2 * at_most;
        demand.with_urgent(urgent)
    }

    /// Holds the demand against the guards.
    ///
    /// # Errors
    ///
    /// [`GuardsTooLow`] names each guard to raise, and how far.
    pub fn check(&self, guards: &LoopGuard) -> Result<(), GuardsTooLow> {
        let mut low = Vec::new();
        // Of several agents the one that needs most: raised for it, the guard is enough for all.
        let busiest = self.messages.iter().max_by_key(|(name, n)| (**n, std::cmp::Reverse(*name)));
        if let Some((agent, needed)) = busiest {
            let guard = Guard::MessagesPerAgent { agent: agent.clone() };
            low.extend(self.too_low(guard, *needed, guards.max_messages_per_agent));
        }
        low.extend(self.too_low(Guard::Iterations, self.rounds, guards.max_iterations));
        if low.is_empty() { Ok(()) } else { Err(GuardsTooLow(low)) }
    }

    fn too_low(&self, guard: Guard, needed: u64, limit: u32) -> Option<GuardTooLow> {
        let is_low = limit != u32::MAX && u64::from(limit) < needed;
        is_low.then(|| GuardTooLow { work: self.work.clone(), guard, needed, limit })
    }
}

/// Which guard is too low, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guard {
    /// [`LoopGuard::max_messages_per_agent`].
    MessagesPerAgent {
        /// The agent that needs most.
        agent: AgentName,
    },
    /// [`LoopGuard::max_iterations`].
    Iterations,
}

/// A guard that is lower than what the flow needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardTooLow {
    /// What is to be done.
    pub work: String,
    /// Which guard.
    pub guard: Guard,
    /// What the flow needs.
    pub needed: u64,
    /// What the guard allows.
    pub limit: u32,
}

impl fmt::Display for GuardTooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, guard, needed, limit } = self;
        let (need, key) = match guard {
            Guard::MessagesPerAgent { agent } => {
                let need = format!("{} of agent `{agent}`", n_of(*needed, "message"));
                (need, "max_messages_per_agent")
            }
            Guard::Iterations => (n_of(*needed, "round"), "max_iterations"),
        };
        write!(f, "{work} needs {need}, but guards.{key} is {limit}: raise it to at least {needed}")
    }
}

impl std::error::Error for GuardTooLow {}

/// Every guard that is lower than what the flow needs; at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct GuardsTooLow(pub Vec<GuardTooLow>);

#[cfg(test)]
mod tests {
    use super::super::spec::{Over, Split};
    use super::*;

    fn name(name: &str) -> AgentName {
        AgentName::try_new(name).unwrap()
    }

    fn inputs(n: usize) -> Vec<Content> {
        vec!["x".into(); n]
    }

    #[track_caller]
    fn demands(spec: &FlowSpec, n_inputs: usize, messages: &[(&str, u64)], rounds: u64) {
        let demand = spec.demand(&inputs(n_inputs)).unwrap();
        let expected = messages.iter().map(|(agent, n)| (name(agent), *n)).collect();
        assert_eq!((demand.messages, demand.rounds), (expected, rounds));
    }

    #[test]
    fn a_map_needs_a_message_and_a_round_an_item() {
        let one = FlowSpec::map(vec![name("m")], Over::Inputs, Some(name("r")));
        demands(&one, 120, &[("m", 120), ("r", 1)], 121);
        let bare = FlowSpec::map(vec![name("m")], Over::Inputs, None);
        demands(&bare, 3, &[("m", 3)], 3);
        let two = FlowSpec::map(vec![name("m"), name("n")], Over::Inputs, Some(name("r")));
        demands(&two, 5, &[("m", 3), ("n", 2), ("r", 1)], 4);
    }

    #[test]
    fn a_list_to_be_made_is_counted_when_it_is_there() {
        let over = Over::Agent { agent: name("l"), split: Split::Lines };
        let spec = FlowSpec::map(vec![name("m")], over, Some(name("r")));
        demands(&spec, 0, &[("l", 1)], 1);
        let Steps::Map(map) = &spec.steps else { panic!("it is a map") };
        let later = Demand::of_map(map, &[], 3);
        assert_eq!(later.rounds, 5);
        assert_eq!(later.messages[&name("l")], 1);
    }

    #[test]
    fn a_pipe_needs_a_round_a_stage_and_one_for_each_further_input() {
        let stages = vec![name("a"), name("b"), name("c")];
        demands(&FlowSpec::pipe(stages), 4, &[("a", 4), ("b", 4), ("c", 4)], 6);
        let twice = FlowSpec::pipe(vec![name("a"), name("b"), name("a")]);
        demands(&twice, 10, &[("a", 20), ("b", 10)], 22);
    }

    #[test]
    fn urgent_messages_count_where_they_are_sent() {
        let spec = FlowSpec::map(vec![name("m")], Over::Inputs, None)
            .with_urgent(name("m"), "now", 2)
            .with_urgent(name("m"), "never", 3);
        demands(&spec, 3, &[("m", 4)], 4);
    }

    #[test]
    fn a_guard_that_is_too_low_is_named_with_how_far_to_raise_it() {
        let spec = FlowSpec::map(vec![name("summarise")], Over::Inputs, Some(name("join")));
        let low = spec.demand(&inputs(120)).unwrap().check(&LoopGuard::default()).unwrap_err();
        assert_eq!(
            low.to_string(),
            "mapping 120 items needs 120 messages of agent `summarise`, but \
             guards.max_messages_per_agent is 50: raise it to at least 120; \
             mapping 120 items needs 121 rounds, but guards.max_iterations is 100: raise it to at \
             least 121"
        );
        assert_eq!(spec.demand(&inputs(120)).unwrap().check(&LoopGuard::unlimited()), Ok(()));
        assert_eq!(spec.demand(&inputs(50)).unwrap().check(&LoopGuard::default()), Ok(()));
    }

    #[test]
    fn an_empty_input_is_refused_by_its_number() {
        let spec = FlowSpec::pipe(vec![name("a")]);
        let error = spec.demand(&["x".into(), " \n".into()]).unwrap_err();
        assert_eq!(error, FlowError::EmptyInput { number: 2 });
    }
}
