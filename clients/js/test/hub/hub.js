// A hub of its own for each test: the built binary, on a free port, in a temporary folder.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BUILT = fileURLToPath(new URL("../../../../target/debug/staffetta", import.meta.url));
const BINARY = process.env.STAFFETTA_BIN ?? BUILT;
const API_KEY = "a-key-for-tests-only-0123456789abcdef";

export class Hub {
  /** Starts one; `env` holds settings such as STAFFETTA_DELIVERY_ACK_WAIT_MS. */
  static async start(env = {}) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is not built: run cargo build`);
    const hub = new Hub();
    hub.folder = await mkdtemp(join(tmpdir(), "staffetta-js-"));
    hub.env = env;
    hub.listen = "127.0.0.1:0";
    await hub.run();
    return hub;
  }

  /** Runs the binary, again on the same address after a stop. */
  async run() {
    this.process = spawn(BINARY, ["serve", "--listen", this.listen], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, STAFFETTA_API_KEY: API_KEY, STAFFETTA_SERVER_WORKERS: "2", STAFFETTA_LOG: "warn", ...this.env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    const address = await new Promise((resolve, reject) => {
      this.process.stdout.on("data", (chunk) => {
        said += chunk;
        const found = said.match(/listens on http:\/\/(\S+)/);
        if (found) resolve(found[1]);
      });
      this.process.on("exit", (code) => reject(new Error(`the hub ended with ${code}: ${said}`)));
    });
    this.listen = address;
    this.url = `http://${address}`;
    // A hub with keys of its own makes no secret.
    const secret = await readFile(join(this.folder, "staffetta.secret"), "utf8").catch(() => "");
    this.secret = secret.trim();
  }

  /** Ends it, by SIGTERM or as told. */
  async stop(signal = "SIGTERM") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill(signal);
    await ended;
  }

  async close() {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A token of a user, good for a minute or as long as told. */
  token(user, seconds = 3_600) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: Math.floor(Date.now() / 1_000) + seconds })}`;
    return `${text}.${createHmac("sha256", this.secret).update(text).digest("base64url")}`;
  }

  /** Publishes an event; the receipt. */
  publish(user, event) {
    return this.ask(`/api/v1/users/${user}/events`, "POST", event);
  }

  async ask(path, method = "GET", body) {
    const response = await fetch(this.url + path, {
      method,
      headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }
}

/** Waits for a condition, with a deadline. */
export async function until(condition, what = condition.toString(), msMax = 10_000) {
  const end = Date.now() + msMax;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not in ${msMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
