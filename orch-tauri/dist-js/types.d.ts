/**
 * What a tool call does.
 */
export type Access = "read" | "write" | "execute";
/**
 * Of commands about one agent.
 */
export type AgentArgs = {
    /**
     * Which agent.
     */
    agent_id: AgentId;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * How an agent is made: who it is, what drives it, and the limits on it.
 *
 * In JSON only `name`, `role` and `connector_type` are needed; the rest has defaults.
 */
export type AgentConfig = {
    /**
     * The name that people use. Two agents may have the same; ids tell them apart.
     */
    name: string;
    /**
     * What the agent is in its team.
     */
    role: AgentRole;
    /**
     * Which connector drives the agent, such as `subprocess`.
     */
    connector_type: string;
    /**
     * Attempts after the first: 3 means at most four attempts. Default 3.
     */
    max_retries: number;
    /**
     * Milliseconds that one attempt may take; the maximum of the type means no limit. Default
     * 300,000.
     */
    timeout_ms: number;
    /**
     * What the agent may call. A call without a policy is denied.
     */
    tool_policies: Array<ToolPolicy>;
    /**
     * What the connector needs: command, model, folder … The connector documents and checks it.
     */
    settings: {
        [key in string]: JsonValue;
    };
    /**
     * Messages that the agent handles at once, at least 1. Default 1.
     */
    concurrency: number;
    /**
     * What happens after one of its messages became a dead letter. Default `never`.
     */
    restart: RestartPolicy;
    /**
     * The priority of what it sends, unless a message says otherwise. Default `Normal`.
     */
    send_priority: MessagePriority;
};
/**
 * Names an agent, and so its mailbox.
 *
 * Shown with its kind in front, parsed with or without it, and a plain UUID in JSON.
 */
export type AgentId = string;
/**
 * A message from one agent to another.
 *
 * Its fields are behind methods so that their layout can stay small: what every message has lies
 * in the struct, what few have lies in one box behind it.
 *
 * ```
 * use orch_core::{AgentId, AgentMessage, MessagePriority};
 *
 * let (planner, coder) = (AgentId::new(), AgentId::new());
 * let message = AgentMessage::new(planner, coder, "write the parser")
 *     .with_priority(MessagePriority::High)
 *     .with_metadata("file", "parser.rs");
 * assert_eq!(message.content(), "write the parser");
 * assert_eq!(message.hop(), 0);
 * ```
 */
export type AgentMessage = {
    id: MessageId;
    from: AgentId;
    to: AgentId;
    content: Content;
    priority: MessagePriority;
    created_at: Timestamp;
    metadata: {
        [key in string]: string;
    };
    correlation_id?: MessageId;
    causation_id?: MessageId;
    chain_id?: ChainId;
    hop: number;
    deadline?: Timestamp;
};
/**
 * What the registry tells about an agent.
 */
export type AgentMetadata = {
    /**
     * The agent's id.
     */
    id: AgentId;
    /**
     * How it was made.
     */
    config: AgentConfig;
    /**
     * Where it stands; may be stale by the time it is read.
     */
    status: AgentStatus;
    /**
     * When it was registered.
     */
    created_at: Timestamp;
    /**
     * Which agent spawned it; `None` for one that was registered from outside.
     */
    parent: AgentId | null;
    /**
     * How many parents lie above it.
     */
    depth: number;
};
/**
 * What an agent is in its team. It changes nothing in how the agent is dispatched.
 */
export type AgentRole = "Coordinator" | "Worker" | "Reviewer" | {
    "Custom": string;
};
/**
 * Where an agent stands.
 *
 * ```text
 *   ┌──────▶ Idle ◀──────┐
 *   │         │          │ done
 *   │         ▼          │
 * start   Processing ────┤
 * again    │      ▲      │
 *   │      ▼      │      │
 *   │     Waiting ┘      │
 *   │         any of them│
 *   └────── Failed ◀─────┘
 * ```
 */
export type AgentStatus = "Idle" | "Processing" | "Waiting" | {
    "Failed": {
        /**
         * Why, in words.
         */
        reason: string;
    };
};
/**
 * Names a tool call that waits for a person's decision.
 *
 * Shown with its kind in front, parsed with or without it, and a plain UUID in JSON.
 */
export type ApprovalId = string;
/**
 * How one attempt failed.
 */
export type AttemptError = {
    /**
     * Its number, counted from 1.
     */
    attempt: number;
    /**
     * What went wrong, in words.
     */
    error: string;
    /**
     * When it ended.
     */
    at: Timestamp;
};
/**
 * Of `broadcast_message`.
 */
export type BroadcastMessageArgs = {
    /**
     * What to send.
     */
    request: BroadcastMessageRequest;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * A message to all agents.
 */
export type BroadcastMessageRequest = {
    /**
     * What it says.
     */
    content: string;
    /**
     * How urgent it is. Default `Normal`.
     */
    priority?: MessagePriority;
    /**
     * Lines of metadata.
     */
    metadata?: {
        [key in string]: string;
    };
};
/**
 * Of `broadcast_message`.
 */
export type BroadcastMessageResponse = {
    /**
     * How many mailboxes accepted it; what the others refused is a dead letter.
     */
    recipients: number;
};
/**
 * Names a chain: all messages with one first cause.
 *
 * Shown with its kind in front, parsed with or without it, and a plain UUID in JSON.
 */
export type ChainId = string;
/**
 * Why a command failed. In JSON `{ code, message, hint }`; `hint` is missing where there is none.
 */
export type CommandError = {
    /**
     * What kind of failure it is; stays the same between versions.
     */
    code: ErrorCode;
    /**
     * What went wrong, in words.
     */
    message: string;
    /**
     * What to do about it.
     */
    hint?: string;
};
/**
 * UTF-8 text, shared: a clone copies a pointer, so a broadcast copies no text.
 *
 * The type has no bound of its own; a bus refuses content beyond its limit (16 MiB by default).
 */
export type Content = string;
/**
 * Of `create_orchestrator`.
 */
export type CreateOrchestratorArgs = {
    /**
     * How to make it.
     */
    request: CreateOrchestratorRequest;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * The counts that stop a run; what is left out has its default.
 */
export type CreateOrchestratorRequest = {
    /**
     * Rounds of hand-outs. Default 100; `UNLIMITED` for no limit.
     */
    max_iterations?: number;
    /**
     * Messages that one agent handles. Default 50; `UNLIMITED` for no limit.
     */
    max_messages_per_agent?: number;
    /**
     * Milliseconds that a run may take. Default 600,000; `UNLIMITED` for no limit.
     */
    max_execution_time_ms?: number;
};
/**
 * A message that was not handled, and why. Nothing is lost: it can be sent again.
 */
export type DeadLetter = {
    /**
     * The message as it was sent.
     */
    message: AgentMessage;
    /**
     * Why it was given up.
     */
    reason: DeadLetterReason;
    /**
     * Every attempt that failed, oldest first; empty if it never ran.
     */
    attempts: Array<AttemptError>;
    /**
     * When it was given up.
     */
    at: Timestamp;
};
/**
 * Why a delivery was given up.
 */
export type DeadLetterReason = "attempts_exhausted" | "final_failure" | {
    "retry_after_too_long": {
        /**
         * The wait that was asked for, in milliseconds.
         */
        retry_after_ms: number;
    };
} | "expired" | {
    "refused": {
        /**
         * What the mailbox said.
         */
        error: string;
    };
} | "retired" | {
    "cannot_run": {
        /**
         * What is missing.
         */
        error: string;
    };
} | {
    "step_mismatch": {
        /**
         * The number of the step, counted from 1.
         */
        step: number;
        /**
         * Both steps.
         */
        error: string;
    };
} | {
    "tool_unfinished": {
        /**
         * The number of the step, counted from 1.
         */
        step: number;
        /**
         * The tool.
         */
        tool: string;
    };
};
/**
 * What was decided on a call.
 */
export type Decision = "allow" | {
    "deny": {
        /**
         * Why, in words that the agent can act on.
         */
        reason: string;
        /**
         * When the same call may be possible; `None` if waiting does not help.
         */
        possible_at?: Timestamp;
    };
} | {
    "ask": {
        /**
         * Why a person is asked.
         */
        reason: string;
    };
};
/**
 * Durations, counted in buckets whose bounds double: bucket `i` has those below 2^i microseconds
 * that no smaller bucket has; the last one has all the rest.
 */
export type DurationHistogram = {
    /**
     * Durations by bucket; 32 buckets, the largest bound is 2^31 µs (36 minutes).
     */
    buckets: [number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number, number];
    /**
     * The sum of all of them in microseconds.
     */
    sum_us: number;
};
/**
 * The kinds of failure. In JSON in snake case.
 */
export type ErrorCode = "invalid_arguments" | "unknown_run" | "unknown_agent" | "unknown_message" | "cannot_run" | "program_not_allowed" | "connector_not_allowed" | "not_created" | "already_running" | "still_running" | "mailbox_full" | "too_large" | "not_accepted" | "flow" | "too_many" | "not_managed";
/**
 * What a channel of `subscribe_events` brings: some events, in order.
 */
export type EventFrame = {
    /**
     * How many events before these are not kept any more: the reader was too slow, or asked for
     * old ones. What they said can be read from a new snapshot.
     */
    missed: number;
    /**
     * The events.
     */
    events: Array<NumberedEvent>;
};
export type JsonValue = number | string | boolean | Array<JsonValue> | {
    [key in string]: JsonValue;
} | null;
/**
 * A limit that the processes of a program came up to.
 */
export type LimitReached = {
    /**
     * Of what.
     */
    resource: Resource;
    /**
     * What was seen: milliseconds, bytes, or a number.
     */
    figure: number;
    /**
     * The limit, in the same measure.
     */
    limit: number;
    /**
     * What happened there.
     */
    how: Reached;
};
/**
 * Where each figure comes from.
 */
export type MeasuredBy = {
    /**
     * The processor time.
     */
    cpu: Meter;
    /**
     * The memory.
     */
    memory: Meter;
    /**
     * The processes.
     */
    processes: Meter;
};
/**
 * Names a message; a retry of it keeps the id.
 *
 * Shown with its kind in front, parsed with or without it, and a plain UUID in JSON.
 */
export type MessageId = string;
/**
 * How urgent a message is. Messages are delivered Critical first, Low last.
 */
export type MessagePriority = "Low" | "Normal" | "High" | "Critical";
/**
 * Where a figure comes from.
 */
export type Meter = "nothing" | "cgroup_v2" | "cgroup_v1" | "proc" | "proc_pss" | "proc_rss";
/**
 * An event with its place in the order of all events of its orchestrator.
 */
export type NumberedEvent = {
    /**
     * Its number, counted from 1.
     */
    number: number;
    /**
     * Whether a text in it was cut, because it is longer than 64 KiB.
     */
    cut: boolean;
    /**
     * When it happened.
     */
    at: Timestamp;
} & ({
    "event": "registered";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * Its name.
     */
    name: string;
    /**
     * What drives it.
     */
    connector_type: string;
    /**
     * Who spawned it.
     */
    parent?: AgentId;
} | {
    "event": "unregistered";
    /**
     * Which agent.
     */
    agent: AgentId;
} | {
    "event": "status_changed";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * Where it stands now.
     */
    status: AgentStatus;
} | {
    "event": "run_started";
    /**
     * The number of the run, counted from 1.
     */
    run: number;
} | {
    "event": "accepted";
    /**
     * The message.
     */
    message: AgentMessage;
} | {
    "event": "started";
    /**
     * Who handles it.
     */
    agent: AgentId;
    /**
     * What is handled.
     */
    message: MessageId;
    /**
     * Its priority.
     */
    priority: MessagePriority;
    /**
     * The number of the attempt, counted from 1.
     */
    attempt: number;
    /**
     * The round of the hand-out.
     */
    round: number;
} | {
    "event": "settled";
    /**
     * Who handled it.
     */
    agent: AgentId;
    /**
     * What was handled.
     */
    message: MessageId;
    /**
     * The number of the attempt.
     */
    attempt: number;
    /**
     * What answers the message.
     */
    output?: Content;
    /**
     * What the attempt used.
     */
    usage: Usage;
    /**
     * How long the attempt took, in milliseconds.
     */
    handling_ms: number;
} | {
    "event": "retry_scheduled";
    /**
     * Who tried.
     */
    agent: AgentId;
    /**
     * What was tried.
     */
    message: MessageId;
    /**
     * The number of the attempt that failed.
     */
    attempt: number;
    /**
     * What went wrong.
     */
    error: string;
    /**
     * When it is tried again.
     */
    retry_at: Timestamp;
} | {
    "event": "put_back";
    /**
     * Who handled it.
     */
    agent: AgentId;
    /**
     * What went back.
     */
    message: MessageId;
} | {
    "event": "dead_lettered";
    /**
     * Whose message it was.
     */
    agent: AgentId;
    /**
     * Which message.
     */
    message: MessageId;
    /**
     * Why.
     */
    reason: DeadLetterReason;
    /**
     * How many attempts were made.
     */
    attempts: number;
    /**
     * The last attempt's error.
     */
    error?: string;
} | {
    "event": "agent_failed";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * Why.
     */
    error: string;
} | {
    "event": "restarted";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * Restarts within the window of the intensity, this one included.
     */
    restarts: number;
} | {
    "event": "tool_decided";
    /**
     * Who wants to call.
     */
    agent: AgentId;
    /**
     * The call.
     */
    call: ToolCall;
    /**
     * What was decided.
     */
    decision: Decision;
} | {
    "event": "approval_asked";
    /**
     * The question.
     */
    approval: ApprovalId;
    /**
     * Who wants to call.
     */
    agent: AgentId;
    /**
     * The call.
     */
    call: ToolCall;
} | {
    "event": "usage_reported";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * What it used since its last report.
     */
    usage: Usage;
} | {
    "event": "resources_used";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * What it handled.
     */
    message: MessageId;
    /**
     * The number of the attempt.
     */
    attempt: number;
    /**
     * What was used.
     */
    resources: Resources;
    /**
     * The limit that stopped them, if one did.
     */
    reached?: LimitReached;
} | {
    "event": "said";
    /**
     * Which agent.
     */
    agent: AgentId;
    /**
     * What it said.
     */
    text: string;
} | {
    "event": "guard_tripped";
    /**
     * The guard's name: a field of `LoopGuard`.
     */
    guard: string;
    /**
     * The figure that would have passed the limit.
     */
    figure: number;
    /**
     * The limit.
     */
    limit: number;
    /**
     * Whose figure it is, if it is an agent's.
     */
    agent?: AgentId;
} | {
    "event": "send_waiting";
    /**
     * Whose mailbox is full.
     */
    to: AgentId;
    /**
     * Which lane is full.
     */
    priority: MessagePriority;
} | {
    "event": "stopped";
    /**
     * The number of the run.
     */
    run: number;
    /**
     * Why it ended.
     */
    reason: StopReason;
});
/**
 * What an orchestrator has done since it was made (or `reset_metrics`). Counts saturate.
 */
export type OrchestratorMetrics = {
    /**
     * The highest round of hand-outs of any run.
     */
    total_iterations: number;
    /**
     * Messages that were handled.
     */
    total_messages: number;
    /**
     * Messages that each agent handled.
     */
    messages_per_agent: {
        [key in AgentId]: number;
    };
    /**
     * Attempts after the first.
     */
    retry_count: number;
    /**
     * Attempts that failed.
     */
    error_count: number;
    /**
     * Messages that wait in mailboxes.
     */
    queue_depth: number;
    /**
     * The same by priority.
     */
    queue_depth_by_priority: PriorityDepth;
    /**
     * Handlers that run or wait.
     */
    in_flight: number;
    /**
     * Dead letters that were made.
     */
    dead_letter_count: number;
    /**
     * From acceptance to the first attempt, for each message.
     */
    wait_time: DurationHistogram;
    /**
     * Of each attempt, from its beginning to its end.
     */
    handling_time: DurationHistogram;
    /**
     * What all agents used together.
     */
    usage: Usage;
    /**
     * What each agent used.
     */
    usage_per_agent: {
        [key in AgentId]: Usage;
    };
};
/**
 * How much of a tool an agent may use. Each level includes those before it.
 */
export type PermissionLevel = "Denied" | "ReadOnly" | "ReadWrite" | "Full";
/**
 * Messages that wait, by priority.
 */
export type PriorityDepth = {
    /**
     * Critical ones.
     */
    critical: number;
    /**
     * High ones.
     */
    high: number;
    /**
     * Normal ones.
     */
    normal: number;
    /**
     * Low ones.
     */
    low: number;
};
/**
 * How a limit was reached.
 */
export type Reached = "nearly" | "used_up" | "refused" | "seen_above";
/**
 * Of `register_agent`.
 */
export type RegisterAgentArgs = {
    /**
     * What to register.
     */
    request: RegisterAgentRequest;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * An agent to register.
 */
export type RegisterAgentRequest = {
    /**
     * How it is made; what is left out has its default.
     */
    config: Pick<AgentConfig, "name" | "role" | "connector_type"> & Partial<AgentConfig>;
};
/**
 * Of `register_agent`.
 */
export type RegisterAgentResponse = {
    /**
     * The agent's id.
     */
    agent_id: AgentId;
    /**
     * Why the agent cannot run on this machine as it is: its kind is not known, or its program is
     * not there. It is registered; a run refuses to start while messages wait for it.
     */
    cannot_run?: string;
};
/**
 * Of `resend_dead_letter`.
 */
export type ResendDeadLetterArgs = {
    /**
     * The message of the dead letter.
     */
    message_id: MessageId;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * What is counted of processes.
 */
export type Resource = "cpu" | "memory" | "processes";
/**
 * What the processes of one attempt used.
 */
export type Resources = {
    /**
     * Milliseconds of processor time, in user space and in the kernel, of all that lived meanwhile.
     */
    cpu_ms: number;
    /**
     * The most bytes of memory that were seen at once.
     */
    memory_bytes: number;
    /**
     * The most processes and threads that were seen at once.
     */
    processes: number;
    /**
     * Where the figures come from.
     */
    measured_by: MeasuredBy;
};
/**
 * What a supervisor does after a message of an agent became a dead letter.
 */
export type RestartPolicy = "never" | "on_failure" | "always";
/**
 * Of commands about one orchestrator.
 */
export type RunArgs = {
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * Of `send_message`.
 */
export type SendMessageArgs = {
    /**
     * What to send.
     */
    request: SendMessageRequest;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * A message to one agent.
 */
export type SendMessageRequest = {
    /**
     * Who is to handle it.
     */
    to: AgentId;
    /**
     * What it says.
     */
    content: string;
    /**
     * How urgent it is. Default `Normal`.
     */
    priority?: MessagePriority;
    /**
     * Lines of metadata.
     */
    metadata?: {
        [key in string]: string;
    };
    /**
     * When nobody wants it handled any more.
     */
    deadline?: Timestamp;
};
/**
 * Of `send_message`.
 */
export type SendMessageResponse = {
    /**
     * The id of the message.
     */
    message_id: MessageId;
};
/**
 * Of `subscribe_events`: how things stood at an event. Events that follow may be in it already; to
 * take them again changes nothing.
 */
export type Snapshot = {
    /**
     * The number of the newest event; 0 if there was none.
     */
    number: number;
    /**
     * Whether `create_orchestrator` was called, or the host opened a team.
     */
    is_created: boolean;
    /**
     * Whether a run is under way.
     */
    is_running: boolean;
    /**
     * Why the last run ended; `null` while one is under way, or before the first.
     */
    stop_reason: StopReason | null;
    /**
     * The agents, in the order in which they were registered.
     */
    agents: Array<AgentMetadata>;
    /**
     * The figures.
     */
    metrics: OrchestratorMetrics;
};
/**
 * Of `start_orchestrator`.
 */
export type StartOrchestratorArgs = {
    /**
     * What a team's flow starts with. Only where the host opened a team under this `run_id`.
     */
    inputs?: Array<string>;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * Of `start_orchestrator`, when the run has ended.
 */
export type StartOrchestratorResponse = {
    /**
     * Why the run ended.
     */
    stop_reason: StopReason;
    /**
     * What the team says, where the host opened one under this `run_id`.
     */
    answer?: TeamAnswer;
};
/**
 * Of `stop_orchestrator`.
 */
export type StopOrchestratorResponse = {
    /**
     * Why the run ended, which may be for another reason; `null` if nothing ran.
     */
    stop_reason: StopReason | null;
    /**
     * Agents whose handlers have not returned. They keep their messages.
     */
    still_running: Array<AgentId>;
};
/**
 * Why a run ended.
 */
export type StopReason = "Completed" | "MaxIterations" | {
    "MaxMessagesPerAgent": {
        /**
         * Which agent.
         */
        agent_id: AgentId;
        /**
         * How many messages it handled.
         */
        count: number;
    };
} | "MaxExecutionTime" | {
    "AgentError": {
        /**
         * Which agent.
         */
        agent_id: AgentId;
        /**
         * Why it failed.
         */
        error: string;
    };
} | "ManualStop" | {
    "JournalFailed": {
        /**
         * What is wrong with it.
         */
        error: string;
    };
};
/**
 * Of `subscribe_events`, besides its channel.
 */
export type SubscribeEventsArgs = {
    /**
     * The channel, as `Channel` of `@tauri-apps/api/core` writes itself.
     */
    on_event: import("@tauri-apps/api/core").Channel<EventFrame>;
    /**
     * The number after which to begin: 0 for all that are kept. By default that of the answer.
     */
    after?: number;
    /**
     * Which orchestrator; `default` if none is named.
     */
    run_id?: string;
};
/**
 * What a team says.
 */
export type TeamAnswer = {
    /**
     * Its answer; empty if nothing came of the flow.
     */
    content: string;
    /**
     * Whether something that belongs into the answer is missing from it.
     */
    partial: boolean;
    /**
     * What went wrong, in the order in which it happened.
     */
    problems: Array<string>;
};
/**
 * Milliseconds since the Unix epoch. In JSON a plain number, as `Date` in JavaScript takes it.
 *
 * Arithmetic saturates: a deadline that would lie beyond the end of time is the end of time.
 */
export type Timestamp = number;
/**
 * A call that an agent wants to make.
 */
export type ToolCall = {
    /**
     * The tool's name.
     */
    tool: string;
    /**
     * What the call does.
     */
    access: Access;
    /**
     * The paths that it touches, as the agent wrote them.
     */
    paths: Array<string>;
    /**
     * What it is called with; shown to whoever decides.
     */
    arguments: JsonValue;
};
/**
 * What one agent may do with one tool. Without a policy a tool is denied.
 */
export type ToolPolicy = {
    /**
     * The tool's name; `*` for every tool that has no policy of its own.
     */
    tool: string;
    /**
     * How much of the tool the agent may use.
     */
    permission: PermissionLevel;
    /**
     * Granted calls in any window of 60 minutes; `None` for no limit.
     */
    max_calls_per_hour?: number;
    /**
     * Folders (and files) to which paths must belong below [`PermissionLevel::Full`]; `None` for
     * no rule about paths, an empty list for no path at all. Absolute.
     */
    allowed_paths?: Array<string>;
    /**
     * Whether a person decides about each call that would be allowed otherwise.
     */
    ask?: boolean;
};
/**
 * What handling used. Sums saturate.
 */
export type Usage = {
    /**
     * Tokens read by a model, the cached ones included.
     */
    input_tokens: number;
    /**
     * Those of `input_tokens` that came from the provider's cache.
     */
    cached_input_tokens: number;
    /**
     * Tokens written by a model.
     */
    output_tokens: number;
    /**
     * Money in millionths of a US dollar.
     */
    cost_micro_usd: number;
};
