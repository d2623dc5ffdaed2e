//! `map … over … reduce`: one message an item, then one with all outputs.

use orch_runtime::{Content, LoopGuard};

use super::answer::join_lines;
use super::demand::Demand;
use super::items::{label, split};
use super::key::Part;
use super::spec::{Map, Over, Split, Urgent};
use super::{Effects, Ended, FlowError, FlowProblem};
use crate::name::AgentName;

#[derive(Debug)]
pub(super) struct MapRun {
    spec: Map,
    /// Counted when a list that an agent made is held against the guards.
    urgent: Vec<Urgent>,
    guards: LoopGuard,
    items: Vec<Content>,
    /// By item, its output.
    outputs: Vec<Option<Content>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Listing,
    Mapping { n_open: usize },
    Reducing,
    Done { reduced: Option<Content> },
}

/// The items that the inputs hold; `None` if an agent has to make the list.
pub(super) fn items_of(over: &Over, inputs: &[Content]) -> Result<Option<Vec<Content>>, FlowError> {
    let items = match over {
        Over::Inputs => inputs.to_vec(),
        Over::Lists(by) => split_all(inputs, *by)?,
        Over::Agent { .. } => return Ok(None),
    };
    if items.is_empty() { Err(FlowError::NothingToMap) } else { Ok(Some(items)) }
}

fn split_all(inputs: &[Content], by: Split) -> Result<Vec<Content>, FlowError> {
    let mut items = Vec::new();
    for (number, input) in (1..).zip(inputs) {
        items.extend(split(input, by).map_err(|error| FlowError::BadList { number, error })?);
    }
    Ok(items)
}

impl MapRun {
    pub(super) fn start(
        spec: &Map,
        urgent: &[Urgent],
        guards: LoopGuard,
        inputs: &[Content],
        effects: &mut Effects,
    ) -> Result<Self, FlowError> {
        let mut map = Self {
            spec: spec.clone(),
            urgent: urgent.to_vec(),
            guards,
            items: Vec::new(),
            outputs: Vec::new(),
            stage: Stage::Listing,
        };
        if let Some(items) = items_of(&spec.over, inputs)? {
            map.begin(items, effects);
        } else if let Some(lister) = spec.lister() {
            effects.send(lister, join_lines(inputs), Part::List);
        }
        Ok(map)
    }

    fn begin(&mut self, items: Vec<Content>, effects: &mut Effects) {
        for (number, item) in items.iter().enumerate() {
            let agent = &self.spec.agents[number % self.spec.agents.len()];
            effects.send(agent, item.clone(), Part::Item(number));
        }
        self.outputs = vec![None; items.len()];
        self.stage = Stage::Mapping { n_open: items.len() };
        self.items = items;
    }

    pub(super) fn ended(
        &mut self,
        agent: &AgentName,
        part: Part,
        ended: Ended,
        effects: &mut Effects,
    ) {
        let label = match part {
            Part::Item(number) => label(number, &self.items[number]),
            Part::List => "making the list".to_owned(),
            _ => "the outputs".to_owned(),
        };
        let is_last = self.spec.reduce.is_none() && part != Part::List;
        let output = match ended {
            Ended::Output(None) if is_last => None,
            Ended::Output(None) => {
                let (agent, part) = (agent.clone(), label);
                effects.problems.push(FlowProblem::NoOutput { agent, part });
                None
            }
            Ended::Output(output) => output,
            Ended::GaveUp(reason) => {
                let (agent, part) = (agent.clone(), label);
                effects.problems.push(FlowProblem::GaveUp { agent, part, reason });
                None
            }
        };
        match part {
            Part::List => self.listed(agent, output, effects),
            Part::Item(number) => self.item_ended(number, output, effects),
            _ => self.stage = Stage::Done { reduced: output },
        }
    }

    fn listed(&mut self, agent: &AgentName, output: Option<Content>, effects: &mut Effects) {
        self.stage = Stage::Done { reduced: None };
        let Some(output) = output else { return };
        let Over::Agent { split: by, .. } = self.spec.over else { return };
        let agent = agent.clone();
        match split(&output, by) {
            Err(error) => effects.problems.push(FlowProblem::BadList { agent, error }),
            Ok(items) if items.is_empty() => {
                effects.problems.push(FlowProblem::NothingToMap { agent });
            }
            Ok(items) => {
                // The last moment at which the guards can be held against the list as a whole.
                match Demand::of_map(&self.spec, &self.urgent, items.len()).check(&self.guards) {
                    Err(low) => effects.problems.push(low.into()),
                    Ok(()) => self.begin(items, effects),
                }
            }
        }
    }

    fn item_ended(&mut self, number: usize, output: Option<Content>, effects: &mut Effects) {
        self.outputs[number] = output;
        let Stage::Mapping { n_open } = &mut self.stage else { return };
        *n_open -= 1;
        if *n_open != 0 {
            return;
        }
        let has_outputs = self.outputs.iter().any(Option::is_some);
        self.stage = match &self.spec.reduce {
            // With nothing to reduce there is nobody to ask.
            Some(agent) if has_outputs => {
                effects.send(agent, self.outputs_joined(), Part::Reduce);
                Stage::Reducing
            }
            Some(_) | None => Stage::Done { reduced: None },
        };
    }

    fn outputs_joined(&self) -> Content {
        join_lines(self.outputs.iter().flatten())
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// What the reducer said; the outputs, if it said nothing or there is none.
    pub(super) fn content(&self) -> Content {
        match &self.stage {
            Stage::Done { reduced: Some(content) } => content.clone(),
            _ => self.outputs_joined(),
        }
    }
}
