//! Tool calls: the policy decides, and where it says so, a person.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use orch_connect::{ConnectError, HostError, Idempotent, ToolBegun};
use orch_core::{
    AgentConfig, AgentId, ApprovalId, Decision, EventKind, Severity, StepKey, Timestamp, ToolCall,
    ToolPolicy,
};
use orch_policy::paths::{AllowedPathError, OsLinks, resolve_all, resolve_allowed};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::SpawnError;
use crate::host::AttemptHost;
use crate::orchestrator::Inner;

/// A tool call that waits for a person.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Approval {
    /// The question.
    pub id: ApprovalId,
    /// Who wants to call.
    pub agent: AgentId,
    /// The call.
    pub call: ToolCall,
    /// SHA-256 of the call in JSON, in hexadecimal: an answer names it, so that nobody approves
    /// what they did not see.
    pub call_hash: String,
    /// When it becomes a denial.
    pub expires_at: Timestamp,
}

/// Why an answer to an approval did not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Nobody waits for it: it was answered, has expired, or its handler is gone.
    #[error("{0} does not wait for an answer (any more)")]
    NotOpen(ApprovalId),
    /// The answer is about another call.
    #[error("the answer to {approval} names another call: look at it again")]
    OtherCall {
        /// The question.
        approval: ApprovalId,
    },
}

/// The questions that wait for a person.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    open: Mutex<BTreeMap<ApprovalId, (Approval, oneshot::Sender<bool>)>>,
}

impl Approvals {
    pub(crate) fn list(&self) -> Vec<Approval> {
        self.lock().values().map(|(approval, _)| approval.clone()).collect()
    }

    /// The first answer wins.
    pub(crate) fn answer(
        &self,
        id: ApprovalId,
        call_hash: &str,
        allow: bool,
    ) -> Result<(), AnswerError> {
        let mut open = self.lock();
        let (approval, _) = open.get(&id).ok_or(AnswerError::NotOpen(id))?;
        if approval.call_hash != call_hash {
            return Err(AnswerError::OtherCall { approval: id });
        }
        let answered = open.remove(&id).map(|(_, answer)| answer.send(allow));
        answered.and_then(Result::ok).ok_or(AnswerError::NotOpen(id))
    }

    fn ask(&self, approval: Approval) -> oneshot::Receiver<bool> {
        let (answer, answered) = oneshot::channel();
        self.lock().insert(approval.id, (approval, answer));
        answered
    }

    fn forget(&self, id: ApprovalId) {
        self.lock().remove(&id);
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<ApprovalId, (Approval, oneshot::Sender<bool>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policies with their paths as the operating system resolves them.
pub(crate) fn resolved(policies: &[ToolPolicy]) -> Result<Vec<ToolPolicy>, SpawnError> {
    resolve_allowed(policies.to_vec(), &OsLinks).map_err(|error| match error {
        AllowedPathError::Policy(error) => SpawnError::Policy(error),
        error => SpawnError::AllowedPath { tool: "*".to_owned(), error: error.to_string() },
    })
}

/// Makes the engine keep the policies of an agent that was registered, not spawned.
pub(crate) fn keep_policies(
    inner: &Inner,
    agent: AgentId,
    config: &AgentConfig,
) -> Result<(), ConnectError> {
    let kept = resolved(&config.tool_policies)
        .and_then(|policies| Ok(inner.policy().set_policies(agent, policies)?));
    kept.map_err(|error| ConnectError::BadSetting {
        setting: "tool_policies".to_owned(),
        problem: error.to_string(),
    })
}

/// What was decided on a call.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    /// The policy that counted the call, if one did.
    pub(crate) counted_by: Option<String>,
}

impl From<Decision> for Decided {
    fn from(decision: Decision) -> Self {
        Self { decision, counted_by: None }
    }
}

/// Decides on a call, asks a person where the policy says so, and records the decision.
pub(crate) async fn decide(host: &AttemptHost, call: ToolCall) -> Decision {
    let decision = match &host.run.durable {
        None => decide_now(host, &call).await.decision,
        Some(durable) => Box::pin(host.tool_step(durable, &call)).await,
    };
    tell(host, call, &decision);
    decision
}

/// As [`decide`], for a call that begins at once if it may.
pub(crate) async fn begin(
    host: &AttemptHost,
    call: ToolCall,
    idempotent: Idempotent,
) -> Result<ToolBegun, HostError> {
    let begun = match &host.run.durable {
        None => {
            let key = host.next_step_key();
            begun(key, decide_now(host, &call).await.decision)
        }
        Some(durable) => Box::pin(host.begin_tool_step(durable, &call, idempotent)).await?,
    };
    match &begun {
        ToolBegun::Call(_) | ToolBegun::Done(_) => tell(host, call, &Decision::Allow),
        ToolBegun::Denied { reason, possible_at } => {
            let (reason, possible_at) = (reason.clone(), *possible_at);
            tell(host, call, &Decision::Deny { reason, possible_at });
        }
        _ => {}
    }
    Ok(begun)
}

/// What a decision means for a call that is to begin.
pub(crate) fn begun(key: StepKey, decision: Decision) -> ToolBegun {
    match decision {
        Decision::Allow => ToolBegun::Call(key),
        Decision::Deny { reason, possible_at } => ToolBegun::Denied { reason, possible_at },
        _ => ToolBegun::Denied { reason: "nobody decided".to_owned(), possible_at: None },
    }
}

fn tell(host: &AttemptHost, call: ToolCall, decision: &Decision) {
    let severity = if decision.is_allowed() { Severity::Debug } else { Severity::Info };
    let decided = || EventKind::ToolDecided {
        agent: host.agent().entry.id,
        call,
        decision: decision.clone(),
    };
    host.run.inner.bus.events().emit(severity, decided);
}

/// Decides on a call that was not decided before.
pub(crate) async fn decide_now(host: &AttemptHost, call: &ToolCall) -> Decided {
    match judge(host, call, false) {
        Decided { decision: Decision::Ask { reason }, .. } => {
            ask_a_person(host, call, &reason).await
        }
        decided => decided,
    }
}

fn judge(host: &AttemptHost, call: &ToolCall, is_approved: bool) -> Decided {
    // An error denies.
    let cwd = match working_folder(&host.agent().entry.config) {
        Ok(cwd) => cwd,
        Err(error) => {
            return Decision::deny(format!("the agent's folder is unknown: {error}")).into();
        }
    };
    let paths = match resolve_all(&call.paths, &cwd, &OsLinks) {
        Ok(paths) => paths,
        Err(error) => return Decision::deny(format!("failed to resolve a path: {error}")).into(),
    };
    let (now, agent) = (host.run.now(), host.agent().entry.id);
    let mut policy = host.run.inner.policy();
    let decision = match is_approved {
        true => policy.granted(now, agent, call, &paths),
        false => policy.decide(now, agent, call, &paths),
    };
    // Under the same lock: the policies may be others a moment later.
    let counts = decision.is_allowed().then(|| policy.counted_by(agent, &call.tool)).flatten();
    let counted_by = counts.map(str::to_owned);
    Decided { decision, counted_by }
}

/// What relative paths of a call are relative to: the agent's `cwd`, else this process's.
fn working_folder(config: &AgentConfig) -> std::io::Result<PathBuf> {
    let here = std::env::current_dir()?;
    let cwd = config.settings.get("cwd").and_then(|cwd| cwd.as_str());
    Ok(cwd.map_or(here.clone(), |cwd| here.join(cwd)))
}

async fn ask_a_person(host: &AttemptHost, call: &ToolCall, reason: &str) -> Decided {
    let Some(wait) = host.run.options.approval_wait else {
        return Decision::deny(format!("{reason}, and there is nobody to ask")).into();
    };
    let approval = Approval {
        id: ApprovalId::new(),
        agent: host.agent().entry.id,
        call: call.clone(),
        call_hash: hash_of(call),
        expires_at: host.run.now().after(wait),
    };
    let inner = &host.run.inner;
    let id = approval.id;
    let _forget = Forget { inner, id };
    let answered = inner.approvals.ask(approval);
    inner.bus.events().emit(Severity::Info, || EventKind::ApprovalAsked {
        approval: id,
        agent: host.agent().entry.id,
        call: call.clone(),
    });
    match host.waiting_in_turn(timeout(wait, answered)).await {
        Some(Ok(Ok(true))) => judge(host, call, true),
        Some(Ok(Ok(false))) => Decision::deny("a person denied it").into(),
        Some(_) => Decision::deny(format!("nobody answered within {}", spoken(wait))).into(),
        None => Decision::deny("the run is over").into(),
    }
}

fn spoken(wait: Duration) -> String {
    format!("{} ms", wait.as_millis())
}

fn hash_of(call: &ToolCall) -> String {
    let json = serde_json::to_vec(call).unwrap_or_default();
    Sha256::digest(json).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Forgets a question whose handler is gone.
struct Forget<'a> {
    inner: &'a Inner,
    id: ApprovalId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.inner.approvals.forget(self.id);
    }
}
