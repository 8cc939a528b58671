// Three nodes (examples/cluster.sh) behind haproxy as packaging/haproxy.cfg has it: a user's connections
// come to one node, and back through another when it drains or is killed.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { test } from "node:test";
import WebSocket from "ws";

import { BINARY, freePort, sleep, until, within } from "./hub.js";

const ROOT = resolve(import.meta.dirname, "../..");
const FOLDERS = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"];
const installed = (name) => FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path));
const HAPROXY = installed("haproxy");

const ended = (child) => new Promise((done) => child.once("exit", done));

/** The nodes, and what ends them. */
async function startCluster(t) {
  const { STAFFETTA_BIN, STAFFETTA_TEST_POSTGRES, ...environment } = process.env;
  const script = join(ROOT, "examples/cluster.sh");
  const lease = ["--set", "cluster.lease_ms=3000", "--set", "cluster.renew_ms=1000"];
  const child = spawn(script, [...lease, "--set", "server.drain_ms=200"], {
    env: { ...environment, STAFFETTA: BINARY, STAFFETTA_LOG: "warn" },
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  t.after(async () => {
    if (child.exitCode !== null) return;
    const end = ended(child);
    process.kill(-child.pid, "SIGTERM");
    await within(end, "the cluster ends", 20_000);
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (more) => (text += more));
  const isOver = () => text.includes("Ctrl-C ends everything") || child.exitCode !== null;
  await until("the cluster starts", isOver, 90_000);
  assert.equal(child.exitCode, null, text);
  const nodes = [...text.matchAll(/node (\w) +http:\/\/(\S+) +pid (\d+)/g)];
  return {
    nodes: nodes.map(([, name, address, pid]) => ({ name, address, pid: Number(pid) })),
    token: /TOKEN=(\S+)/.exec(text)[1],
    secret: /auth\.secret_file=\S+/.exec(text)[0],
  };
}

async function startHaproxy(t, nodes) {
  const front = `127.0.0.1:${await freePort()}`;
  const child = spawn(HAPROXY, ["-db", "-f", join(ROOT, "packaging/haproxy.cfg")], {
    env: {
      ...process.env,
      STAFFETTA_FRONT: front,
      ...Object.fromEntries(nodes.map((node) => [`STAFFETTA_${node.name.toUpperCase()}`, node.address])),
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  t.after(async () => {
    if (child.exitCode !== null) return;
    const end = ended(child);
    child.kill("SIGKILL");
    await end;
  });
  const isReady = () => fetch(`http://${front}/readyz`).then((answer) => answer.ok, () => false);
  await until("haproxy answers", async () => child.exitCode !== null || (await isReady()), 10_000);
  assert.equal(child.exitCode, null, "haproxy runs");
  return front;
}

/** A device of alice, as one connection says it: what came, and whether it is over. */
async function attach(front, token, session) {
  const url = `ws://${front}/ws?session_id=${session}`;
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  const device = { frames: [], isOver: false, socket };
  socket.on("message", (text) => {
    const frame = JSON.parse(text);
    device.frames.push(frame);
    if (frame.event_id) socket.send(JSON.stringify({ type: "ack", event_id: frame.event_id }));
  });
  socket.on("error", () => {});
  socket.on("open", () => socket.send(JSON.stringify({ type: "auth", session_id: session, offline: "replay" })));
  socket.on("close", () => (device.isOver = true));
  const ok = () => device.frames.find((frame) => frame.type === "auth_ok");
  await until("the hub answers", () => ok() || device.isOver, 10_000);
  device.ok = ok();
  return device;
}

/** Comes back until it is let in, as a client does. */
async function comeBack(front, token, session) {
  for (;;) {
    const device = await attach(front, token, session);
    if (device.ok && !device.isOver) return device;
    await sleep(100);
  }
}

/** How many connections each node has; none for one that is gone. */
async function connections(nodes) {
  const count = async ({ address }) => {
    const text = await fetch(`http://${address}/metrics`).then((answer) => answer.text(), () => "");
    return [...text.matchAll(/^staffetta_connections\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + +n, 0);
  };
  return Promise.all(nodes.map(count));
}

const missing = ["haproxy", "nats-server"].filter((name) => !installed(name));
const skip = missing.length > 0 && `not installed: ${missing.join(", ")}`;

test("a user's devices come to one node, and back through another", { skip }, async (t) => {
  const { nodes, token, secret } = await startCluster(t);
  const front = await startHaproxy(t, nodes);
  const alice = execFileSync(BINARY, ["token", "alice", "--set", secret], {
    encoding: "utf8",
    env: { PATH: process.env.PATH },
    cwd: tmpdir(),
  }).trim();
  const authorization = `Bearer ${token}`;
  let number = 0;
  const publish = async () => {
    const name = `photo-${++number}`;
    const body = JSON.stringify({ type: name, event_id: crypto.randomUUID(), data: {} });
    const headers = { authorization, "content-type": "application/json" };
    const url = `http://${front}/api/v1/users/alice/events`;
    const isTaken = () => fetch(url, { method: "POST", headers, body }).then((answer) => answer.ok, () => false);
    await until(`${name} is taken`, isTaken, 20_000);
    return name;
  };
  const arrives = (device, name) =>
    until(`${name} arrives`, () => device.frames.some((frame) => frame.type === name), 20_000);
  const back = async () => {
    const [phone, tab] = await within(
      Promise.all(["phone", "tab"].map((session) => comeBack(front, alice, session))),
      "both come back",
      20_000,
    );
    const name = await publish();
    await arrives(phone, name);
    await arrives(tab, name);
    const counts = await connections(nodes);
    assert.deepEqual([...counts].sort(), [0, 0, 2], "both are on one node");
    return { phone, tab, place: counts.indexOf(2) };
  };

  const first = await back();

  const drained = await fetch(`http://${nodes[first.place].address}/api/v1/drain`, {
    method: "POST",
    headers: { authorization },
  });
  assert.equal((await drained.json()).connections, 2);
  await until("both are sent away", () => first.phone.isOver && first.tab.isOver, 10_000);
  const second = await back();
  assert.notEqual(second.place, first.place, "a draining node lets nobody in");
  assert.equal(second.phone.ok.need_full_sync, false);

  process.kill(nodes[second.place].pid, "SIGKILL");
  await until("the connections are cut", () => second.phone.isOver && second.tab.isOver, 10_000);
  const third = await back();
  assert.equal([first.place, second.place].includes(third.place), false);
  assert.equal(third.phone.ok.need_full_sync, false);
  for (const path of ["/metrics", "/console", "/api/v1/drain"]) {
    assert.equal((await fetch(`http://${front}${path}`)).status, 404, `${path} is not for everybody`);
  }
  for (const { socket } of [third.phone, third.tab]) socket.close();
});
