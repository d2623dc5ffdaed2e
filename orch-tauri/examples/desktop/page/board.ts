// What the page knows: a snapshot, and the events after it. To take an event twice changes nothing.

import type {
  AgentMetadata,
  AgentStatus,
  NumberedEvent,
  OrchestratorMetrics,
  Snapshot,
  StopReason,
} from "../../../guest-js/index.js";

/** Lines of the list that are kept; the host keeps no more either. */
const LINES_MAX = 500;

export interface Agent {
  id: string;
  name: string;
  kind: string;
  status: AgentStatus;
}

export interface Line {
  /** Counts the lines of this page, so that each is drawn once. */
  place: number;
  /** The number of the event. */
  number: number;
  word: string;
  text: string;
  tone: "" | "good" | "warn" | "bad";
}

export class Board {
  agents = new Map<string, Agent>();
  lines: Line[] = [];
  isRunning = false;
  stopReason: StopReason | null = null;
  metrics: OrchestratorMetrics | null = null;
  #snapshot = 0;
  #places = 0;
  #names = new Map<string, string>();

  take(snapshot: Snapshot) {
    this.#snapshot = snapshot.number;
    this.agents = new Map(snapshot.agents.map((it) => [it.id, agentOf(it)]));
    this.agents.forEach((agent) => this.#names.set(agent.id, agent.name));
    this.isRunning = snapshot.is_running;
    this.stopReason = snapshot.stop_reason;
    this.metrics = snapshot.metrics;
  }

  apply(event: NumberedEvent) {
    if (event.event === "registered") this.#names.set(event.agent, event.name);
    const line = this.#line(event);
    if (line) this.#add({ number: event.number, ...line });
    // Older ones are in the snapshot.
    if (event.number > this.#snapshot) this.#change(event);
  }

  missed(events: number) {
    const number = 0;
    this.#add({ number, word: "missed", text: `${events} events are not kept`, tone: "warn" });
  }

  #add(line: Omit<Line, "place">) {
    this.lines.push({ place: (this.#places += 1), ...line });
    if (this.lines.length > LINES_MAX) this.lines.splice(0, this.lines.length - LINES_MAX);
  }

  #change(event: NumberedEvent) {
    switch (event.event) {
      case "registered":
        this.agents.set(event.agent, {
          id: event.agent,
          name: event.name,
          kind: event.connector_type,
          status: "Idle",
        });
        break;
      case "unregistered":
        this.agents.delete(event.agent);
        break;
      case "status_changed": {
        const agent = this.agents.get(event.agent);
        if (agent) agent.status = event.status;
        break;
      }
      case "run_started":
        [this.isRunning, this.stopReason] = [true, null];
        break;
      case "stopped":
        [this.isRunning, this.stopReason] = [false, event.reason];
        break;
    }
  }

  #line(event: NumberedEvent): Omit<Line, "place" | "number"> | null {
    const name = (id: string) => this.#names.get(id) ?? id.slice(0, 8);
    const line = (word: string, text: string, tone: Line["tone"] = "") => ({ word, text, tone });
    switch (event.event) {
      case "registered":
        return line("registered", `${event.name} (${event.connector_type})`);
      case "unregistered":
        return line("unregistered", name(event.agent));
      case "run_started":
        return line("started", `run ${event.run}`, "good");
      case "accepted": {
        const { to, priority, content } = event.message;
        return line("accepted", `${priority} for ${name(to)}: ${content.slice(0, 200)}`);
      }
      case "settled":
        return line("settled", `${name(event.agent)}: ${event.output?.slice(0, 200) ?? ""}`, "good");
      case "said":
        return line("said", `${name(event.agent)}: ${event.text.slice(0, 200)}`);
      case "retry_scheduled":
        return line("retry", `${name(event.agent)}: ${event.error.slice(0, 200)}`, "warn");
      case "put_back":
        return line("put back", name(event.agent), "warn");
      case "dead_lettered":
        return line("dead letter", `${name(event.agent)}: ${event.error ?? ""}`, "bad");
      case "agent_failed":
        return line("failed", `${name(event.agent)}: ${event.error.slice(0, 200)}`, "bad");
      case "guard_tripped":
        return line("guard", `${event.guard} at ${event.limit}`, "warn");
      case "stopped":
        return line("stopped", reasonText(event.reason), "good");
      default:
        return null; // Changes of status, attempts: they show in the table and the figures.
    }
  }
}

/** A stop reason in words. */
export function reasonText(reason: StopReason): string {
  if (typeof reason === "string") return reason;
  if ("MaxMessagesPerAgent" in reason) return `MaxMessagesPerAgent: ${reason.MaxMessagesPerAgent.count}`;
  // All others that are objects are one variant with its error.
  const [[variant, { error }]] = Object.entries(reason) as [[string, { error: string }]];
  return `${variant}: ${error}`;
}

function agentOf({ id, config, status }: AgentMetadata): Agent {
  return { id, name: config.name, kind: config.connector_type, status };
}
