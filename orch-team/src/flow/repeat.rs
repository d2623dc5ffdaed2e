//! `loop … until`: work and check, until the checker approves.

use orch_runtime::Content;

use super::answer::join_lines;
use super::key::Part;
use super::spec::Loop;
use super::{Effects, Ended, FlowError, FlowProblem};

#[derive(Debug)]
pub(super) struct LoopRun {
    spec: Loop,
    task: Content,
    /// What the doer answered last.
    work: Content,
    is_done: bool,
}

impl LoopRun {
    pub(super) fn start(
        spec: &Loop,
        inputs: &[Content],
        effects: &mut Effects,
    ) -> Result<Self, FlowError> {
        if inputs.is_empty() {
            return Err(FlowError::NoInput);
        }
        let task = join_lines(inputs);
        effects.send(&spec.doer, task.clone(), Part::Do(1));
        Ok(Self { spec: spec.clone(), task, work: Content::default(), is_done: false })
    }

    pub(super) fn ended(&mut self, part: Part, ended: Ended, effects: &mut Effects) {
        let (agent, round) = match part {
            Part::Do(round) => (&self.spec.doer, round),
            Part::Check(round) => (&self.spec.checker, round),
            _ => return,
        };
        let (agent, label) = (agent.clone(), format!("round {round}"));
        match (ended, part) {
            (Ended::Output(Some(work)), Part::Do(_)) => {
                self.work = work;
                effects.send(&self.spec.checker, self.to_check(), Part::Check(round));
            }
            (Ended::Output(Some(feedback)), _) => self.checked(round, &feedback, effects),
            (Ended::Output(None), _) => {
                self.is_done = true;
                effects.problems.push(FlowProblem::NoOutput { agent, part: label });
            }
            (Ended::GaveUp(reason), _) => {
                self.is_done = true;
                effects.problems.push(FlowProblem::GaveUp { agent, part: label, reason });
            }
        }
    }

    fn checked(&mut self, round: u32, feedback: &Content, effects: &mut Effects) {
        if approves(feedback, &self.spec.says) {
            self.is_done = true;
        } else if round < self.spec.at_most {
            effects.send(&self.spec.doer, self.to_do_again(feedback), Part::Do(round + 1));
        } else {
            self.is_done = true;
            let checker = self.spec.checker.clone();
            effects.problems.push(FlowProblem::NotApproved { checker, rounds: round });
        }
    }

    fn to_check(&self) -> String {
        let Self { task, work, .. } = self;
        format!("# Task\n{}\n\n# Work\n{}\n", task.trim_end(), work.trim_end())
    }

    fn to_do_again(&self, feedback: &str) -> String {
        format!("{}\n# Feedback\n{}\n", self.to_check(), feedback.trim_end())
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn content(&self) -> Content {
        self.work.clone()
    }
}

/// Whether the first line that is not blank says the word and nothing else.
fn approves(answer: &str, says: &str) -> bool {
    let first = answer.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    bare(first) == bare(says)
}

/// In small letters, without what is neither letter nor digit at the ends.
fn bare(text: &str) -> String {
    text.trim_matches(|it: char| !it.is_alphanumeric()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_approves_if_it_is_the_word() {
        for answer in ["APPROVED", "approved.", "\n  **Approved!**\nvery nice", "> APPROVED <"] {
            assert!(approves(answer, "APPROVED"), "{answer:?}");
        }
        assert!(approves("looks good to me", "Looks good to me."));
    }

    #[test]
    fn more_or_other_words_do_not_approve() {
        for answer in ["", "not approved", "APPROVED, but", "no\nAPPROVED", "disapproved"] {
            assert!(!approves(answer, "APPROVED"), "{answer:?}");
        }
    }
}
