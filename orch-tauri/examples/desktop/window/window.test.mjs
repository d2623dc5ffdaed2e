// The app in a real window: the documented snippet, a person's clicks, a reload in the middle of a
// run, and what must not happen.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { App } from "./app.mjs";
import { snippet } from "./snippet.mjs";

const FORMS = {
  plugin: { args: [], prefix: "plugin:orchestrator|", other: "" },
  plain: { args: ["--plain-names"], prefix: "", other: "plugin:orchestrator|" },
};

for (const [form, { args, prefix, other }] of Object.entries(FORMS)) {
  describe(`the ${form} form`, () => {
    /** @type {App} */
    let app;
    before(async () => void (app = await App.start(args)));
    after(() => app?.stop());

    test("the documented snippet runs as it is written", async () => {
      const { ok, error } = await app.inPage(await snippet(form));
      assert.equal(error, undefined, JSON.stringify(error));
      assert.match(ok.agent_id, /^[0-9a-f]{8}-/);
      assert.equal(ok.stop_reason, "Completed");
      assert.deepEqual([ok.metrics.total_messages, ok.depth], [0, 0]);
      assert.deepEqual([ok.agents.length, ok.agents[0].id], [1, ok.agent_id]);
      assert.equal(ok.agents[0].config.name, "worker-1");
      await app.until("the page shows what the snippet did", async () => {
        const events = (await app.events()).join("\n");
        return /unregistered.*worker-1/.test(events) && events.includes("Completed");
      });
      assert.equal(await app.text("reason"), "Completed");
      assert.deepEqual((await app.invoke(`${prefix}list_agents`)).ok, []);
    });

    test("errors have a code and a hint, and the other form is not there", async () => {
      const { error } = await app.invoke(`${prefix}unregister_agent`, { agentId: "x" });
      assert.equal(error.code, "invalid_arguments");
      assert.match(error.hint, /^write `agent_id`/);
      const refused = await app.invoke(`${other}list_agents`);
      assert.match(String(refused.error), /not (allowed|found)/);
    });
  });
}

describe("a person", () => {
  /** @type {App} */
  let app;
  before(async () => void (app = await App.start()));
  after(() => app?.stop());

  const add = async (name, kind) => {
    await app.fill("agent-name", name);
    await app.choose("agent-kind", kind);
    await app.click("add-agent");
    await app.until(`${name} is listed`, async () => (await app.text("agents")).includes(name));
  };
  const send = async (to, content, priority, times) => {
    await app.choose("to", to);
    await app.fill("content", content);
    await app.choose("priority", priority);
    await app.fill("times", String(times));
    await app.click("send-message");
  };
  const figure = async (id) => Number(await app.text(id));

  test("adds agents of every kind and fills their mailboxes", async () => {
    await add("writer", "function: shout");
    await add("reviewer", "scripted: half a second each");
    await add("flaky", "scripted: fails every other time");
    await add("counter", "program: wc -w");
    await send("reviewer", "please look at this", "Normal", 14);
    await send("reviewer", "when you have time", "Low", 8);
    await send("reviewer", "now", "Critical", 2);
    await send("writer", "a line for the report", "High", 5);
    await send("counter", "how many words are these", "Normal", 2);
    await send("flaky", "try me", "Normal", 1);
    await app.until("all wait", async () => (await figure("depth-normal")) === 17);
    assert.deepEqual(
      await Promise.all(["critical", "high", "low"].map((it) => figure(`depth-${it}`))),
      [2, 5, 8],
    );
  });

  test("starts, watches, and sees the urgent ones handled first", async () => {
    await app.click("start");
    await app.until("it runs", async () => (await app.text("state")) === "running");
    await app.until("some are handled", async () => (await figure("total-messages")) >= 12);
    assert.equal(await figure("depth-critical"), 0);
    const events = await app.events();
    assert.ok(events.some((line) => line.includes("writer: A LINE FOR THE REPORT")), events.join("\n"));
    assert.ok(events.some((line) => line.endsWith("counter: 5")), events.join("\n"));
    assert.match(await app.text("agents"), /Processing/);
  });

  test("reloads the page in the middle of a run, and finds what was there before", async () => {
    const events = await app.events();
    const agents = await app.text("agents");
    await app.driver.navigate().refresh();
    await app.driver.executeScript(
      "window.lost = []; console.warn = (text) => window.lost.push(String(text))",
    );
    await app.until("it is connected", async () => (await app.text("state")) === "running");
    await app.until("the events are back", async () => (await app.events()).length >= events.length);
    const again = await app.events();
    assert.deepEqual(again.slice(-events.length), events, "each line stands where it stood");
    const names = (text) => text.match(/writer|reviewer|flaky|counter/g);
    assert.deepEqual(names(await app.text("agents")), names(agents));
    const handled = await figure("total-messages");
    await app.until("it goes on", async () => (await figure("total-messages")) > handled + 1);
    const numbers = (await app.events()).map((line) => Number.parseInt(line, 10));
    assert.equal(new Set(numbers).size, numbers.length, "no event is shown twice");
    assert.deepEqual(numbers, numbers.toSorted((a, b) => b - a), "and they stand in order");
    const lost = await app.driver.executeScript("return window.lost");
    assert.deepEqual(lost, [], "nobody calls the page that is gone");
  });

  test("what the window shows is a picture", async () => {
    const picture = await app.picture();
    assert.ok(picture.length > 20_000, `${picture.length} bytes`);
    keep("window.png", picture);
  });

  test("stops; what was not handled waits", async () => {
    await app.click("stop");
    await app.until("it is at rest", async () => (await app.text("state")) === "at rest");
    assert.equal(await app.text("reason"), "ManualStop");
    assert.ok((await figure("depth-low")) > 0);
    assert.equal(await (await app.find("stop")).isEnabled(), false);
  });

  test("text of agents is shown, and never becomes a part of the page", async () => {
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    await add(`<b id="owned">x</b>`, "function: shout");
    await send("writer", hostile, "Critical", 1);
    await app.click("start");
    await app.until("it is handled", async () =>
      (await app.events()).some((line) => line.includes("writer: <IMG SRC=X")),
    );
    const owned = "return document.querySelectorAll('#owned, #events img, #events script').length";
    assert.equal(await app.driver.executeScript(owned), 0);
    assert.equal(await app.driver.getTitle(), "orch");
    await app.click("stop");
    await app.until("it is at rest", async () => (await app.text("state")) === "at rest");
  });

  test("what went wrong is said in the page", async () => {
    await app.driver.executeScript("document.getElementById('agent-name').maxLength = 1000");
    await app.driver.executeScript("document.getElementById('agent-name').value = 'x'.repeat(400)");
    await app.click("add-agent");
    await app.until("it is said", async () => (await app.text("error")).includes("has 400 bytes"));
  });
});

test("the page is readable in the dark", async () => {
  const app = await App.start([], { GTK_THEME: "Adwaita:dark" });
  try {
    const back = await app.driver.executeScript("return getComputedStyle(document.body).backgroundColor");
    assert.equal(back, "rgb(18, 22, 28)");
    keep("dark.png", await app.picture());
  } finally {
    await app.stop();
  }
});

/** Keeps a picture where the caller wants it. */
function keep(name, picture) {
  const folder = process.env.ORCH_PICTURES;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/${name}`, picture);
}
