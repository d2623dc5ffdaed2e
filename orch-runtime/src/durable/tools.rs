//! Tool calls as steps: decided, begun and ended in the journal.

use std::sync::Arc;

use orch_connect::{HostError, Idempotent, ToolBegun, ToolEnd};
use orch_core::{Content, DeadLetterReason, Decision, StepKey, ToolCall};
use orch_journal::{ContentHash, Record, StepKind};

use super::replay::{KnownCall, Taking};
use super::{Durable, Unwritten};
use crate::host::AttemptHost;
use crate::permission::{self, Decided};

/// How far a tool call got that a handler wants to make.
enum Reached {
    /// This was decided, and that it begins is recorded if it is to begin.
    Decided(StepKey, Decision),
    /// An earlier attempt made it.
    Done(Content),
    /// An earlier attempt began it, and it must not be repeated.
    Unfinished(StepKey),
}

impl AttemptHost {
    /// Decides on a tool call as a step: one that was decided before is not judged, asked about or
    /// counted again.
    pub(crate) async fn tool_step(&self, durable: &Arc<Durable>, call: &ToolCall) -> Decision {
        match self.reach_tool(durable, call, None).await {
            Ok(Reached::Decided(_, decision)) => decision,
            Ok(Reached::Done(_)) => Decision::deny("an earlier attempt made this call"),
            Ok(Reached::Unfinished(_)) => {
                Decision::deny("an earlier attempt began this call, and nobody knows how it ended")
            }
            Err(error) => Decision::deny(error.to_string()),
        }
    }

    /// As [`tool_step`](Self::tool_step), and records that the call begins, in one set.
    pub(crate) async fn begin_tool_step(
        &self,
        durable: &Arc<Durable>,
        call: &ToolCall,
        idempotent: Idempotent,
    ) -> Result<ToolBegun, HostError> {
        let begins = Some(idempotent == Idempotent::Yes);
        Ok(match self.reach_tool(durable, call, begins).await? {
            Reached::Decided(key, decision) => permission::begun(key, decision),
            Reached::Done(output) => ToolBegun::Done(output),
            Reached::Unfinished(key) => ToolBegun::Unfinished(key),
        })
    }

    /// Records how a call of this turn ended.
    pub(crate) async fn end_tool_step(
        &self,
        durable: &Arc<Durable>,
        key: StepKey,
        end: ToolEnd,
    ) -> Result<(), HostError> {
        if key.delivery != self.message() {
            let error = format!("step {key} is none of the message that is handled");
            return Err(HostError::NotAllowed { error });
        }
        let agent = self.id();
        let ended = match end {
            ToolEnd::Done(output) => Record::ToolFinished { agent, key, output },
            ToolEnd::NotDone { error } => Record::ToolReset { agent, key, reason: error },
            // Nothing is known of how it ended.
            _ => return Ok(()),
        };
        self.record_tool(durable, vec![ended]).await
    }

    async fn reach_tool(
        &self,
        durable: &Arc<Durable>,
        call: &ToolCall,
        begins: Option<bool>,
    ) -> Result<Reached, HostError> {
        let input = ContentHash::of_call(call);
        let taking = Taking { input, ..self.taking(StepKind::Tool, call.tool.clone(), &[]) };
        let (agent, key) = (self.id(), taking.key);
        let known = self.waiting(durable.known_call(&taking, self.run.now(), &self.run.cut)).await;
        let mut set = Vec::new();
        let decision = match known.map_err(|error| not_recorded(&error))? {
            KnownCall::Other(other) => return Err(self.is_stuck(&taking, &other)),
            KnownCall::Done(output) => return Ok(Reached::Done(output)),
            KnownCall::Begun { idempotent: false } => {
                let tool = call.tool.clone();
                let _ = self.stuck().set(DeadLetterReason::ToolUnfinished { step: key.n, tool });
                return Ok(Reached::Unfinished(key));
            }
            KnownCall::Begun { idempotent: true } => Decision::Allow,
            KnownCall::Decided(decision) => decision,
            KnownCall::New => {
                let Decided { decision, counted_by } = permission::decide_now(self, call).await;
                let (call, decided) = (call.clone(), decision.clone());
                set.push(Record::ToolDecided { agent, key, call, input, decision: decided });
                set.extend(counted_by.map(|policy| Record::CallGranted { agent, policy }));
                decision
            }
        };
        if let Some(idempotent) = begins.filter(|_| decision.is_allowed()) {
            set.push(Record::ToolStarted { agent, key, idempotent });
        }
        if !set.is_empty() {
            // Journal-before-effect: a call is allowed, and begins, once that is recorded.
            self.record_tool(durable, set).await?;
        }
        Ok(Reached::Decided(key, decision))
    }

    async fn record_tool(&self, durable: &Durable, set: Vec<Record>) -> Result<(), HostError> {
        match self.waiting(durable.write(set, &self.run.cut)).await {
            Ok(_) => Ok(()),
            Err(Unwritten::Cut) => Err(HostError::Over),
            Err(error) => Err(not_recorded(&error)),
        }
    }
}

fn not_recorded(error: &dyn std::error::Error) -> HostError {
    HostError::NotAllowed { error: format!("the tool call could not be recorded: {error}") }
}
