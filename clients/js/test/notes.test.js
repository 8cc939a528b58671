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

test("the room of a note that is made here is joined once the hub has the note", async () => {
  const errors = [];
  const { client, clock, notes, last } = await world();
  notes.on("error", ({ message }) => errors.push(message));
  const made = notes.create({ id: "n" });
  notes.join("n", { presence: true });
  await settle();
  assert.deepEqual(last().sent.map(({ type }) => type), ["auth", "note_created", "ping"]);
  client.disconnect();
  client.connect();
  await settle();
  last().open();
  last().say(authOk());
  await clock.advance(0);
  assert.deepEqual(last().sent.map(({ type }) => type), ["auth", "note_created", "ping"], "a reconnect changes nothing of that");
  last().say({ type: "pong" });
  await made;
  assert.deepEqual(last().of("join_note"), [{ type: "join_note", noteId: "n", presence: true }]);
  last().say({ type: "note_joined", noteId: "n" });
  assert.deepEqual([notes.joined, errors], [["n"], []]);
});

test("a note of an earlier life that is still to be sent is joined behind it", async () => {
  const storage = new MemoryKeyValue();
  const first = await world({ storage });
  first.client.disconnect();
  void first.notes.create({ id: "n" }).catch(() => {});
  await settle();
  first.client.close();
  const { notes, last } = await world({ storage });
  notes.join("n");
  assert.deepEqual(last().sent.map(({ type }) => type), ["auth", "note_created", "ping"]);
  last().say({ type: "pong" });
  await settle();
  assert.equal(last().of("join_note").length, 1);
});

test("a note that is refused has no room, one that was there before keeps its own", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "old", version: 1 } });
  for (const id of ["new", "old"]) {
    const made = notes.create({ id });
    notes.join(id);
    await settle();
    last().say({ type: "error", message: "no", code: "access_denied", noteId: id });
    await assert.rejects(made, { code: "access_denied" });
  }
  assert.deepEqual(last().of("join_note").map(({ noteId }) => noteId), ["old"]);
});

test("a room that is left and joined at once stays joined", async () => {
  const { clock, notes, last } = await world();
  notes.join("n");
  notes.leave("n");
  notes.join("n");
  for (const type of ["note_joined", "note_left", "note_joined"]) last().say({ type, noteId: "n" });
  assert.deepEqual(notes.joined, ["n"]);
  last().drop();
  await clock.advance(1_000);
  last().open();
  last().say(authOk());
  assert.equal(last().of("join_note").length, 1);
  last().say({ type: "note_left", noteId: "n" });
  assert.deepEqual(notes.joined, [], "access that is taken away is no leaving of ours");
});

test("fast typing is no conflict with oneself, an edit of others is", async () => {
  const { notes, last, sync } = await world();
  const conflicts = [];
  notes.on("conflict", (conflict) => conflicts.push(conflict.conflicts));
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "", version: 1 } });
  for (const title of ["a", "ab", "abc"]) void notes.update("n", { title });
  await settle();
  const taken = async (title, version, theirs) => {
    const conflicts = theirs === undefined ? undefined : { title: { yours: title, theirs } };
    last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n", title, version }, conflicts });
    await settle();
  };
  await taken("a", 2);
  await taken("abc", 3, "a");
  assert.deepEqual(conflicts, []);
  void notes.update("n", { title: "abcd" });
  await settle();
  await taken("abcd", 5, "x");
  assert.deepEqual(conflicts, [{ title: { yours: "abcd", theirs: "x" } }]);
});

test("a deleted note stays away when an older change of others comes meanwhile", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", version: 1 } });
  const deletion = notes.delete("n");
  await sync({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "b", version: 2 } });
  last().say({ type: "pong" });
  await deletion;
  assert.equal(notes.get("n"), null);
});

test("a refused change does not take back what others did meanwhile", async () => {
  const { notes, last, sync } = await world();
  await sync({ type: "note_created_sync", noteData: { id: "n", title: "a", version: 1 } });
  const deletion = notes.delete("n");
  await sync({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "b", version: 2 } });
  last().say({ type: "error", message: "no", code: "access_denied", noteId: "n" });
  await assert.rejects(deletion, { code: "access_denied" });
  assert.equal(notes.get("n").title, "b");
});

test("a change that an earlier life left shows once the hub has taken it", async () => {
  const storage = new MemoryKeyValue();
  const frame = { type: "note_update", noteId: "n", changes: { title: "offline" } };
  await storage.set("queue:0:1", { id: "1", user: "alice", frame });
  const { notes, last } = await world({ storage });
  last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n", title: "offline", version: 2 } });
  await settle();
  assert.equal(notes.get("n").title, "offline");
});

test("notes that are kept loaded are there without a full sync, with what happens meanwhile, and when it fails at first", async () => {
  let answer;
  const fetch = () => new Promise((resolve, reject) => (answer = { resolve, reject }));
  const { clock, notes, sync } = await world({ fetch });
  const errors = [];
  notes.on("error", ({ message }) => errors.push(message));
  notes.keepLoaded();
  notes.keepLoaded();
  answer.reject(new Error("no network"));
  await settle();
  assert.deepEqual(errors, ["no network"]);
  await clock.advance(1_000);
  await sync({ type: "note_created_sync", noteData: { id: "new", version: 1 } });
  await sync({ type: "note_deleted_sync", noteId: "gone" });
  const page = { notes: [{ id: "a", version: 1 }, { id: "gone", version: 1 }], more: false };
  answer.resolve(new Response(JSON.stringify(page)));
  await settle();
  assert.deepEqual(notes.all.map(({ id }) => id).sort(), ["a", "new"]);
});

test("who is present is not known while offline", async () => {
  const { clock, notes, last } = await world();
  const shown = [];
  notes.on("presence", ({ users }) => shown.push(users.length));
  notes.join("n", { presence: true });
  last().say({ type: "presence_state", noteId: "n", users: [{ userId: "alice", connections: 2 }] });
  last().drop();
  assert.deepEqual([notes.present("n"), shown], [[], [1, 0]]);
  await clock.advance(1_000);
});

test("what is only sent again later is no error", async () => {
  const { clock, notes, last } = await world();
  const errors = [];
  notes.on("error", ({ message }) => errors.push(message));
  void notes.update("n", { title: "a" });
  await settle();
  last().say({ type: "error", message: "Rate limit exceeded. Please slow down.", code: "rate_limited" });
  assert.deepEqual(errors, []);
  await clock.advance(1_000);
  assert.equal(last().of("note_update").length, 2);
  last().say({ type: "error", message: "no", code: "access_denied", noteId: "x" });
  assert.deepEqual(errors, ["no"]);
});
