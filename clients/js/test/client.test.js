import "fake-indexeddb/auto";

import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { openDatabase } from "../src/database.js";
import { MemoryKeyValue } from "../src/kv.js";
import { authOk, fakeSockets, FakeClock, FakeLocks, settle } from "./fakes.js";

function world(options = {}) {
  const clock = options.clock ?? new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const storage = options.storage ?? new MemoryKeyValue();
  const client = new Client({
    url: "http://hub", getToken: () => "token", WebSocket, clock, locks: new FakeLocks(), ...options, storage,
  });
  const applied = [];
  client.onEvent("*", (event) => void applied.push(event.id));
  const it = { clock, client, sockets, last, storage, applied };
  it.authenticate = async (more) => {
    last().open();
    last().say(authOk(more));
    await settle();
  };
  it.event = (seq, more) => last().say({ type: "added", id: `p${seq}`, event_id: `e${seq}`, seq, ...more });
  return it;
}

async function connected(options, auth) {
  const it = world(options);
  it.client.connect();
  await settle();
  await it.authenticate(auth);
  return it;
}

const acked = (socket) => socket.of("ack").flatMap((frame) => frame.event_ids);

test("the first life has no session, the next comes back as the one it was given", async () => {
  const { client, storage, last } = await connected();
  assert.equal(last().of("auth")[0].session_id, null);
  client.close();
  const next = await connected({ storage });
  assert.equal(next.last().of("auth")[0].session_id, "s1");
});

test("events are applied, kept and acked; after a reload they are known", async () => {
  const { clock, client, storage, last, applied, event } = await connected();
  event(1);
  event(2);
  await clock.advance(50);
  assert.deepEqual(applied, ["p1", "p2"]);
  assert.deepEqual(acked(last()), ["e1", "e2"]);
  assert.equal(client.snapshot.cursor, 2);
  client.close();
  const next = await connected({ storage });
  next.event(2);
  next.event(3);
  await next.clock.advance(50);
  assert.deepEqual(next.applied, ["p3"]);
  assert.deepEqual(acked(next.last()).sort(), ["e2", "e3"]);
});

test("an event with the type of one of the hub's own words is an event", async () => {
  const { clock, client, applied, last, event } = await connected();
  event(1, { type: "auth_ok", user: "eve", session_id: "other", cursor: 99 });
  event(2, { type: "auth_failed", reason: "auth-failed" });
  event(3, { type: "reconnect", retry_after_ms: 60_000 });
  await clock.advance(50);
  assert.deepEqual(applied, ["p1", "p2", "p3"]);
  assert.deepEqual(acked(last()), ["e1", "e2", "e3"]);
  assert.equal(client.snapshot.user, "alice");
  assert.equal(client.snapshot.state, "authenticated");
});

test("a handler of a type hears only that type", async () => {
  const { client, clock, event } = await connected();
  const heard = [];
  const off = client.onEvent("added", (it) => void heard.push(it.id));
  client.onEvent("removed", () => void heard.push("removed"));
  event(1);
  await clock.advance(50);
  off();
  event(2);
  await clock.advance(50);
  assert.deepEqual(heard, ["p1"]);
});

test("a full sync is done before events, and then confirmed", async () => {
  const { clock, client, last, applied, event, authenticate } = world();
  let finish;
  client.onFullSync(() => new Promise((resolve) => (finish = resolve)));
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true, cursor: 4 });
  assert.equal(client.snapshot.isFullSyncUnderWay, true);
  event(5);
  await clock.advance(10_000);
  assert.deepEqual(applied, []);
  assert.deepEqual(acked(last()), ["e5"]);
  assert.equal(last().of("sync_complete").length, 0);
  finish();
  await clock.advance(50);
  assert.deepEqual(applied, ["p5"]);
  assert.equal(last().of("sync_complete").length, 1);
  assert.equal(client.snapshot.cursor, 5);
  assert.equal(client.snapshot.isFullSyncUnderWay, false);
});

test("no snapshot between `auth_ok` and the end of a full sync says that it is not under way", async () => {
  const { client, authenticate } = world();
  const seen = [];
  let finish;
  client.onFullSync(() => new Promise((resolve) => (finish = resolve)));
  for (const name of ["state", "authenticated", "fullsync"]) {
    client.on(name, () => client.snapshot.state === "authenticated" && seen.push([name, client.snapshot.isFullSyncUnderWay]));
  }
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true, cursor: 4 });
  assert.deepEqual(seen, [["state", true], ["authenticated", true], ["fullsync", true]]);
  finish();
  await settle();
  assert.deepEqual(seen.slice(3), [["fullsync", false]]);
});

test("a full sync that fails is tried again, with backoff", async () => {
  const { clock, client, last, authenticate } = world();
  const attempts = [];
  const errors = [];
  client.on("error", (error) => errors.push(error.message));
  client.onFullSync(({ attempt }) => {
    attempts.push(attempt);
    if (attempt < 3) throw new Error("no answer");
  });
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true });
  await clock.advance(999);
  assert.deepEqual(attempts, [1]);
  await clock.advance(1);
  assert.deepEqual(attempts, [1, 2]);
  await clock.advance(2_000);
  assert.deepEqual(attempts, [1, 2, 3]);
  assert.equal(errors.length, 2);
  assert.equal(last().of("sync_complete").length, 1);
});

test("a connection lost in the middle of a full sync starts it over", async () => {
  const { clock, client, last, sockets, authenticate } = world();
  let count = 0;
  client.onFullSync(() => (++count === 1 ? new Promise(() => {}) : undefined));
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true });
  last().drop();
  await clock.advance(1_000);
  await authenticate({ need_full_sync: true });
  await clock.advance(0);
  assert.equal(count, 2);
  assert.equal(sockets[0].of("sync_complete").length, 0);
  assert.equal(last().of("sync_complete").length, 1);
});

function pages(...answers) {
  const asked = [];
  const fetch = async (url, init) => {
    asked.push([String(url), init.headers.get("Authorization")]);
    const [status, body] = answers.shift();
    return new Response(JSON.stringify(body), { status });
  };
  return { asked, fetch };
}

test("with catchUp, the log is read instead of a full sync", async () => {
  const page = (events, cursor, more) => [200, { events, cursor, more }];
  const logged = (seq) => ({ type: "added", id: `p${seq}`, event_id: `e${seq}`, seq });
  const { asked, fetch } = pages(page([logged(2)], 2, true), page([logged(3)], 4, false));
  const storage = new MemoryKeyValue();
  await storage.set("session:0", { sessionId: "s1", user: "alice", cursor: 1, processed: ["e1"] });
  let fullSyncs = 0;
  const { clock, client, last, applied, authenticate, event } = world({ storage, fetch, catchUp: true });
  client.onFullSync(() => void fullSyncs++);
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true, cursor: 4 });
  event(5);
  await clock.advance(100);
  assert.deepEqual(applied, ["p2", "p3", "p5"]);
  assert.deepEqual(asked.map(([url]) => url), [
    "http://hub/api/v1/sync?cursor=1&limit=500", "http://hub/api/v1/sync?cursor=2&limit=500",
  ]);
  assert.equal(asked[0][1], "Bearer token");
  assert.equal(last().of("sync_complete").length, 1);
  assert.equal(fullSyncs, 0);
  assert.equal(client.snapshot.cursor, 5);
});

test("a log that no longer reaches back means a full sync after all", async () => {
  const { fetch } = pages([410, { code: "cursor_expired" }]);
  const storage = new MemoryKeyValue();
  await storage.set("session:0", { sessionId: "s1", user: "alice", cursor: 1, processed: [] });
  const { client, clock, last, authenticate } = world({ storage, fetch, catchUp: true });
  let fullSyncs = 0;
  client.onFullSync(() => void fullSyncs++);
  client.connect();
  await settle();
  await authenticate({ need_full_sync: true, cursor: 9 });
  await clock.advance(100);
  assert.equal(fullSyncs, 1);
  assert.equal(last().of("sync_complete").length, 1);
});

test("changes made offline are sent on return, also after a reload", async () => {
  const { clock, client, storage, sockets } = world();
  void client.enqueue({ type: "note_update", noteId: "n", changes: { title: "t" } });
  await clock.advance(10);
  assert.equal(client.snapshot.pendingChanges, 1);
  assert.equal(sockets.length, 0);
  client.close();
  const next = await connected({ storage });
  assert.equal(next.last().of("note_update").length, 1);
  const taken = [];
  next.client.on("taken", ({ frame }) => taken.push(frame.noteId));
  next.last().say({ type: "note_update_success", noteId: "n", updatedNote: {} });
  await settle();
  assert.deepEqual(taken, ["n"]);
});

test("logging out forgets session, events and queue", async () => {
  const { clock, client, storage, event, last } = await connected();
  event(1);
  await clock.advance(50);
  void client.enqueue({ type: "note_update", noteId: "n" }).catch(() => {});
  await settle();
  await client.logout();
  assert.equal(last().isClosed, true);
  assert.deepEqual(await storage.entries(""), []);
  assert.equal(client.snapshot.state, "disconnected");
});

test("another user on the same device starts afresh", async () => {
  const { clock, client, storage, event } = await connected();
  event(1);
  await clock.advance(50);
  client.close();
  const next = await connected({ storage }, { user: "bob", session_id: "s2" });
  next.event(1);
  await next.clock.advance(50);
  assert.deepEqual(next.applied, ["p1"]);
});

test("a revoked session is forgotten and not tried again", async () => {
  const { clock, sockets, storage, last } = await connected();
  last().drop(4403);
  await clock.advance(100_000);
  assert.equal(sockets.length, 1);
  assert.equal(await storage.get("session:0"), undefined);
});

test("two clients of one device are two sessions", async () => {
  const locks = new FakeLocks();
  const storage = new MemoryKeyValue();
  await connected({ storage, locks });
  const second = await connected({ storage, locks }, { session_id: "s2" });
  assert.equal(second.last().of("auth")[0].session_id, null);
});

test("applyIn writes event and change in one transaction, and needs a database", async () => {
  const storage = await openDatabase({ name: "applyIn", upgrade: (db) => db.createObjectStore("photos") });
  const { clock, client, last, event } = await connected({ storage });
  let isBroken = true;
  client.applyIn(["photos"], "added", (it, transaction) => {
    transaction.objectStore("photos").put(it.id, it.id);
    if (isBroken) throw new Error("the tab died");
  });
  const wait = async () => {
    for (let turn = 0; turn < 20; turn += 1) await clock.advance(10);
  };
  event(1);
  await wait();
  assert.deepEqual(acked(last()), []);
  isBroken = false;
  event(1);
  await wait();
  assert.deepEqual(acked(last()), ["e1"]);
  assert.throws(() => world().client.applyIn([], "added", () => {}), { code: "no-database" });
});

test("what was queued offline after a reload is not sent as another user", async () => {
  const { client, storage } = await connected();
  client.close();
  const next = world({ storage });
  const left = next.client.enqueue({ type: "note_update", noteId: "n", changes: {} });
  const lost = assert.rejects(left, { code: "closed" });
  await settle();
  next.client.connect();
  await settle();
  await next.authenticate({ user: "bob", session_id: "s2" });
  await lost;
  assert.deepEqual(next.last().of("note_update"), []);
});

test("a full sync is not confirmed by one of an earlier connection", async () => {
  const storage = new MemoryKeyValue();
  const it = world({ storage });
  it.client.onFullSync(async () => {});
  it.client.connect();
  await settle();
  const set = storage.set.bind(storage);
  let keep = () => {};
  storage.set = async (key, value) => {
    if (value.cursor === 5) await new Promise((resolve) => (keep = () => resolve(undefined)));
    return set(key, value);
  };
  await it.authenticate({ need_full_sync: true, cursor: 5 });
  it.client.onFullSync(() => new Promise(() => {}));
  it.last().drop();
  await it.clock.advance(1_000);
  await it.authenticate({ need_full_sync: true, cursor: 5 });
  keep();
  await settle();
  assert.equal(it.sockets.length, 2);
  assert.deepEqual(it.last().of("sync_complete"), []);
});

test("what goes wrong is on the console when nobody listens for it", async (context) => {
  const { mock } = context.mock.method(console, "error", () => {});
  const { client, clock, event } = await connected();
  client.onEvent("added", () => { throw new Error("no room"); });
  event(1);
  await clock.advance(50);
  assert.equal(mock.callCount(), 1);
  client.on("error", () => {});
  event(2);
  await clock.advance(50);
  assert.equal(mock.callCount(), 1);
});

test("a client that is closed while it starts keeps no session", async () => {
  const locks = new FakeLocks();
  const { client } = world({ locks });
  const starting = client.start();
  client.close();
  await starting;
  await settle();
  assert.equal(locks.held.size, 0);
});
