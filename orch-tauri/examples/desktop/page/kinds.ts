// The kinds of agents that the example offers. What each may do is up to the host.

import type { AgentConfig, RegisterAgentRequest } from "../../../guest-js/index.js";

const steps: Record<string, AgentConfig["settings"]["steps"]> = {
  slow: [{ delay_ms: 500 }, { echo: true }],
  flaky: [{ delay_ms: 100 }, { fail: "overloaded, as planned" }, { echo: true }],
};

/** The configuration of an agent of that kind. */
export function agentOf(name: string, kind: string): RegisterAgentRequest["config"] {
  const config = { name, role: "Worker" as const, max_retries: 3, timeout_ms: 30_000 };
  const script = steps[kind];
  if (script) {
    return { ...config, connector_type: "scripted", settings: { steps: script, repeat: true } };
  }
  if (kind === "shout") return { ...config, connector_type: "shout" };
  return { ...config, connector_type: "subprocess", settings: { program: kind } };
}
