// Every option that is not at its default in another test, set to something else.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { createClient, SharedClient } from "../src/index.js";
import { MemoryKeyValue } from "../src/kv.js";
import { Lifecycle } from "../src/lifecycle.js";
import { PendingChanges } from "../src/pending-changes.js";
import { UpdatesClient } from "../src/updates.js";
import { authOk, fakeSockets, FakeClock, FakeLocks, settle } from "./fakes.js";

async function world(options = {}) {
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const given = { url: "http://hub", getToken: () => "token", WebSocket, clock, locks: null, storage: new MemoryKeyValue(), ...options };
  const client = new Client(given);
  client.connect();
  await settle();
  const authenticate = async () => {
    last().open();
    last().say(authOk());
    await settle();
  };
  return { clock, client, sockets, last, authenticate };
}

test("attemptsBeforeError: the state says error after so many, and it goes on trying", async () => {
  const { clock, client, sockets, last } = await world({ attemptsBeforeError: 2 });
  last().drop();
  assert.equal(client.snapshot.state, "reconnecting");
  await clock.advance(1_000);
  last().drop();
  assert.equal(client.snapshot.state, "error");
  await clock.advance(2_000);
  assert.equal(sockets.length, 3);
});

test("attemptsMax: so many and no more", async () => {
  const { clock, client, sockets, last } = await world({ attemptsMax: 2 });
  const stopped = [];
  client.on("stopped", (code) => stopped.push(code));
  last().drop();
  await clock.advance(1_000);
  last().drop();
  await clock.advance(1e7);
  assert.deepEqual([client.snapshot.state, sockets.length, stopped], ["error", 2, [1006]]);
  client.reconnect();
  await settle();
  assert.equal(sockets.length, 3, "asked to, it tries again");
});

test("backoffMsMin and backoffMsMax: the longest first pause, and the longest of all", async () => {
  const { clock, client, last } = await world({ backoffMsMin: 100, backoffMsMax: 250 });
  const pauses = [];
  for (let attempt = 0; attempt < 4; attempt += 1) {
    last().drop();
    pauses.push(client.snapshot.retryAt - clock.now());
    await clock.advance(250);
  }
  assert.deepEqual(pauses, [100, 200, 250, 250]);
});

test("silenceMsMax and pongMsMax: a half-open socket is found after their sum", async () => {
  const { clock, client, last, authenticate } = await world({ silenceMsMax: 2_000, pongMsMax: 1_000 });
  await authenticate();
  await clock.advance(2_000);
  assert.equal(last().of("ping").length, 1);
  await clock.advance(999);
  assert.equal(client.snapshot.state, "authenticated");
  await clock.advance(1);
  assert.deepEqual([client.snapshot.state, client.snapshot.error.code], ["reconnecting", "no-pong"]);
});

test("by default a half-open socket is found within 45 s", async () => {
  const { clock, client, authenticate } = await world();
  await authenticate();
  await clock.advance(45_000);
  assert.equal(client.snapshot.error?.code, "no-pong");
});

test("openMsMax: how long opening may take, and then auth", async () => {
  const { clock, client, last } = await world({ openMsMax: 500 });
  await clock.advance(500);
  assert.equal(client.snapshot.error.code, "no-open");
  await clock.advance(1_000);
  last().open();
  await clock.advance(500);
  assert.equal(client.snapshot.error.code, "no-auth");
});

test("queueMax: changes beyond it are refused", async () => {
  const { client } = await world({ queueMax: 1 });
  void client.enqueue({ type: "note_created", noteId: "a" }).catch(() => {});
  await assert.rejects(client.enqueue({ type: "note_created", noteId: "b" }), { code: "queue-full" });
});

test("offline: what is to happen to events while away is said with each auth", async () => {
  const { last } = await world({ offline: "full_sync" });
  last().open();
  assert.equal(last().of("auth")[0].offline, "full_sync");
});

test("name: two clients of one origin and storage are told apart by it", async () => {
  const locks = new FakeLocks();
  const storage = () => new MemoryKeyValue();
  const asked = [];
  locks.request = ((request) => (name, ...rest) => (asked.push(name), request.call(locks, name, ...rest)))(locks.request);
  await world({ name: "one", locks, storage: storage() });
  await world({ name: "two", locks, storage: storage() });
  assert.deepEqual(asked, ["staffetta:one:session:0", "staffetta:two:session:0"]);
});

test("shared: one connection where the browser can share, else a client of its own", async () => {
  const options = { url: "http://hub", getToken: () => null, shared: true };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks: new FakeLocks() }, configurable: true });
  try {
    const client = createClient(options);
    assert.ok(client instanceof SharedClient);
    client.close();
    Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
    assert.ok(createClient(options) instanceof Client);
    assert.ok(createClient({ ...options, shared: false }) instanceof Client);
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  }
});

test("the updates client takes the options of a connection too", async () => {
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const client = new UpdatesClient({
    url: "http://hub", getToken: () => "token", WebSocket, clock, locks: null, storage: new MemoryKeyValue(), attemptsMax: 1, openMsMax: 500, offline: "full_sync",
  });
  client.connect();
  await settle();
  last().open();
  assert.equal(last().of("command")[0].payload.data.offline, "full_sync");
  await clock.advance(500);
  assert.deepEqual([client.snapshot.state, client.snapshot.error.code, sockets.length], ["error", "no-auth", 1]);
});

test("hiddenMsMax: how long a hidden page stays connected", async () => {
  const clock = new FakeClock();
  const calls = [];
  const client = { connect() {}, disconnect: () => void calls.push("disconnect"), reconnect() {}, logout: async () => {} };
  const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
  await new Lifecycle({ client, clock, document, window: new EventTarget(), hiddenMsMax: 100 }).start();
  await clock.advance(99);
  assert.deepEqual(calls, []);
  await clock.advance(1);
  assert.deepEqual(calls, ["disconnect"]);
});

test("debounceMs, uploadsMs, uploadsMsMax, staleMs: the pauses of pending changes", async () => {
  const clock = new FakeClock();
  const done = [];
  const changes = new PendingChanges({
    clock, debounceMs: 10, uploadsMs: 20, uploadsMsMax: 30, staleMs: 5,
    apply: { assetDelete: (id) => void done.push(id) },
    applyUploads: (uploads) => void done.push(uploads.length),
  });
  changes.add("assetDelete", "a");
  await clock.advance(10);
  assert.deepEqual(done, ["a"]);
  changes.addUpload(1);
  await clock.advance(20);
  assert.deepEqual(done, ["a", 1]);
  for (let count = 0; count < 3; count += 1) {
    changes.addUpload(count);
    await clock.advance(15);
  }
  assert.deepEqual(done, ["a", 1, 2], "at most 30 ms from the first");
  changes.add("assetDelete", "b");
  await clock.sleep(6);
  assert.equal(changes.clearIfStale(), true);
  assert.equal(changes.length, 0);
});
