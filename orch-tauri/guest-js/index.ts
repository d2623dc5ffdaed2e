// The commands of orch-tauri, typed. The types of data are made from the Rust ones; the table of
// commands below is the only thing written by hand.

import { Channel, invoke } from "@tauri-apps/api/core";
import type * as t from "./types.js";

export type * from "./types.js";

/** As a limit: none. What is larger in Rust arrives as this number. */
export const UNLIMITED = Number.MAX_SAFE_INTEGER;

/** Each command: what it takes and what it answers. */
export interface Commands {
  register_agent: { args: t.RegisterAgentArgs; answer: t.RegisterAgentResponse };
  unregister_agent: { args: t.AgentArgs; answer: null };
  list_agents: { args: t.RunArgs; answer: t.AgentMetadata[] };
  get_agent_metadata: { args: t.AgentArgs; answer: t.AgentMetadata };
  create_orchestrator: { args: t.CreateOrchestratorArgs; answer: null };
  start_orchestrator: { args: t.StartOrchestratorArgs; answer: t.StartOrchestratorResponse };
  stop_orchestrator: { args: t.RunArgs; answer: t.StopOrchestratorResponse };
  get_orchestrator_metrics: { args: t.RunArgs; answer: t.OrchestratorMetrics };
  get_queue_depth: { args: t.RunArgs; answer: number };
  send_message: { args: t.SendMessageArgs; answer: t.SendMessageResponse };
  broadcast_message: { args: t.BroadcastMessageArgs; answer: t.BroadcastMessageResponse };
  list_dead_letters: { args: t.RunArgs; answer: t.DeadLetter[] };
  resend_dead_letter: { args: t.ResendDeadLetterArgs; answer: null };
}

export type Command = keyof Commands;

/** Arguments may be left out where none is needed. */
export type ArgsOf<C extends Command> =
  Record<never, never> extends Commands[C]["args"]
    ? [args?: Commands[C]["args"]]
    : [args: Commands[C]["args"]];

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
export class CallError extends Error {
  constructor(
    /** `denied` if the page has no permission for the command. */
    readonly code: t.ErrorCode | "denied",
    message: string,
    readonly hint?: string,
  ) {
    super(message);
    this.name = "CallError";
  }
}

/**
 * The orchestrators of this app.
 *
 * @param form `plugin` if the app has the plugin, `plain` if it has the plain names.
 */
export function orchestrators(form: "plugin" | "plain" = "plugin"): Transport {
  const prefix = form === "plugin" ? "plugin:orchestrator|" : "";
  const send = async <T>(command: string, args: object): Promise<T> => {
    try {
      return await invoke<T>(prefix + command, { ...args });
    } catch (reason) {
      throw callError(reason);
    }
  };
  return {
    call: (command, ...args) => send(command, args[0] ?? {}),
    subscribe: (listener, from = {}) => subscribe(send, listener, from),
  };
}

async function subscribe(
  send: <T>(command: string, args: object) => Promise<T>,
  listener: Listener,
  from: From,
): Promise<t.Snapshot> {
  // Events may overtake the answer that has the snapshot.
  let early: t.EventFrame[] | null = [];
  const pass = (frame: t.EventFrame) => {
    if (frame.missed > 0) listener.missed?.(frame.missed);
    for (const event of frame.events) listener.event(event);
  };
  const on_event = new Channel<t.EventFrame>((frame) => (early ? early.push(frame) : pass(frame)));
  const snapshot = await send<t.Snapshot>("subscribe_events", { on_event, ...from });
  listener.snapshot(snapshot);
  const waiting = early;
  early = null;
  waiting.forEach(pass);
  return snapshot;
}

/** Tauri itself rejects with a text: for a page without permission, or a command that is not there. */
function callError(reason: unknown): CallError {
  if (typeof reason === "object" && reason !== null && "code" in reason && "message" in reason) {
    const error = reason as t.CommandError;
    return new CallError(error.code, error.message, error.hint);
  }
  const hint = "the window's capability needs a permission such as orchestrator:default";
  return new CallError("denied", String(reason), hint);
}
