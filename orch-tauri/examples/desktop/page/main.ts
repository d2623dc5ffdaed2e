// The page of the example. It reaches its orchestrator through `Transport` alone, and keeps what it
// shows in one `Board`, so that a larger page can take its place without touching the commands.
//
// What agents say is text: it is put into the page with `textContent`, never as HTML.

import { orchestrators, type CallError } from "../../../guest-js/index.js";
import { Board } from "./board.js";
import { agentOf } from "./kinds.js";
import { render, show, showError } from "./view.js";

/** The app says in which form it has the commands. */
const form = "__ORCH_PLAIN__" in window ? "plain" : "plugin";
const orch = orchestrators(form);
const board = new Board();

/** Many events are one drawing, and figures are asked for once for all of them. */
let isDue = false;
function changed() {
  if (isDue) return;
  isDue = true;
  setTimeout(async () => {
    isDue = false;
    board.metrics = await orch.call("get_orchestrator_metrics");
    render(board);
  }, 60);
}

const value = (id: string) => show<HTMLInputElement>(id).value;

/** Runs an action of the user, and shows why it failed. */
function on(id: string, event: string, action: () => Promise<unknown>) {
  show(id).addEventListener(event, (it) => {
    it.preventDefault();
    showError(null);
    action().catch((error: CallError) => showError(error));
  });
}

on("add", "submit", async () => {
  const name = show<HTMLInputElement>("agent-name");
  const config = agentOf(name.value, value("agent-kind"));
  const { cannot_run } = await orch.call("register_agent", { request: { config } });
  if (cannot_run) throw { message: cannot_run };
  name.value = "";
});

on("send", "submit", async () => {
  const request = {
    to: value("to"),
    content: value("content"),
    priority: value("priority") as "Low" | "Normal" | "High" | "Critical",
  };
  for (let i = 0; i < Number(value("times")); i += 1) {
    await orch.call("send_message", { request });
  }
});

on("run", "submit", async () => {
  const max_iterations = Number(value("max-iterations"));
  const request = { max_iterations, max_messages_per_agent: max_iterations };
  await orch.call("create_orchestrator", { request });
  // The events say how it ends, also to a page that was loaded meanwhile.
  await orch.call("start_orchestrator");
});

on("stop", "click", () => orch.call("stop_orchestrator"));

show("agents").addEventListener("click", (event) => {
  const agent_id = (event.target as HTMLElement).dataset["unregister"];
  if (agent_id) orch.call("unregister_agent", { agent_id }).catch(showError);
});

orch
  .subscribe(
    {
      snapshot(snapshot) {
        board.take(snapshot);
        render(board);
      },
      event(event) {
        board.apply(event);
        changed();
      },
      missed(events) {
        board.missed(events);
        changed();
      },
    },
    { after: 0 },
  )
  .catch(showError);
