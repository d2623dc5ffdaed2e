//! What follows the end of an attempt. Pure over `now` and a source of random numbers.

use orch_core::{DeadLetterReason, Failure, Timestamp};
use orch_policy::{RetryDecision, RetryPolicy};

/// How an attempt ended, as the runtime saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// The connector said that the message was handled.
    Acked,
    /// The connector reported a failure, or the handler panicked or took too long.
    Failed(Failure),
    /// A person has to decide before it is handled further: about another step than the one that an
    /// earlier attempt took, or a tool call that began and did not end.
    Undecided(DeadLetterReason),
    /// Its agent cannot run at all.
    CannotRun(String),
    /// Its deadline came before it began.
    Expired,
    /// A stop or the run's deadline cut it off.
    Cut,
    /// It ended before, says the journal, and nobody saw to it.
    Before,
}

/// What happens to the message now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is settled.
    Ack,
    /// It is tried again, not before `at`.
    Retry { at: Timestamp, error: String },
    /// It goes back to where it was; the attempt does not count.
    PutBack,
    /// It was settled before: there is nothing to be said about it.
    Forget,
    /// It becomes a dead letter.
    GiveUp { reason: DeadLetterReason, error: Option<String>, agent_fails: AgentFails },
}

/// What a dead letter means for its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentFails {
    /// Nothing: it was not the agent's fault.
    No,
    /// What its restart policy says.
    BySupervisor,
    /// It fails, whatever its restart policy says.
    ForGood,
}

/// What the verdict depends on beside the end of the attempt.
pub(crate) struct Circumstances<'a> {
    /// The number of the attempt, counted from 1.
    pub(crate) attempt: u32,
    pub(crate) max_retries: u32,
    pub(crate) deadline: Option<Timestamp>,
    /// Whether the agent was retired meanwhile.
    pub(crate) is_retired: bool,
    pub(crate) now: Timestamp,
    pub(crate) retry: &'a RetryPolicy,
}

pub(crate) fn verdict(
    ended: Ended,
    about: &Circumstances<'_>,
    random: &mut impl FnMut() -> u64,
) -> Verdict {
    match ended {
        Ended::Acked => Verdict::Ack,
        Ended::Before => Verdict::Forget,
        // There is no mailbox any more that it could go back to.
        Ended::Cut if about.is_retired => give_up(DeadLetterReason::Retired, None, AgentFails::No),
        Ended::Cut => Verdict::PutBack,
        Ended::Expired => give_up(DeadLetterReason::Expired, None, AgentFails::No),
        Ended::CannotRun(error) => {
            let reason = DeadLetterReason::CannotRun { error: error.clone() };
            give_up(reason, Some(error), AgentFails::ForGood)
        }
        Ended::Undecided(reason) if about.is_retired => {
            give_up(DeadLetterReason::Retired, Some(reason.to_string()), AgentFails::No)
        }
        Ended::Undecided(reason) => {
            let agent_fails = match reason {
                // The agent is well; something cut its call off.
                DeadLetterReason::ToolUnfinished { .. } => AgentFails::No,
                _ => AgentFails::BySupervisor,
            };
            let error = reason.to_string();
            give_up(reason, Some(error), agent_fails)
        }
        Ended::Failed(failure) if about.is_retired => {
            give_up(DeadLetterReason::Retired, Some(failure.error), AgentFails::No)
        }
        Ended::Failed(failure) => after_failure(failure, about, random),
    }
}

fn after_failure(
    failure: Failure,
    about: &Circumstances<'_>,
    random: &mut impl FnMut() -> u64,
) -> Verdict {
    let Circumstances { attempt, max_retries, deadline, now, .. } = *about;
    match about.retry.decide(attempt, max_retries, &failure, now, deadline, random) {
        RetryDecision::At(at) => Verdict::Retry { at, error: failure.error },
        // A message whose time ran out between attempts says nothing about its agent's next one.
        RetryDecision::GiveUp(DeadLetterReason::Expired) => {
            give_up(DeadLetterReason::Expired, Some(failure.error), AgentFails::No)
        }
        RetryDecision::GiveUp(reason) => {
            give_up(reason, Some(failure.error), AgentFails::BySupervisor)
        }
    }
}

fn give_up(reason: DeadLetterReason, error: Option<String>, agent_fails: AgentFails) -> Verdict {
    Verdict::GiveUp { reason, error, agent_fails }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn about(attempt: u32, retry: &RetryPolicy) -> Circumstances<'_> {
        Circumstances {
            attempt,
            max_retries: 3,
            deadline: None,
            is_retired: false,
            now: Timestamp::from_millis(1_000),
            retry,
        }
    }

    fn failed(text: &str) -> Ended {
        Ended::Failed(Failure::transient(text))
    }

    #[test]
    fn max_retries_of_three_means_at_most_four_attempts() {
        let retry = RetryPolicy::default();
        for attempt in 1..=3 {
            let verdict = verdict(failed("x"), &about(attempt, &retry), &mut || 0);
            assert!(matches!(verdict, Verdict::Retry { .. }), "attempt {attempt}");
        }
        let last = verdict(failed("x"), &about(4, &retry), &mut || 0);
        let exhausted = give_up(
            DeadLetterReason::AttemptsExhausted,
            Some("x".into()),
            AgentFails::BySupervisor,
        );
        assert_eq!(last, exhausted);
    }

    #[test]
    fn a_retry_after_of_an_hour_is_final() {
        let retry = RetryPolicy::default();
        let failure = Failure::transient("busy").with_retry_after(Duration::from_secs(3_600));
        let verdict = verdict(Ended::Failed(failure), &about(1, &retry), &mut || 0);
        assert!(matches!(
            verdict,
            Verdict::GiveUp { reason: DeadLetterReason::RetryAfterTooLong { .. }, .. }
        ));
    }

    #[test]
    fn a_cut_attempt_never_counts() {
        let retry = RetryPolicy::default();
        assert_eq!(verdict(Ended::Cut, &about(4, &retry), &mut || 0), Verdict::PutBack);
    }

    #[test]
    fn a_cut_attempt_of_a_retired_agent_has_nowhere_to_go_back_to() {
        let retry = RetryPolicy::default();
        let retired = Circumstances { is_retired: true, ..about(1, &retry) };
        let verdict = verdict(Ended::Cut, &retired, &mut || 0);
        assert_eq!(verdict, give_up(DeadLetterReason::Retired, None, AgentFails::No));
    }

    #[test]
    fn a_failure_of_a_retired_agent_is_not_tried_again() {
        let retry = RetryPolicy::default();
        let retired = Circumstances { is_retired: true, ..about(1, &retry) };
        let verdict = verdict(failed("x"), &retired, &mut || 0);
        assert_eq!(verdict, give_up(DeadLetterReason::Retired, Some("x".into()), AgentFails::No));
    }
}
