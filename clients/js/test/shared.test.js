import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryKeyValue } from "../src/kv.js";
import { Notes } from "../src/notes.js";
import { SharedClient } from "../src/shared.js";
import { authOk, channels, fakeSockets, FakeClock, FakeLocks, settle } from "./fakes.js";

function browser() {
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const storage = new MemoryKeyValue();
  const shared = { storage, locks: new FakeLocks(), BroadcastChannel: channels() };
  const tab = () => {
    const client = new SharedClient({ url: "http://hub", getToken: () => "token", WebSocket, clock, ...shared });
    const heard = [];
    client.onEvent("*", (event) => void heard.push(event.id));
    client.connect();
    return { client, heard };
  };
  const authenticate = async (more) => {
    last().open();
    last().say(authOk(more));
    await settle();
  };
  const event = async (seq) => {
    last().say({ type: "added", id: `p${seq}`, event_id: `e${seq}`, seq });
    await clock.advance(50);
  };
  return { clock, tab, sockets, last, authenticate, event, storage, shared };
}

test("tabs share one connection and each gets everything", async () => {
  const { tab, sockets, last, authenticate, event } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  await authenticate();
  assert.equal(sockets.length, 1);
  assert.deepEqual([a.client.isLeader, b.client.isLeader], [true, false]);
  assert.deepEqual([a.client.snapshot.state, b.client.snapshot.state], ["authenticated", "authenticated"]);
  await event(1);
  await settle();
  assert.deepEqual([a.heard, b.heard], [["p1"], ["p1"]]);
  assert.deepEqual(last().of("ack").flatMap((frame) => frame.event_ids), ["e1"]);
});

test("when the connected tab goes, the next has the session, and hears nothing twice", async () => {
  const { tab, sockets, last, authenticate, event } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  await authenticate();
  await event(1);
  a.client.close();
  await settle();
  assert.equal(sockets.length, 2);
  assert.equal(last().url, "ws://hub/ws");
  await authenticate();
  assert.equal(last().of("auth")[0].session_id, "s1");
  await event(1);
  await event(2);
  assert.deepEqual(b.heard, ["p1", "p2"]);
});

test("an error of the connection is told once in each tab, and the next one again", async () => {
  const { clock, tab, last, authenticate } = browser();
  const [, { client }] = [tab(), tab()];
  const errors = [];
  client.on("state", ({ error }) => error && errors.at(-1) !== error && errors.push(error));
  await settle();
  await authenticate();
  last().drop();
  await settle();
  await clock.advance(1_000);
  assert.deepEqual(errors.map(({ name, code }) => [name, code]), [["StaffettaError", "connection-lost"]]);
  last().drop();
  await settle();
  assert.equal(errors.length, 2);
});

test("any tab's changes are sent and answered", async () => {
  const { tab, last, authenticate } = browser();
  const [, b] = [tab(), tab()];
  await settle();
  await authenticate();
  const taken = b.client.enqueue({ type: "note_update", noteId: "n", changes: { title: "t" } });
  const refused = b.client.enqueue({ type: "note_update", noteId: "m", changes: {} });
  refused.catch(() => {});
  await settle();
  last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n" } });
  assert.equal((await taken).noteId, "n");
  await settle();
  last().say({ type: "error", code: "not_found", message: "no", noteId: "m" });
  await assert.rejects(refused, { code: "not_found", noteId: "m" });
});

test("a change asked of a tab that goes is sent by the next", async () => {
  const { tab, last, sockets, authenticate } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  const taken = b.client.enqueue({ type: "note_update", noteId: "n", changes: {} });
  await settle();
  a.client.close();
  await settle();
  await authenticate();
  assert.equal(sockets.length, 2);
  assert.equal(last().of("note_update").length, 1);
  last().say({ type: "note_update_success", noteId: "n" });
  await taken;
});

test("a room is left when the last tab leaves it", async () => {
  const { tab, last, authenticate } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  await authenticate();
  for (const { client } of [a, b]) client.send({ type: "join_note", noteId: "n" });
  await settle();
  a.client.send({ type: "leave_note", noteId: "n" });
  assert.equal(last().of("leave_note").length, 0);
  b.client.send({ type: "leave_note", noteId: "n" });
  await settle();
  assert.equal(last().of("leave_note").length, 1);
});

test("a full sync is done by every tab", async () => {
  const { tab, authenticate, last } = browser();
  const [a, b] = [tab(), tab()];
  const done = [];
  a.client.onFullSync(() => void done.push("a"));
  b.client.onFullSync(() => void done.push("b"));
  await settle();
  await authenticate({ need_full_sync: true });
  await settle();
  assert.deepEqual(done.sort(), ["a", "b"]);
  assert.equal(last().of("sync_complete").length, 1);
});

test("signing out of one tab signs out all", async () => {
  const { tab, authenticate, last, clock, sockets } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  await authenticate();
  await b.client.logout();
  await clock.advance(60_000);
  assert.equal(last().isClosed, true);
  assert.equal(sockets.length, 1);
  assert.deepEqual([a.client.snapshot.state, b.client.snapshot.state], ["disconnected", "disconnected"]);
});

test("what one tab changes shows in the others", async () => {
  const { tab, authenticate, last } = browser();
  const [a, b] = [tab(), tab()].map(({ client }) => new Notes(client));
  await settle();
  await authenticate();
  void b.update("n", { title: "mine" });
  await settle();
  last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n", title: "mine", version: 2 } });
  await settle();
  assert.equal(a.get("n").title, "mine");
  void a.create({ id: "m", title: "new" });
  await settle();
  last().say({ type: "pong" });
  await settle();
  assert.equal(b.get("m").title, "new");
  void b.delete("m");
  await settle();
  last().say({ type: "pong" });
  await settle();
  assert.equal(a.get("m"), null);
});

test("a tab that is opened later has the notes", async () => {
  const { tab, authenticate, shared } = browser();
  shared.fetch = async () => new Response(JSON.stringify({ notes: [{ id: "n", version: 1 }], more: false }));
  tab();
  await settle();
  await authenticate();
  const notes = new Notes(tab().client);
  notes.keepLoaded();
  await settle();
  assert.deepEqual(notes.all.map(({ id }) => id), ["n"]);
});

test("a change of the tab that had the connection is answered by the next one's", async () => {
  const { tab, last, authenticate } = browser();
  const [a] = [tab(), tab()];
  await settle();
  const taken = a.client.enqueue({ type: "note_update", noteId: "n", changes: {} });
  await settle();
  a.client.disconnect();
  await settle();
  await authenticate();
  assert.equal(last().of("note_update").length, 1);
  last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n" } });
  assert.equal((await taken).noteId, "n");
});

test("a tab without the connection applies one event after the other", async () => {
  const { tab, authenticate, event } = browser();
  const [, b] = [tab(), tab()];
  const log = [];
  b.client.onEvent("added", async ({ id }) => {
    log.push(`${id} begins`);
    await settle();
    log.push(`${id} ends`);
  });
  await settle();
  await authenticate();
  await Promise.all([event(1), event(2)]);
  await settle();
  await settle();
  assert.deepEqual(log, ["p1 begins", "p1 ends", "p2 begins", "p2 ends"]);
});

test("signing out while no tab is connected forgets the session all the same", async () => {
  const { tab, authenticate, storage } = browser();
  const { client } = tab();
  await settle();
  await authenticate();
  client.disconnect();
  assert.equal((await storage.get("session:0")).sessionId, "s1");
  await client.logout();
  assert.equal(await storage.get("session:0"), undefined);
});

test("applyIn without a database is refused at once", () => {
  const { tab } = browser();
  assert.throws(() => tab().client.applyIn(["photos"], "added", () => {}), { code: "no-database" });
});

test("the rooms of a tab that is closed are left", async () => {
  const { tab, last, authenticate } = browser();
  const [a, b] = [tab(), tab()];
  await settle();
  await authenticate();
  b.client.send({ type: "join_note", noteId: "n" });
  b.client.send({ type: "join_note", noteId: "m" });
  a.client.send({ type: "join_note", noteId: "m" });
  await settle();
  b.client.close();
  await settle();
  assert.deepEqual(last().of("leave_note"), [{ type: "leave_note", noteId: "n" }]);
});
