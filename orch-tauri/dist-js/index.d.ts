import type * as t from "./types.js";
export type * from "./types.js";
/** As a limit: none. What is larger in Rust arrives as this number. */
export declare const UNLIMITED: number;
/** Each command: what it takes and what it answers. */
export interface Commands {
    register_agent: {
        args: t.RegisterAgentArgs;
        answer: t.RegisterAgentResponse;
    };
    unregister_agent: {
        args: t.AgentArgs;
        answer: null;
    };
    list_agents: {
        args: t.RunArgs;
        answer: t.AgentMetadata[];
    };
    get_agent_metadata: {
        args: t.AgentArgs;
        answer: t.AgentMetadata;
    };
    create_orchestrator: {
        args: t.CreateOrchestratorArgs;
        answer: null;
    };
    start_orchestrator: {
        args: t.StartOrchestratorArgs;
        answer: t.StartOrchestratorResponse;
    };
    stop_orchestrator: {
        args: t.RunArgs;
        answer: t.StopOrchestratorResponse;
    };
    get_orchestrator_metrics: {
        args: t.RunArgs;
        answer: t.OrchestratorMetrics;
    };
    get_queue_depth: {
        args: t.RunArgs;
        answer: number;
    };
    send_message: {
        args: t.SendMessageArgs;
        answer: t.SendMessageResponse;
    };
    broadcast_message: {
        args: t.BroadcastMessageArgs;
        answer: t.BroadcastMessageResponse;
    };
    list_dead_letters: {
        args: t.RunArgs;
        answer: t.DeadLetter[];
    };
    resend_dead_letter: {
        args: t.ResendDeadLetterArgs;
        answer: null;
    };
}
export type Command = keyof Commands;
/** Arguments may be left out where none is needed. */
export type ArgsOf<C extends Command> = Record<never, never> extends Commands[C]["args"] ? [args?: Commands[C]["args"]] : [args: Commands[C]["args"]];
/** What is told of a subscription. */
export interface Listener {
    /** How things stand. Comes first. */
    snapshot(snapshot: t.Snapshot): void;
    /** What happened, in order. What the snapshot has already may come again. */
    event(event: t.NumberedEvent): void;
    /** So many events are not kept any more; what they said is in a new snapshot. */
    missed?(events: number): void;
}
/** Where to begin, and which orchestrator. */
export interface From {
    /** After which event; 0 for all that are kept. By default from now on. */
    after?: number;
    run_id?: string;
}
/** How a page reaches its orchestrators. Another transport can stand in for Tauri's. */
export interface Transport {
    /** Calls a command. Rejects with a {@link CallError}. */
    call<C extends Command>(command: C, ...args: ArgsOf<C>): Promise<Commands[C]["answer"]>;
    /** Listens until the page is left, or subscribes to the same orchestrator again. */
    subscribe(listener: Listener, from?: From): Promise<t.Snapshot>;
}
/** Why a call failed; `code` is to branch on. */
export declare class CallError extends Error {
    /** `denied` if the page has no permission for the command. */
    readonly code: t.ErrorCode | "denied";
    readonly hint?: string | undefined;
    constructor(
    /** `denied` if the page has no permission for the command. */
    code: t.ErrorCode | "denied", message: string, hint?: string | undefined);
}
/**
 * The orchestrators of this app.
 *
 * @param form `plugin` if the app has the plugin, `plain` if it has the plain names.
 */
export declare function orchestrators(form?: "plugin" | "plain"): Transport;
