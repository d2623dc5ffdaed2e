//! A flow that its guards let begin comes to its end within them, if nothing fails.

use std::collections::{BTreeMap, VecDeque};

use orch_runtime::{Content, LoopGuard};
use orch_team::{AgentName, Demand, Flow, FlowError, FlowSend, FlowSpec, Over, Split};
use proptest::prelude::*;

fn name(name: &str) -> AgentName {
    AgentName::try_new(name).unwrap()
}

/// What a run took: messages by agent, and the highest round.
#[derive(Debug, Default)]
struct Taken {
    messages: BTreeMap<AgentName, u64>,
    rounds: u64,
}

/// Runs a flow as the runtime does: each agent one message at a time, urgent ones first, in the
/// order in which they came; any agent next. A hand-out has the round after its agent's last one
/// and after that of the message that it follows from.
fn take(mut flow: Flow, inputs: Vec<Content>, picks: &[usize]) -> Taken {
    let mut queues: BTreeMap<AgentName, VecDeque<(FlowSend, u64)>> = BTreeMap::new();
    let enqueue = |queues: &mut BTreeMap<AgentName, VecDeque<_>>, sends: Vec<FlowSend>, round| {
        for send in sends {
            let is_urgent = send.priority.is_some();
            let queue = queues.entry(send.to.clone()).or_default();
            if is_urgent { queue.push_front((send, round)) } else { queue.push_back((send, round)) }
        }
    };
    let mut last: BTreeMap<AgentName, u64> = BTreeMap::new();
    let mut taken = Taken::default();
    enqueue(&mut queues, flow.start(inputs).unwrap(), 0);
    for pick in picks.iter().cycle() {
        queues.retain(|_, queue| !queue.is_empty());
        if queues.is_empty() {
            break;
        }
        let n_agents = queues.len();
        let (agent, queue) = queues.iter_mut().nth(pick % n_agents).unwrap();
        let (agent, (send, sent_in)) = (agent.clone(), queue.pop_front().unwrap());
        let round = 1 + sent_in.max(*last.get(&agent).unwrap_or(&0));
        last.insert(agent.clone(), round);
        taken.rounds = taken.rounds.max(round);
        *taken.messages.entry(agent).or_default() += 1;
        enqueue(&mut queues, flow.settled(&send.key, Some("no".into())), round);
    }
    assert!(flow.answer().is_some());
    taken
}

/// The demand is exact in messages, and enough in rounds.
#[track_caller]
fn check(spec: &FlowSpec, n_inputs: usize, picks: &[usize]) {
    let inputs = vec![Content::from("x"); n_inputs];
    let Demand { messages, rounds, .. } = spec.demand(&inputs).unwrap();
    let taken = take(Flow::new(spec, LoopGuard::unlimited()), inputs, picks);
    assert_eq!(taken.messages, messages);
    assert!(taken.rounds <= rounds, "{} rounds of {rounds}", taken.rounds);
}

proptest! {
    #[test]
    fn a_pipe_stays_within_its_demand(
        n_inputs in 1..8usize,
        stages in 1..5usize,
        picks in prop::collection::vec(any::<usize>(), 1..30),
    ) {
        let stages = (0..stages).map(|stage| name(&format!("s{stage}"))).collect();
        let spec = FlowSpec::pipe(stages).with_urgent(name("s0"), "now", 2);
        check(&spec, n_inputs, &picks);
    }

    #[test]
    fn a_map_stays_within_its_demand(
        n_items in 1..12usize,
        n_agents in 1..4usize,
        after in 0..14u64,
        picks in prop::collection::vec(any::<usize>(), 1..30),
    ) {
        let agents = (0..n_agents).map(|agent| name(&format!("m{agent}"))).collect();
        let spec = FlowSpec::map(agents, Over::Inputs, Some(name("r")));
        let spec = spec.with_urgent(name("m0"), "now", after).with_urgent(name("r"), "and now", 2);
        check(&spec, n_items, &picks);
    }

    #[test]
    fn a_loop_stays_within_its_demand(
        at_most in 1..6u32,
        after in 0..14u64,
        picks in prop::collection::vec(any::<usize>(), 1..30),
    ) {
        let spec = FlowSpec::repeat(name("a"), name("b"), "yes", at_most);
        check(&spec.with_urgent(name("a"), "now", after), 1, &picks);
    }
}

#[test]
fn a_list_that_is_longer_than_the_guards_allow_is_refused_before_it_is_begun() {
    let over = Over::Agent { agent: name("list"), split: Split::Lines };
    let spec = FlowSpec::map(vec![name("m")], over, Some(name("r")));
    let mut flow = Flow::new(&spec, LoopGuard::default());
    let sends = flow.start(Vec::new()).unwrap();
    assert_eq!((sends[0].to.as_str(), sends[0].content.as_str()), ("list", ""));

    assert_eq!(flow.settled(&sends[0].key, Some("x\n".repeat(51).into())), []);
    let answer = flow.answer().unwrap();
    assert!(answer.partial && answer.content.is_empty());
    assert_eq!(
        answer.problems[0].to_string(),
        "mapping 51 items needs 51 messages of agent `m`, but guards.max_messages_per_agent is 50: \
         raise it to at least 51"
    );
}

#[test]
fn a_flow_that_needs_more_than_its_guards_allow_does_not_start() {
    let spec = FlowSpec::map(vec![name("m")], Over::Lists(Split::Lines), None);
    let mut flow = Flow::new(&spec, LoopGuard::default());
    let error = flow.start(vec!["x\n".repeat(101).into()]).unwrap_err();
    assert!(error.to_string().contains("needs 101 rounds"), "{error}");
    assert!(error.to_string().contains("needs 101 messages of agent `m`"), "{error}");
    assert!(flow.start(vec!["x".into()]).is_ok(), "nothing was started before");
    assert_eq!(flow.start(vec!["x".into()]), Err(FlowError::StartedBefore));
}

#[test]
fn a_flow_that_has_nothing_to_do_does_not_start() {
    let map = |over| FlowSpec::map(vec![name("m")], over, None);
    let start = |spec: &FlowSpec, inputs: &[&str]| {
        let inputs = inputs.iter().map(|text| Content::from(*text)).collect();
        Flow::new(spec, LoopGuard::default()).start(inputs).unwrap_err().to_string()
    };
    let json = map(Over::Lists(Split::Json));
    assert_eq!(start(&map(Over::Inputs), &[]), "nothing to map: the list is empty");
    assert_eq!(start(&json, &["[]"]), "nothing to map: the list is empty");
    assert_eq!(
        start(&json, &["[1]", "{}"]),
        "input 2 is not a list: it is JSON, but an object and not an array"
    );
    assert_eq!(start(&map(Over::Inputs), &["a", " "]), "input 2 is empty");
    let repeat = FlowSpec::repeat(name("a"), name("b"), "yes", 1);
    assert_eq!(start(&repeat, &[]), "this flow needs an input");
}
