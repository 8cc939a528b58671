// Starts a hub of its own for each test file: `staffetta serve` on a free port; and waits, with deadlines.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const BINARY = resolve(
  process.env.STAFFETTA_BIN ?? join(import.meta.dirname, "../../target/debug/staffetta"),
);
// The hub takes every `STAFFETTA_…` for a setting.
const { STAFFETTA_BIN: _, ...ENVIRONMENT } = process.env;
const API_KEY = "a-key-for-tests-only-0123456789";

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** What `promise` gives, or an error that says what did not come in time. */
export function within(promise, what, ms = 5_000) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not in time: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until `condition` holds. */
export async function until(what, condition, ms = 5_000) {
  const deadline = performance.now() + ms;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `not in time: ${what}`);
    await sleep(10);
  }
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class Hub {
  static async start({ conformance = false, set = [], folder, port } = {}) {
    const hub = new Hub();
    hub.own = folder === undefined;
    hub.folder = folder ?? mkdtempSync(join(tmpdir(), "staffetta-js-"));
    hub.port = port ?? (await freePort());
    hub.url = `http://127.0.0.1:${hub.port}`;
    hub.ws = `ws://127.0.0.1:${hub.port}`;
    hub.settings = [
      ["database.url", `sqlite://${join(hub.folder, "hub.db")}`],
      ["auth.secret_file", join(hub.folder, "secret")],
      ["server.listen", `127.0.0.1:${hub.port}`],
      ["server.workers", "2"],
      ...set,
    ].flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    const args = ["serve", ...(conformance ? ["--conformance"] : []), ...hub.settings];
    hub.process = spawn(BINARY, args, {
      env: { ...ENVIRONMENT, STAFFETTA_API_KEY: API_KEY, STAFFETTA_LOG: process.env.STAFFETTA_LOG ?? "warn" },
      stdio: ["ignore", "pipe", "inherit"],
      cwd: hub.folder,
    });
    await new Promise((done, fail) => {
      hub.process.stdout.once("data", done);
      hub.process.once("exit", () => fail(new Error("the hub did not start")));
    });
    hub.process.stdout.resume();
    return hub;
  }

  token(user, ...args) {
    return execFileSync(BINARY, ["token", user, ...args, ...this.settings], { encoding: "utf8", env: ENVIRONMENT }).trim();
  }

  async call(method, path, body) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json().catch(() => null) };
  }

  async publish(user, event) {
    const answer = await this.call("POST", `/users/${user}/events`, event);
    if (answer.status !== 201) throw new Error(JSON.stringify(answer));
    return answer.body;
  }

  async stop(signal = "SIGKILL") {
    const exited = new Promise((done) => this.process.once("exit", done));
    this.process.kill(signal);
    await exited;
    if (this.own) rmSync(this.folder, { recursive: true, force: true });
  }

  /** As by a power cut, then started again on the same database and port. */
  async restart(options = {}) {
    this.own = false;
    await this.stop("SIGKILL");
    return Hub.start({ folder: this.folder, port: this.port, ...options });
  }
}
