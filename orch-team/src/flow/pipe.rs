//! `pipe`: each input through all stages.

use orch_runtime::Content;

use super::answer::join_lines;
use super::key::Part;
use super::spec::Pipe;
use super::{Effects, Ended, FlowProblem};
use crate::name::AgentName;

#[derive(Debug)]
pub(super) struct PipeRun {
    stages: Vec<AgentName>,
    /// By input, what came out of the last stage.
    outputs: Vec<Option<Content>>,
    /// Inputs that are still on their way.
    n_open: usize,
}

impl PipeRun {
    pub(super) fn start(
        Pipe { stages }: &Pipe,
        inputs: Vec<Content>,
        effects: &mut Effects,
    ) -> Self {
        // Without any input the first agent knows by itself where to look.
        let inputs = if inputs.is_empty() { vec![Content::default()] } else { inputs };
        let n_open = inputs.len();
        for (input, content) in inputs.into_iter().enumerate() {
            effects.send(&stages[0], content, Part::Stage { input, stage: 0 });
        }
        Self { stages: stages.clone(), outputs: vec![None; n_open], n_open }
    }

    pub(super) fn ended(&mut self, part: Part, ended: Ended, effects: &mut Effects) {
        let Part::Stage { input, stage } = part else { return };
        let is_last = stage + 1 == self.stages.len();
        let (agent, part) = (self.stages[stage].clone(), self.label(input));
        match ended {
            Ended::Output(Some(content)) if !is_last => {
                let stage = stage + 1;
                effects.send(&self.stages[stage], content, Part::Stage { input, stage });
                return;
            }
            Ended::Output(Some(content)) => self.outputs[input] = Some(content),
            // Whoever is last may have nothing to say, having done something.
            Ended::Output(None) if is_last => {}
            Ended::Output(None) => effects.problems.push(FlowProblem::NoOutput { agent, part }),
            Ended::GaveUp(reason) => {
                effects.problems.push(FlowProblem::GaveUp { agent, part, reason });
            }
        }
        self.n_open -= 1;
    }

    fn label(&self, input: usize) -> String {
        if self.outputs.len() == 1 { "the input".into() } else { format!("input {}", input + 1) }
    }

    pub(super) fn is_done(&self) -> bool {
        self.n_open == 0
    }

    pub(super) fn content(&self) -> Content {
        join_lines(self.outputs.iter().flatten())
    }
}
