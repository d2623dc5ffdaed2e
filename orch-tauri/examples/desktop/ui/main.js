"use strict";
(() => {
  // node_modules/@tauri-apps/api/external/tslib/tslib.es6.js
  function __classPrivateFieldGet(receiver, state, kind, f) {
    if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a getter");
    if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot read private member from an object whose class did not declare it");
    return kind === "m" ? f : kind === "a" ? f.call(receiver) : f ? f.value : state.get(receiver);
  }
  function __classPrivateFieldSet(receiver, state, value2, kind, f) {
    if (kind === "m") throw new TypeError("Private method is not writable");
    if (kind === "a" && !f) throw new TypeError("Private accessor was defined without a setter");
    if (typeof state === "function" ? receiver !== state || !f : !state.has(receiver)) throw new TypeError("Cannot write private member to an object whose class did not declare it");
    return kind === "a" ? f.call(receiver, value2) : f ? f.value = value2 : state.set(receiver, value2), value2;
  }

  // node_modules/@tauri-apps/api/core.js
  var _Channel_instances;
  var _Channel_onmessage;
  var _Channel_nextMessageIndex;
  var _Channel_pendingMessages;
  var _Channel_messageEndIndex;
  var _Channel_deliver;
  var _Resource_rid;
  var SERIALIZE_TO_IPC_FN = "__TAURI_TO_IPC_KEY__";
  function transformCallback(callback, once = false) {
    return window.__TAURI_INTERNALS__.transformCallback(callback, once);
  }
  var Channel = class {
    constructor(onmessage) {
      _Channel_instances.add(this);
      _Channel_onmessage.set(this, void 0);
      _Channel_nextMessageIndex.set(this, 0);
      _Channel_pendingMessages.set(this, []);
      _Channel_messageEndIndex.set(this, void 0);
      __classPrivateFieldSet(this, _Channel_onmessage, onmessage || (() => {
      }), "f");
      this.id = transformCallback((rawMessage) => {
        const index = rawMessage.index;
        if ("end" in rawMessage) {
          if (index == __classPrivateFieldGet(this, _Channel_nextMessageIndex, "f")) {
            this.cleanupCallback();
          } else {
            __classPrivateFieldSet(this, _Channel_messageEndIndex, index, "f");
          }
          return;
        }
        const message = rawMessage.message;
        if (index == __classPrivateFieldGet(this, _Channel_nextMessageIndex, "f")) {
          __classPrivateFieldGet(this, _Channel_instances, "m", _Channel_deliver).call(this, message);
          __classPrivateFieldSet(this, _Channel_nextMessageIndex, __classPrivateFieldGet(this, _Channel_nextMessageIndex, "f") + 1, "f");
          while (__classPrivateFieldGet(this, _Channel_nextMessageIndex, "f") in __classPrivateFieldGet(this, _Channel_pendingMessages, "f")) {
            const message2 = __classPrivateFieldGet(this, _Channel_pendingMessages, "f")[__classPrivateFieldGet(this, _Channel_nextMessageIndex, "f")];
            __classPrivateFieldGet(this, _Channel_instances, "m", _Channel_deliver).call(this, message2);
            delete __classPrivateFieldGet(this, _Channel_pendingMessages, "f")[__classPrivateFieldGet(this, _Channel_nextMessageIndex, "f")];
            __classPrivateFieldSet(this, _Channel_nextMessageIndex, __classPrivateFieldGet(this, _Channel_nextMessageIndex, "f") + 1, "f");
          }
          if (__classPrivateFieldGet(this, _Channel_nextMessageIndex, "f") === __classPrivateFieldGet(this, _Channel_messageEndIndex, "f")) {
            this.cleanupCallback();
          }
        } else {
          __classPrivateFieldGet(this, _Channel_pendingMessages, "f")[index] = message;
        }
      });
    }
    cleanupCallback() {
      window.__TAURI_INTERNALS__.unregisterCallback(this.id);
    }
    /**
     * The handler called for every message sent by the Rust side of this channel.
     *
     * Assigning a new handler replaces the previous one; messages that arrived
     * before a handler was set are not replayed, so set it (or pass it to the
     * constructor) before sending the channel to the backend.
     */
    set onmessage(handler) {
      __classPrivateFieldSet(this, _Channel_onmessage, handler, "f");
    }
    get onmessage() {
      return __classPrivateFieldGet(this, _Channel_onmessage, "f");
    }
    [(_Channel_onmessage = /* @__PURE__ */ new WeakMap(), _Channel_nextMessageIndex = /* @__PURE__ */ new WeakMap(), _Channel_pendingMessages = /* @__PURE__ */ new WeakMap(), _Channel_messageEndIndex = /* @__PURE__ */ new WeakMap(), _Channel_instances = /* @__PURE__ */ new WeakSet(), _Channel_deliver = function _Channel_deliver2(message) {
      try {
        __classPrivateFieldGet(this, _Channel_onmessage, "f").call(this, message);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }, SERIALIZE_TO_IPC_FN)]() {
      return `__CHANNEL__:${this.id}`;
    }
    toJSON() {
      return this[SERIALIZE_TO_IPC_FN]();
    }
  };
  async function invoke(cmd, args = {}, options) {
    return window.__TAURI_INTERNALS__.invoke(cmd, args, options);
  }
  var Resource = class {
    get rid() {
      return __classPrivateFieldGet(this, _Resource_rid, "f");
    }
    constructor(rid) {
      _Resource_rid.set(this, void 0);
      __classPrivateFieldSet(this, _Resource_rid, rid, "f");
    }
    /**
     * Destroys and cleans up this resource from memory.
     * **You should not call any method on this object anymore and should drop any reference to it.**
     *
     * @remarks Uses the `core:resources:allow-close` permission, which is part of
     * the `core:resources:default` permission set enabled by default.
     */
    async close() {
      return invoke("plugin:resources|close", {
        rid: this.rid
      });
    }
    async [(_Resource_rid = /* @__PURE__ */ new WeakMap(), Symbol.asyncDispose)]() {
      await this.close();
    }
  };

  // guest-js/index.ts
  var UNLIMITED = Number.MAX_SAFE_INTEGER;
  var CallError = class extends Error {
    constructor(code, message, hint) {
      super(message);
      this.code = code;
      this.hint = hint;
      this.name = "CallError";
    }
    code;
    hint;
  };
  function orchestrators(form2 = "plugin") {
    const prefix = form2 === "plugin" ? "plugin:orchestrator|" : "";
    const send = async (command, args) => {
      try {
        return await invoke(prefix + command, { ...args });
      } catch (reason) {
        throw callError(reason);
      }
    };
    return {
      call: (command, ...args) => send(command, args[0] ?? {}),
      subscribe: (listener, from = {}) => subscribe(send, listener, from)
    };
  }
  async function subscribe(send, listener, from) {
    let early = [];
    const pass = (frame) => {
      if (frame.missed > 0) listener.missed?.(frame.missed);
      for (const event of frame.events) listener.event(event);
    };
    const on_event = new Channel((frame) => early ? early.push(frame) : pass(frame));
    const snapshot = await send("subscribe_events", { on_event, ...from });
    listener.snapshot(snapshot);
    const waiting = early;
    early = null;
    waiting.forEach(pass);
    return snapshot;
  }
  function callError(reason) {
    if (typeof reason === "object" && reason !== null && "code" in reason && "message" in reason) {
      const error = reason;
      return new CallError(error.code, error.message, error.hint);
    }
    const hint = "the window's capability needs a permission such as orchestrator:default";
    return new CallError("denied", String(reason), hint);
  }

  // examples/desktop/page/board.ts
  var LINES_MAX = 500;
  var Board = class {
    agents = /* @__PURE__ */ new Map();
    lines = [];
    isRunning = false;
    stopReason = null;
    metrics = null;
    #snapshot = 0;
    #places = 0;
    #names = /* @__PURE__ */ new Map();
    take(snapshot) {
      this.#snapshot = snapshot.number;
      this.agents = new Map(snapshot.agents.map((it) => [it.id, agentOf(it)]));
      this.agents.forEach((agent) => this.#names.set(agent.id, agent.name));
      this.isRunning = snapshot.is_running;
      this.stopReason = snapshot.stop_reason;
      this.metrics = snapshot.metrics;
    }
    apply(event) {
      if (event.event === "registered") this.#names.set(event.agent, event.name);
      const line = this.#line(event);
      if (line) this.#add({ number: event.number, ...line });
      if (event.number > this.#snapshot) this.#change(event);
    }
    missed(events) {
      const number = 0;
      this.#add({ number, word: "missed", text: `${events} events are not kept`, tone: "warn" });
    }
    #add(line) {
      this.lines.push({ place: this.#places += 1, ...line });
      if (this.lines.length > LINES_MAX) this.lines.splice(0, this.lines.length - LINES_MAX);
    }
    #change(event) {
      switch (event.event) {
        case "registered":
          this.agents.set(event.agent, {
            id: event.agent,
            name: event.name,
            kind: event.connector_type,
            status: "Idle"
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
    #line(event) {
      const name = (id) => this.#names.get(id) ?? id.slice(0, 8);
      const line = (word, text, tone = "") => ({ word, text, tone });
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
          return null;
      }
    }
  };
  function reasonText(reason) {
    if (typeof reason === "string") return reason;
    if ("MaxMessagesPerAgent" in reason) return `MaxMessagesPerAgent: ${reason.MaxMessagesPerAgent.count}`;
    const [[variant, { error }]] = Object.entries(reason);
    return `${variant}: ${error}`;
  }
  function agentOf({ id, config, status }) {
    return { id, name: config.name, kind: config.connector_type, status };
  }

  // examples/desktop/page/kinds.ts
  var steps = {
    slow: [{ delay_ms: 500 }, { echo: true }],
    flaky: [{ delay_ms: 100 }, { fail: "overloaded, as planned" }, { echo: true }]
  };
  function agentOf2(name, kind) {
    const config = { name, role: "Worker", max_retries: 3, timeout_ms: 3e4 };
    const script = steps[kind];
    if (script) {
      return { ...config, connector_type: "scripted", settings: { steps: script, repeat: true } };
    }
    if (kind === "shout") return { ...config, connector_type: "shout" };
    return { ...config, connector_type: "subprocess", settings: { program: kind } };
  }

  // examples/desktop/page/view.ts
  function show(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`the page has no #${id}`);
    return element;
  }
  function showError(error) {
    const place = show("error");
    place.hidden = error === null;
    place.textContent = error ? [error.message, error.hint].filter(Boolean).join(" — ") : "";
  }
  function render(board2) {
    const state = show("state");
    state.textContent = board2.isRunning ? "running" : "at rest";
    state.classList.toggle("running", board2.isRunning);
    show("reason").textContent = board2.stopReason ? reasonText(board2.stopReason) : "";
    show("start").disabled = board2.isRunning;
    show("stop").disabled = !board2.isRunning;
    renderAgents(board2);
    renderFigures(board2);
    renderEvents(board2.lines);
  }
  function renderAgents(board2) {
    const agents = [...board2.agents.values()];
    const handled = board2.metrics?.messages_per_agent ?? {};
    show("agents").replaceChildren(...agents.map((agent) => row(agent, handled[agent.id] ?? 0)));
    show("no-agents").hidden = agents.length > 0;
    const to = show("to");
    const known = [...to.options].map((option) => option.value).join();
    if (known !== agents.map((agent) => agent.id).join()) {
      const chosen = to.value;
      to.replaceChildren(...agents.map((agent) => new Option(agent.name, agent.id)));
      if (board2.agents.has(chosen)) to.value = chosen;
    }
  }
  function row(agent, handled) {
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
  function renderFigures({ metrics }) {
    if (!metrics) return;
    const depth = metrics.queue_depth_by_priority;
    const most = Math.max(10, ...Object.values(depth));
    for (const priority of ["critical", "high", "normal", "low"]) {
      const figure = show(`depth-${priority}`);
      figure.textContent = String(depth[priority]);
      const bar = figure.previousElementSibling;
      bar.style.width = `${2 + depth[priority] / most * 70}%`;
    }
    show("total-messages").textContent = String(metrics.total_messages);
    show("in-flight").textContent = String(metrics.in_flight);
    show("retries").textContent = String(metrics.retry_count);
    show("dead-letters").textContent = String(metrics.dead_letter_count);
  }
  function renderEvents(lines) {
    const list = show("events");
    const drawn = Number(list.dataset["drawn"] ?? 0);
    list.prepend(...lines.filter((line) => line.place > drawn).map(item).reverse());
    while (list.childElementCount > lines.length) list.lastElementChild?.remove();
    list.dataset["drawn"] = String(lines.at(-1)?.place ?? 0);
    show("n-events").textContent = String(lines.at(-1)?.number ?? 0);
  }
  function item(line) {
    const place = make("li", "", "");
    place.append(
      make("span", "number", String(line.number)),
      make("span", line.tone, line.word),
      make("span", "", line.text)
    );
    return place;
  }
  function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  }

  // examples/desktop/page/main.ts
  var form = "__ORCH_PLAIN__" in window ? "plain" : "plugin";
  var orch = orchestrators(form);
  var board = new Board();
  var isDue = false;
  function changed() {
    if (isDue) return;
    isDue = true;
    setTimeout(async () => {
      isDue = false;
      board.metrics = await orch.call("get_orchestrator_metrics");
      render(board);
    }, 60);
  }
  var value = (id) => show(id).value;
  function on(id, event, action) {
    show(id).addEventListener(event, (it) => {
      it.preventDefault();
      showError(null);
      action().catch((error) => showError(error));
    });
  }
  on("add", "submit", async () => {
    const name = show("agent-name");
    const config = agentOf2(name.value, value("agent-kind"));
    const { cannot_run } = await orch.call("register_agent", { request: { config } });
    if (cannot_run) throw { message: cannot_run };
    name.value = "";
  });
  on("send", "submit", async () => {
    const request = {
      to: value("to"),
      content: value("content"),
      priority: value("priority")
    };
    for (let i = 0; i < Number(value("times")); i += 1) {
      await orch.call("send_message", { request });
    }
  });
  on("run", "submit", async () => {
    const max_iterations = Number(value("max-iterations"));
    const request = { max_iterations, max_messages_per_agent: max_iterations };
    await orch.call("create_orchestrator", { request });
    await orch.call("start_orchestrator");
  });
  on("stop", "click", () => orch.call("stop_orchestrator"));
  show("agents").addEventListener("click", (event) => {
    const agent_id = event.target.dataset["unregister"];
    if (agent_id) orch.call("unregister_agent", { agent_id }).catch(showError);
  });
  orch.subscribe(
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
      }
    },
    { after: 0 }
  ).catch(showError);
})();
