// Draws a board. All text goes through `textContent`.

import type { CallError, PriorityDepth } from "../../../guest-js/index.js";
import { type Agent, type Board, type Line, reasonText } from "./board.js";

export function show<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

export function showError(error: Pick<CallError, "message" | "hint"> | null) {
  const place = show("error");
  place.hidden = error === null;
  place.textContent = error ? [error.message, error.hint].filter(Boolean).join(" — ") : "";
}

export function render(board: Board) {
  const state = show("state");
  state.textContent = board.isRunning ? "running" : "at rest";
  state.classList.toggle("running", board.isRunning);
  show("reason").textContent = board.stopReason ? reasonText(board.stopReason) : "";
  show<HTMLButtonElement>("start").disabled = board.isRunning;
  show<HTMLButtonElement>("stop").disabled = !board.isRunning;
  renderAgents(board);
  renderFigures(board);
  renderEvents(board.lines);
}

function renderAgents(board: Board) {
  const agents = [...board.agents.values()];
  const handled = board.metrics?.messages_per_agent ?? {};
  show("agents").replaceChildren(...agents.map((agent) => row(agent, handled[agent.id] ?? 0)));
  show("no-agents").hidden = agents.length > 0;
  const to = show<HTMLSelectElement>("to");
  const known = [...to.options].map((option) => option.value).join();
  if (known !== agents.map((agent) => agent.id).join()) {
    const chosen = to.value;
    to.replaceChildren(...agents.map((agent) => new Option(agent.name, agent.id)));
    if (board.agents.has(chosen)) to.value = chosen;
  }
}

function row(agent: Agent, handled: number): HTMLElement {
  const name = make("td", "", agent.name);
  name.append(make("small", "", agent.kind));
  const word = typeof agent.status === "string" ? agent.status : "Failed";
  const status = make("td", `status ${word}`, word);
  if (typeof agent.status !== "string") status.title = agent.status.Failed.reason;
  const gone = make("button", "small", "×");
  gone.title = `unregister ${agent.name}`;
  gone.dataset["unregister"] = agent.id;
  const last = make("td", "", "");
  last.append(gone);
  const line = make("tr", "", "");
  line.append(name, status, make("td", "figure", String(handled)), last);
  return line;
}

function renderFigures({ metrics }: Board) {
  if (!metrics) return;
  const depth = metrics.queue_depth_by_priority;
  const most = Math.max(10, ...Object.values(depth));
  for (const priority of ["critical", "high", "normal", "low"] as (keyof PriorityDepth)[]) {
    const figure = show(`depth-${priority}`);
    figure.textContent = String(depth[priority]);
    const bar = figure.previousElementSibling as HTMLElement;
    bar.style.width = `${2 + (depth[priority] / most) * 70}%`;
  }
  show("total-messages").textContent = String(metrics.total_messages);
  show("in-flight").textContent = String(metrics.in_flight);
  show("retries").textContent = String(metrics.retry_count);
  show("dead-letters").textContent = String(metrics.dead_letter_count);
}

/** The newest on top. Lines that are there already stay. */
function renderEvents(lines: Line[]) {
  const list = show("events");
  const drawn = Number(list.dataset["drawn"] ?? 0);
  list.prepend(...lines.filter((line) => line.place > drawn).map(item).reverse());
  while (list.childElementCount > lines.length) list.lastElementChild?.remove();
  list.dataset["drawn"] = String(lines.at(-1)?.place ?? 0);
  show("n-events").textContent = String(lines.at(-1)?.number ?? 0);
}

function item(line: Line): HTMLElement {
  const place = make("li", "", "");
  place.append(
    make("span", "number", String(line.number)),
    make("span", line.tone, line.word),
    make("span", "", line.text),
  );
  return place;
}

function make(tag: string, className: string, text: string): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
