import assert from "node:assert/strict";
import { test } from "node:test";

import { Client } from "../src/client.js";
import { MemoryKeyValue } from "../src/kv.js";
import { Notes } from "../src/notes.js";
import { authOk, fakeSockets, FakeClock, settle } from "./fakes.js";

async function world(options = {}) {
  const clock = new FakeClock();
  const { WebSocket, last } = fakeSockets();
  const storage = new MemoryKeyValue();
  const client = new Client({
    url: "http://hub", getToken: () => "token", WebSocket, clock, locks: null, storage, ...options,
  });
  const notes = new Notes(client);
  client.connect();
  await settle();
  last().open();
  last().say(authOk());
  await settle();
  let seq = 0;
  const sync = async (frame) => {
    seq += 1;
    last().say({ ...frame, event_id: `e${seq}`, seq });
    await clock.advance(50);
  };
  return { clock, client, notes, last, sync };
}

test("others' changes show, and the newest version stays", async () => {
  const { notes, sync } = await world();
  const shown = [];
  notes.on("change", ({ note, by }) => shown.push([note?.title, by]));
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", version: 1 } });
  await sync({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "c", version: 3 } });
  await sync({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "b", version: 2 } });
  assert.equal(notes.get("n").title, "c");
  await sync({ type: "note_deleted_sync", noteId: "n" });
  assert.equal(notes.get("n"), null);
  assert.deepEqual(shown[0], ["a", "others"]);
});

test("a change shows at once and stays when the hub takes it", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", version: 1 } });
  const update = notes.update("n", { title: "mine" });
  assert.equal(notes.get("n").title, "mine");
  await settle();
  assert.equal(last().of("note_update")[0].base_version, 1);
  last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n", title: "mine", version: 2 } });
  await update;
  assert.deepEqual(notes.get("n"), { id: "n", title: "mine", version: 2 });
});

test("a refused change is taken back", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", version: 1 } });
  const update = notes.update("n", { title: "mine" });
  await settle();
  last().say({ type: "error", message: "Note not found", code: "not_found", noteId: "n" });
  await assert.rejects(update, { code: "not_found" });
  assert.equal(notes.get("n").title, "a");
});

test("a change stays on top of what others do meanwhile", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", body: "b", version: 1 } });
  void notes.update("n", { title: "mine" });
  await sync({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "x", body: "y", version: 2 } });
  assert.deepEqual([notes.get("n").title, notes.get("n").body], ["mine", "y"]);
  const conflicts = [];
  notes.on("conflict", (conflict) => conflicts.push(conflict));
  last().say({
    type: "note_update_success", noteId: "n", updatedNote: { id: "n", title: "mine", body: "y", version: 3 },
    conflicts: { title: { yours: "mine", theirs: "x" } },
  });
  await settle();
  assert.deepEqual(conflicts, [{ noteId: "n", conflicts: { title: { yours: "mine", theirs: "x" } } }]);
});

test("a refused new note goes, a refused deletion comes back", async () => {
  const { notes, last } = await world();
  const pong = () => last().say({ type: "pong" });
  // The hub answers the ping behind a refused frame as well.
  const refuse = () => {
    last().say({ type: "error", message: "no", code: "access_denied", noteId: "n" });
    pong();
  };
  const create = notes.create({ id: "n", title: "a" });
  assert.equal(notes.get("n").title, "a");
  await settle();
  refuse();
  await assert.rejects(create, { code: "access_denied" });
  assert.equal(notes.get("n"), null);
  const again = notes.create({ id: "n", title: "a" });
  await settle();
  pong();
  await again;
  const deletion = notes.delete("n");
  assert.equal(notes.get("n"), null);
  await settle();
  refuse();
  await assert.rejects(deletion, { code: "access_denied" });
  assert.equal(notes.get("n").title, "a");
});

test("rooms are joined again after a reconnect, those that were left are not", async () => {
  const { clock, notes, last } = await world();
  notes.join("a", { presence: true });
  notes.join("b");
  notes.leave("b");
  last().drop();
  await clock.advance(1_000);
  last().open();
  last().say(authOk());
  await settle();
  assert.deepEqual(last().of("join_note"), [{ type: "join_note", noteId: "a", presence: true }]);
  last().say({ type: "note_left", noteId: "a" });
  assert.deepEqual(notes.joined, []);
});

test("presence is a list that follows its changes", async () => {
  const { notes, last } = await world();
  last().say({ type: "presence_state", noteId: "n", users: [{ userId: "alice", connections: 2 }] });
  last().say({ type: "presence_diff", noteId: "n", joins: [{ userId: "bob", connections: 1 }], leaves: [{ userId: "alice", connections: 1 }] });
  assert.deepEqual(notes.present("n"), [{ userId: "alice", connections: 1 }, { userId: "bob", connections: 1 }]);
  last().say({ type: "presence_diff", noteId: "n", joins: [], leaves: [{ userId: "bob", connections: 0 }] });
  assert.deepEqual(notes.present("n"), [{ userId: "alice", connections: 1 }]);
});

test("loading fetches every page and drops what is gone, but not what is on its way", async () => {
  const answers = {
    "http://hub/api/v1/notes": { notes: [{ id: "a", version: 1 }], cursor: "x", more: true },
    "http://hub/api/v1/notes?cursor=x": { notes: [{ id: "b", version: 1 }], cursor: "y", more: false },
  };
  const fetch = async (url) => new Response(JSON.stringify(answers[url]));
  const { notes, sync } = await world({ fetch });
  await sync({ type: "note_created_sync", noteData: { id: "gone", version: 1 } });
  void notes.create({ id: "mine" });
  await settle();
  await notes.load();
  assert.deepEqual(notes.all.map((note) => note.id).sort(), ["a", "b", "mine"]);
});
