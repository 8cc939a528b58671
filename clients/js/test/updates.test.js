import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryKeyValue } from "../src/kv.js";
import { UpdatesClient } from "../src/updates.js";
import { fakeSockets, FakeClock, settle } from "./fakes.js";

const reply = (ref, more) => ({ account: "personal", type: "reply", payload: { ref, ...more } });
const update = (ref, more = {}, account = "personal") => ({
  account, type: "update",
  payload: { ref, silent: false, action: "new", payload: { type: "photo", items: [ref] }, ...more },
});

async function world(options = {}) {
  const clock = new FakeClock();
  const { WebSocket, last } = fakeSockets();
  const client = new UpdatesClient({
    url: "http://hub", getToken: () => "token", WebSocket, clock, locks: null, storage: new MemoryKeyValue(), ...options,
  });
  client.connect();
  await settle();
  last().open();
  const data = { user: "alice", session_id: "s1", need_full_sync: false, cursor: 0, ...options.auth };
  last().say(reply("staffetta-auth", { ok: true, data }));
  await settle();
  const replies = () => last().of("reply").map((frame) => frame.payload.ref);
  return { clock, client, last, replies };
}

test("handlers by entity and action get updates, and then the hub is replied to", async () => {
  const { clock, client, last, replies } = await world();
  const heard = [];
  client.on("photo", "new", ({ items, silent }) => void heard.push(["new", items, silent]));
  client.on("photo", "*", ({ action }) => void heard.push(["any", action]));
  client.on("album", "new", () => void heard.push("album"));
  last().say(update("r1"));
  last().say(update("r2", { action: "delete", silent: true }));
  await clock.advance(50);
  assert.deepEqual(heard, [["new", ["r1"], false], ["any", "new"], ["any", "delete"]]);
  assert.deepEqual(replies(), ["r1", "r2"]);
});

test("a handler that fails is not replied for, and gets it again", async () => {
  const { clock, client, last, replies } = await world();
  let count = 0;
  client.on("photo", "new", () => { if (++count === 1) throw new Error("not now"); });
  last().say(update("r1"));
  await clock.advance(50);
  assert.deepEqual(replies(), []);
  last().say(update("r1"));
  last().say(update("r1"));
  await clock.advance(50);
  assert.equal(count, 2);
  assert.deepEqual([...new Set(replies())], ["r1"]);
});

test("accounts never mix", async () => {
  const { clock, client, last } = await world();
  const heard = [];
  client.on("photo", "new", ({ ref }) => void heard.push(["personal", ref]));
  client.account("business").on("photo", "new", ({ ref }) => void heard.push(["business", ref]));
  last().say(update("r1"));
  last().say(update("r2", {}, "business"));
  await clock.advance(50);
  assert.deepEqual(heard, [["personal", "r1"], ["business", "r2"]]);
});

test("commands are answered by their own reply", async () => {
  const { clock, client, last } = await world();
  const archive = client.command("archive", { id: 1 });
  const other = client.account("business").command("archive", undefined, { timeoutMs: 1_000 });
  const [first, second] = last().of("command").slice(-2);
  assert.deepEqual(first, { account: "personal", type: "command", payload: { name: "archive", ref: "c1", data: { id: 1 } } });
  assert.equal(second.account, "business");
  last().say(reply("c1", { ok: false, error: { code: "gone", message: "No such photo" } }));
  await assert.rejects(archive, { code: "gone", message: "No such photo" });
  const late = assert.rejects(other, { code: "timeout" });
  await clock.advance(1_000);
  await late;
});

test("a command without a connection, or whose connection ends, is rejected", async () => {
  const { client, last } = await world();
  const lost = client.command("archive");
  last().drop();
  await assert.rejects(lost, { code: "connection-lost" });
  await assert.rejects(client.command("archive"), { code: "connection-lost" });
});

test("a full sync is confirmed by a command", async () => {
  const { clock, client, last } = await world({ auth: { need_full_sync: true } });
  await settle();
  const { payload } = last().of("command").at(-1);
  assert.equal(payload.name, "sync_complete");
  assert.equal(client.snapshot.isFullSyncUnderWay, true);
  last().say(reply(payload.ref, { ok: true }));
  await clock.advance(0);
  assert.equal(client.snapshot.isFullSyncUnderWay, false);
});

test("an expired token and a restart are told as on /ws", async () => {
  const asked = [];
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const client = new UpdatesClient({
    url: "http://hub", getToken: (reason) => (asked.push(reason), "token"), WebSocket, clock, locks: null, storage: new MemoryKeyValue(),
  });
  client.connect();
  await settle();
  assert.equal(last().url, "ws://hub/updates");
  last().open();
  last().say(reply("staffetta-auth", { ok: false, error: { code: "token-expired", message: "Token expired" } }));
  last().drop(4401);
  await clock.advance(0);
  assert.deepEqual(asked, ["connect", "token-expired"]);
  last().open();
  last().say({ account: "personal", type: "reconnect", payload: { retry_after_ms: 500 } });
  last().drop(1012);
  await clock.advance(500);
  assert.equal(sockets.length, 3);
});

test("a renewal may ask for a full sync as well", async () => {
  const { client, last } = await world();
  let done = 0;
  client.onFullSync(() => void done++);
  const data = { user: "alice", session_id: "s1", need_full_sync: true, cursor: 0 };
  last().say(reply("staffetta-auth", { ok: true, data }));
  await settle();
  assert.equal(done, 1);
});
