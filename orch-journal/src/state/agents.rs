//! Runs, agents, what they use, and what limits granted.

use orch_core::{
    AgentConfig, AgentId, ChainId, LoopGuard, MessageId, StopReason, Timestamp, Usage,
};

use super::parts::{Agent, Grant, Question, Run};
use super::{GRANT_WINDOW, Illegal, Key, State};
use crate::hash::ContentHash;
use crate::record::Seq;

impl State {
    pub(super) fn start_run(
        &mut self,
        seq: Seq,
        at: Timestamp,
        run: u64,
        team: Option<ContentHash>,
        guard: LoopGuard,
        since: Option<u64>,
    ) -> Result<(), Illegal> {
        if self.open_run.is_some() {
            return Err(Illegal::RunStart(run, "another one is open"));
        }
        if self.runs.last_key_value().is_some_and(|(last, _)| run <= *last) {
            return Err(Illegal::RunStart(run, "the numbers of runs ascend"));
        }
        if since.is_some_and(|since| self.cut_off_run().map(Run::counts_since) != Some(since)) {
            return Err(Illegal::RunStart(run, "the run before was not cut off"));
        }
        let begun = Run {
            run,
            first: seq,
            started_at: at,
            team,
            guard,
            ended: None,
            reason: None,
            iterations: 0,
            since,
            usage: Usage::default(),
        };
        self.runs.insert(run, begun);
        self.open_run = Some(run);
        self.touch(Key::Run(run));
        Ok(())
    }

    pub(super) fn end_run(
        &mut self,
        seq: Seq,
        at: Timestamp,
        run: u64,
        reason: Option<StopReason>,
    ) -> Result<(), Illegal> {
        if self.open_run != Some(run) {
            return Err(Illegal::RunNotOpen(run));
        }
        self.open_run = None;
        if let Some(ended) = self.runs.get_mut(&run) {
            ended.ended = Some((seq, at));
            ended.reason = reason;
        }
        self.touch(Key::Run(run));
        Ok(())
    }

    pub(super) fn register(
        &mut self,
        seq: Seq,
        id: AgentId,
        config: &AgentConfig,
        parent: Option<AgentId>,
    ) -> Result<(), Illegal> {
        let config = config.clone();
        let agent = Agent { id, seq, config, parent, failed: None, restarts: 0 };
        self.agents.insert(id, agent);
        self.touch(Key::Agent(id));
        Ok(())
    }

    pub(super) fn retire(&mut self, id: AgentId) -> Result<(), Illegal> {
        self.agents.remove(&id).ok_or(Illegal::UnknownAgent(id))?;
        self.counts.remove(&id);
        self.touch(Key::Agent(id));
        self.touch(Key::Counts(id));
        let of_it = (id, String::new())..;
        let names = self.conversations.range(of_it).take_while(|((agent, _), _)| *agent == id);
        let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
        for (agent, name) in names {
            self.conversations.remove(&(agent, name.clone()));
            self.touch(Key::Conversation(agent, name));
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, id: AgentId, error: &str) -> Result<(), Illegal> {
        let agent = self.agents.get_mut(&id).ok_or(Illegal::UnknownAgent(id))?;
        agent.failed = Some(error.to_owned());
        self.touch(Key::Agent(id));
        Ok(())
    }

    pub(super) fn restart(&mut self, id: AgentId, restarts: u32) -> Result<(), Illegal> {
        let agent = self.agents.get_mut(&id).ok_or(Illegal::UnknownAgent(id))?;
        agent.failed = None;
        agent.restarts = restarts;
        self.touch(Key::Agent(id));
        Ok(())
    }

    /// What is used outside of a run counts for the last one.
    pub(super) fn spend(
        &mut self,
        agent: AgentId,
        chain: Option<ChainId>,
        usage: Usage,
    ) -> Result<(), Illegal> {
        self.counts.entry(agent).or_default().usage += usage;
        self.touch(Key::Counts(agent));
        if let Some((number, run)) = self.runs.iter_mut().next_back() {
            run.usage += usage;
            let number = *number;
            self.touch(Key::Run(number));
        }
        if let Some(chain) = chain
            && let Some(spent) = self.chains.get_mut(&chain)
        {
            spent.usage += usage;
            self.touch(Key::Chain(chain));
        }
        Ok(())
    }

    pub(super) fn grant(
        &mut self,
        seq: Seq,
        at: Timestamp,
        agent: AgentId,
        policy: &str,
    ) -> Result<(), Illegal> {
        self.grants.insert(seq, Grant { agent, policy: policy.to_owned(), at });
        self.touch(Key::Grant(seq));
        while let Some((&oldest, grant)) = self.grants.first_key_value()
            && at.since(grant.at) >= GRANT_WINDOW
        {
            self.grants.remove(&oldest);
            self.touch(Key::Grant(oldest));
        }
        Ok(())
    }

    pub(super) fn ask(
        &mut self,
        seq: Seq,
        agent: AgentId,
        question: MessageId,
        to: AgentId,
    ) -> Result<(), Illegal> {
        if self.questions.contains_key(&question) {
            return Err(Illegal::KnownQuestion(question));
        }
        self.questions.insert(question, Question { seq, agent, to });
        self.touch(Key::Question(question));
        Ok(())
    }

    pub(super) fn close_question(&mut self, question: MessageId) -> Result<(), Illegal> {
        self.questions.remove(&question).ok_or(Illegal::UnknownQuestion(question))?;
        self.touch(Key::Question(question));
        Ok(())
    }
}
