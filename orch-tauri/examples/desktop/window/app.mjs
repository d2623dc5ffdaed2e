// A running app in a window that nobody sees, driven as a person would.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { Builder, By, Capabilities } from "selenium-webdriver";

/** How long to wait for what will happen soon, on a machine that is busy with other things. */
const SOON = 60_000;

export class App {
  /** Starts a display, a driver and the app. @param {string[]} args @param {object} env */
  static async start(args = [], env = {}) {
    const app = new App();
    app.processes = [];
    app.binary = process.env.ORCH_DESKTOP;
    if (!app.binary) throw new Error("ORCH_DESKTOP names no program: run `cargo xtask ci window`");
    const display = await app.#display();
    const port = await freePort();
    // Without this variable WebKit refuses to be driven.
    const variables = { ...process.env, ...env, DISPLAY: display, TAURI_WEBVIEW_AUTOMATION: "true" };
    app.#spawn("WebKitWebDriver", [`--port=${port}`], variables, "ignore");
    const wanted = new Capabilities();
    wanted.setBrowserName("wry");
    wanted.set("webkitgtk:browserOptions", { binary: app.binary, args });
    const build = () =>
      new Builder().withCapabilities(wanted).usingServer(`http://127.0.0.1:${port}/`).build();
    await listens(port);
    app.driver = await build();
    await app.driver.manage().setTimeouts({ script: SOON, pageLoad: SOON });
    await app.until("the page is connected", async () => (await app.text("state")) !== "connecting");
    return app;
  }

  async #display() {
    const server = this.#spawn(
      "Xvfb",
      ["-displayfd", "3", "-screen", "0", "1280x860x24", "-nolisten", "tcp"],
      process.env,
      ["ignore", "ignore", "ignore", "pipe"],
    );
    const [number] = await once(server.stdio[3], "data");
    return `:${String(number).trim()}`;
  }

  #spawn(program, args, env, stdio) {
    const child = spawn(program, args, { env, stdio });
    child.on("error", (error) => console.error(`${program}: ${error.message}`));
    this.processes.push(child);
    return child;
  }

  async stop() {
    await this.driver?.quit().catch(() => {});
    for (const child of this.processes.reverse()) {
      if (child.exitCode === null && child.kill()) await once(child, "exit");
    }
  }

  find(id) {
    return this.driver.findElement(By.id(id));
  }

  /** The text of an element; the driver's own way says that one that may overflow has none. */
  text(id) {
    return this.driver.executeScript(`return document.getElementById("${id}").textContent`);
  }

  async click(id) {
    await (await this.find(id)).click();
  }

  async fill(id, text) {
    const element = await this.find(id);
    await element.clear();
    await element.sendKeys(text);
  }

  /** Chooses an option by what it shows. */
  async choose(id, text) {
    const options = await (await this.find(id)).findElements(By.css("option"));
    for (const option of options) {
      if ((await option.getText()) === text) return option.click();
    }
    throw new Error(`#${id} has no option ${text}`);
  }

  /** The lines of the event list, the newest first. */
  events() {
    return this.driver.executeScript(
      "return [...document.querySelectorAll('#events li')].map((it) => it.textContent)",
    );
  }

  /** Runs an expression in the page that may wait; answers `{ ok }` or `{ error }`. */
  inPage(expression) {
    return this.driver.executeAsyncScript(
      `const done = arguments[arguments.length - 1];
       (async () => { ${expression} })().then((ok) => done({ ok }), (error) => done({ error }));`,
    );
  }

  invoke(command, args = {}) {
    const words = `${JSON.stringify(command)}, ${JSON.stringify(args)}`;
    return this.inPage(`return await window.__TAURI_INTERNALS__.invoke(${words})`);
  }

  async until(what, holds) {
    const end = Date.now() + SOON;
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`${what}: not within ${SOON / 1000} s\n${await this.look()}`);
      await new Promise((go) => setTimeout(go, 50));
    }
  }

  look() {
    return this.driver.executeScript("return document.body.innerText").catch(String);
  }

  /** A picture of the page, once it shows what it has to. */
  async picture() {
    await this.driver.executeAsyncScript(
      "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))",
    );
    return Buffer.from(await this.driver.takeScreenshot(), "base64");
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function listens(port) {
  const end = Date.now() + SOON;
  while (Date.now() < end) {
    const answer = await fetch(`http://127.0.0.1:${port}/status`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((go) => setTimeout(go, 50));
  }
  throw new Error("WebKitWebDriver does not answer: is webkit2gtk-driver installed?");
}
