import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryKeyValue } from "../src/kv.js";
import { OutgoingQueue } from "../src/outgoing-queue.js";
import { FakeClock, settle } from "./fakes.js";

function world(options = {}) {
  const clock = new FakeClock();
  const it = { clock, sent: [], pings: [], taken: [], refused: [] };
  it.storage = options.storage ?? new MemoryKeyValue();
  it.queue = new OutgoingQueue({
    clock,
    slot: "0",
    send: (frame) => (it.sent.push(frame), true),
    ping: (then) => (it.pings.push(then), true),
    onTaken: ({ frame }) => it.taken.push(frame),
    onRefused: ({ frame, error }) => it.refused.push([frame, error.code]),
    ...options,
    storage: it.storage,
  });
  return it;
}

const update = (noteId, title = "t") => ({ type: "note_update", noteId, changes: { title } });
const success = (noteId) => ({ type: "note_update_success", noteId, updatedNote: {} });

test("changes wait while offline and go one by one, in order", async () => {
  const { queue, sent } = world();
  const first = queue.enqueue(update("a"));
  void queue.enqueue(update("b"));
  await settle();
  assert.deepEqual(sent, []);
  await queue.online("alice");
  assert.deepEqual(sent, [update("a")]);
  queue.hear(success("a"));
  assert.deepEqual(await first, success("a"));
  await settle();
  assert.deepEqual(sent, [update("a"), update("b")]);
  assert.equal(queue.length, 1);
});

test("a refusal rejects, and the next goes on", async () => {
  const { queue, sent, refused } = world();
  await queue.online("alice");
  const promise = queue.enqueue(update("a"));
  void queue.enqueue(update("b"));
  await settle();
  queue.hear({ type: "error", code: "not_found", message: "Note not found", noteId: "a" });
  await assert.rejects(promise, { code: "not_found", noteId: "a" });
  await settle();
  assert.deepEqual(refused, [[update("a"), "not_found"]]);
  assert.deepEqual(sent[1], update("b"));
});

test("an overloaded hub is asked again", async () => {
  const { clock, queue, sent } = world();
  await queue.online("alice");
  void queue.enqueue(update("a"));
  await settle();
  queue.hear({ type: "error", code: "unavailable", message: "…", noteId: "a" });
  await clock.advance(1_000);
  assert.deepEqual(sent, [update("a"), update("a")]);
});

test("what is taken in silence is known by the pong behind it", async () => {
  const { queue, pings } = world();
  await queue.online("alice");
  const promise = queue.enqueue({ type: "note_created", noteId: "a", noteData: {} });
  await settle();
  assert.equal(pings.length, 1);
  pings[0]();
  assert.equal(await promise, null);
  assert.equal(queue.length, 0);
});

test("a lost answer sends again on the next connection", async () => {
  const { queue, sent } = world();
  await queue.online("alice");
  const promise = queue.enqueue(update("a"));
  await settle();
  queue.offline();
  await queue.online("alice");
  assert.equal(sent.length, 2);
  queue.hear(success("a"));
  await promise;
});

test("what waits survives a reload, in order", async () => {
  const { clock, queue, storage } = world();
  for (const noteId of ["a", "b", "c"]) {
    void queue.enqueue(update(noteId));
    await clock.advance(1);
  }
  const later = world({ storage });
  await later.queue.load();
  assert.deepEqual(later.queue.frames.map((frame) => frame.noteId), ["a", "b", "c"]);
  await later.queue.online("alice");
  later.queue.hear(success("a"));
  await settle();
  assert.deepEqual((await storage.entries("queue:0:")).length, 2);
});

test("what a tab that is gone left is taken over", async () => {
  const { queue, storage } = world({ slot: "1" });
  void queue.enqueue(update("a"));
  await settle();
  const other = world({ storage });
  await other.queue.load("1");
  assert.equal(other.queue.length, 1);
  assert.deepEqual((await storage.entries("queue:1:")).length, 0);
  assert.deepEqual((await storage.entries("queue:0:")).length, 1);
});

test("another user's changes are dropped", async () => {
  const { queue, storage } = world();
  await queue.online("alice");
  queue.offline();
  void queue.enqueue(update("a"));
  await settle();
  const later = world({ storage });
  await later.queue.load();
  await later.queue.online("bob");
  assert.deepEqual([later.sent, later.queue.length], [[], 0]);
});

test("a full queue refuses", async () => {
  const { queue } = world({ itemsMax: 1 });
  void queue.enqueue(update("a"));
  await assert.rejects(queue.enqueue(update("b")), { code: "queue-full" });
});

test("a change that is never answered is sent again", async () => {
  const { clock, queue, sent } = world();
  await queue.online("alice");
  void queue.enqueue(update("a"));
  await clock.advance(30_000);
  assert.equal(sent.length, 2);
});

test("signing out rejects what waits", async () => {
  const { queue, storage } = world();
  const promise = queue.enqueue(update("a"));
  promise.catch(() => {});
  await settle();
  await queue.clear();
  await assert.rejects(promise, { code: "closed" });
  assert.deepEqual(await storage.entries("queue:"), []);
});

test("an error about what was sent beside is not taken for the change's own", async () => {
  const { queue, pings } = world();
  await queue.online("alice");
  queue.sentBeside({ type: "note_signal", noteId: "a" });
  queue.sentBeside({ type: "join_note", noteId: "a" });
  const created = queue.enqueue({ type: "note_created", noteId: "a", noteData: {} });
  await settle();
  queue.hear({ type: "error", code: "not_found", message: "no", noteId: "a" });
  queue.hear({ type: "error", code: "not_found", message: "no", noteId: "a" });
  pings[0]();
  assert.equal(await created, null);
  queue.sentBeside({ type: "join_note", noteId: "a" });
  const updated = queue.enqueue(update("a"));
  await settle();
  queue.hear({ type: "note_joined", noteId: "a" });
  queue.hear({ type: "error", code: "access_denied", message: "no", noteId: "a" });
  await assert.rejects(updated, { code: "access_denied" });
});

test("changes of one note that wait in a row are one, and are all answered", async () => {
  const { queue, sent, storage } = world();
  const edit = (changes, base) => ({ type: "note_update", noteId: "a", changes, ...(base && { base_version: base }) });
  const first = [queue.enqueue(edit({ title: "1" }, 3)), queue.enqueue(edit({ title: "2", body: "b" }, 3), "two")];
  void queue.enqueue(update("b"));
  void queue.enqueue(edit({ title: "3" }));
  await settle();
  assert.equal(queue.length, 3);
  assert.equal((await storage.entries("queue:0:")).length, 3);
  // Asked for again, as by a tab whose connected tab has gone.
  first.push(queue.enqueue(edit({ title: "2", body: "b" }, 3), "two"));
  assert.equal(queue.length, 3);
  await queue.online("alice");
  assert.deepEqual(sent, [edit({ title: "2", body: "b" }, 3)]);
  queue.hear(success("a"));
  assert.deepEqual(await Promise.all(first), [success("a"), success("a"), success("a")]);
});

test("a change that was sent is not changed any more", async () => {
  const { queue, sent } = world();
  await queue.online("alice");
  void queue.enqueue(update("a", "1"));
  await settle();
  void queue.enqueue(update("a", "2"));
  void queue.enqueue(update("a", "3"));
  await settle();
  assert.deepEqual([sent.length, queue.length], [1, 2]);
  queue.hear(success("a"));
  await settle();
  assert.deepEqual(sent[1], update("a", "3"));
});
