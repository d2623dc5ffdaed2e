import { clearMocks, mockIPC } from "@tauri-apps/api/mocks";
import { afterEach, beforeEach, expect, expectTypeOf, test } from "vitest";
import { readFileSync } from "node:fs";
import {
  type AgentMetadata,
  type EventFrame,
  type NumberedEvent,
  type Snapshot,
  CallError,
  UNLIMITED,
  orchestrators,
} from "./index";

beforeEach(() => void ((globalThis as any).window ??= globalThis));
afterEach(clearMocks);

/** Records every call, and answers it. */
function answering(answer: (command: string, args: any) => unknown) {
  const calls: [string, unknown][] = [];
  mockIPC((command, args) => {
    calls.push([command, args]);
    return answer(command, args);
  });
  return calls;
}

const snapshot = { number: 2, is_created: true, is_running: true } as Snapshot;
const frame = (missed: number, ...numbers: number[]): EventFrame => ({
  missed,
  events: numbers.map((number) => ({ number, event: "run_started", run: 1 }) as NumberedEvent),
});

test("the plugin's commands have its prefix, the plain ones have none", async () => {
  const calls = answering(() => null);
  await orchestrators().call("unregister_agent", { agent_id: "a" });
  await orchestrators("plain").call("unregister_agent", { agent_id: "a", run_id: "two" });
  await orchestrators("plain").call("start_orchestrator");
  expect(calls).toEqual([
    ["plugin:orchestrator|unregister_agent", { agent_id: "a" }],
    ["unregister_agent", { agent_id: "a", run_id: "two" }],
    ["start_orchestrator", {}],
  ]);
});

test("a typed error arrives with its code and hint, a bare text as denied", async () => {
  answering((command) => {
    if (command === "list_agents") throw "orchestrator.list_agents not allowed";
    throw { code: "unknown_agent", message: "agent-1 is not registered", hint: "look again" };
  });
  const plain = orchestrators("plain");
  const error = await plain.call("unregister_agent", { agent_id: "a" }).catch((it) => it);
  expect(error).toBeInstanceOf(CallError);
  expect([error.code, error.message, error.hint]).toEqual([
    "unknown_agent",
    "agent-1 is not registered",
    "look again",
  ]);
  const denied = await plain.call("list_agents").catch((it) => it);
  expect([denied.code, denied.message]).toEqual(["denied", "orchestrator.list_agents not allowed"]);
});

test("the snapshot comes first, then every event in order, and what was missed", async () => {
  const told: unknown[] = [];
  const calls = answering((_, args) => {
    args.on_event.onmessage(frame(3, 4, 5)); // Overtakes the answer.
    return snapshot;
  });
  const answered = await orchestrators().subscribe(
    {
      snapshot: (it) => told.push(it.number),
      event: (it) => told.push(`event ${it.number}`),
      missed: (it) => told.push(`missed ${it}`),
    },
    { after: 0, run_id: "two" },
  );
  (calls[0]![1] as any).on_event.onmessage(frame(0, 6));
  expect(answered).toBe(snapshot);
  expect(told).toEqual([2, "missed 3", "event 4", "event 5", "event 6"]);
  expect(calls[0]).toMatchObject([
    "plugin:orchestrator|subscribe_events",
    { after: 0, run_id: "two" },
  ]);
});

test("what has no limit is the largest number that JavaScript holds", () => {
  expect(JSON.parse(JSON.stringify(UNLIMITED))).toBe(9007199254740991);
});

test("each command takes and answers what Rust says", () => {
  const plain = orchestrators("plain");
  expectTypeOf(plain.call<"list_agents">).returns.resolves.toEqualTypeOf<AgentMetadata[]>();
  expectTypeOf(plain.call<"get_queue_depth">).returns.resolves.toEqualTypeOf<number>();
  // @ts-expect-error: arguments are spelled in snake case
  expectTypeOf(() => plain.call("unregister_agent", { agentId: "a" }));
  // @ts-expect-error: the id is needed
  expectTypeOf(() => plain.call("unregister_agent"));
});

test("the commands are those of the Rust side", () => {
  const listed = (path: string, line: RegExp) =>
    [...readFileSync(new URL(path, import.meta.url), "utf8").matchAll(line)].map((it) => it[1]);
  const typed = listed("index.ts", /^  (\w+): \{ args: /gm);
  expect([...typed, "subscribe_events"]).toEqual(listed("../build.rs", /^    "(\w+)",$/gm));
});
