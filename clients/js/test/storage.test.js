import "fake-indexeddb/auto";

import assert from "node:assert/strict";
import { test } from "node:test";

import { claimSlot, whileUnclaimed } from "../src/claim.js";
import { openDatabase } from "../src/database.js";
import { LocalKeyValue, MemoryKeyValue } from "../src/kv.js";
import { SessionStore } from "../src/session-store.js";
import { TabLocks } from "../src/tab-locks.js";
import { channels, FakeClock, FakeLocks, settle } from "./fakes.js";

/** Enough of localStorage: its keys are its own properties. */
function fakeStorage() {
  const methods = {
    getItem(key) { return Object.hasOwn(this, key) ? this[key] : null; },
    setItem(key, value) { this[key] = String(value); },
    removeItem(key) { delete this[key]; },
  };
  return Object.create(methods);
}

let names = 0;
const places = {
  memory: async () => new MemoryKeyValue(),
  localStorage: async () => new LocalKeyValue("app", fakeStorage()),
  IndexedDB: () => openDatabase({ name: `db${names++}` }),
};

for (const [place, open] of Object.entries(places)) {
  test(`values are kept in ${place}`, async () => {
    const storage = await open();
    assert.equal(await storage.get("a"), undefined);
    await storage.set("q:2", { two: true });
    await storage.set("q:1", [1]);
    await storage.set("r", null);
    assert.deepEqual(await storage.entries("q:"), [["q:1", [1]], ["q:2", { two: true }]]);
    await storage.remove("q:1");
    assert.equal(await storage.get("q:1"), undefined);
  });

  test(`a session is remembered in ${place}`, async () => {
    const storage = await open();
    const store = new SessionStore(storage, "0", 2);
    await store.load();
    await store.keepSession("alice", "s1");
    await Promise.all([store.keepProcessed(["a", "b"], 2), store.keepProcessed(["c"], 3)]);
    const later = new SessionStore(storage, "0");
    assert.deepEqual(await later.load(), { sessionId: "s1", user: "alice", cursor: 3, processed: ["b", "c"] });
    await later.keepSession("bob", "s2");
    assert.deepEqual(later.record, { sessionId: "s2", user: "bob", cursor: 0, processed: [] });
    await later.clear();
    assert.equal((await new SessionStore(storage, "0").load()).sessionId, null);
  });
}

async function photos() {
  const name = `photos${names++}`;
  const open = () =>
    openDatabase({ name, upgrade: (db, oldVersion) => oldVersion === 0 && db.createObjectStore("photos") });
  return { open, database: await open() };
}

function all(database, store) {
  return new Promise((resolve, reject) => {
    const request = database.idb.transaction(store).objectStore(store).getAll();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const put = (event, transaction) => void transaction.objectStore("photos").put(event.id, event.id);

test("an event and its change are one transaction, once per device", async () => {
  const { open, database } = await photos();
  const otherTab = await open();
  const event = { event_id: "e1", id: "p1" };
  const [first, second] = await Promise.all([
    database.applyOnce("alice", event, ["photos"], [put]),
    otherTab.applyOnce("alice", event, ["photos"], [put]),
  ]);
  assert.deepEqual([first, second].sort(), [false, true]);
  assert.deepEqual(await all(database, "photos"), ["p1"]);
  assert.equal(await database.applyOnce("bob", event, ["photos"], [put]), true);
});

test("a change that fails half way leaves nothing, and can be made again", async () => {
  const { database } = await photos();
  const event = { event_id: "e1", id: "p1" };
  const half = (event, transaction) => { put(event, transaction); throw new Error("half way"); };
  await assert.rejects(database.applyOnce("alice", event, ["photos"], [half]), /half way/);
  assert.deepEqual(await all(database, "photos"), []);
  assert.equal(await database.applyOnce("alice", event, ["photos"], [put]), true);
});

test("each open tab is a session of its own, and a closed one's is free", async () => {
  const locks = new FakeLocks();
  const first = await claimSlot("app", locks);
  const second = await claimSlot("app", locks);
  assert.deepEqual([first.slot, second.slot], ["0", "1"]);
  let worked = 0;
  await whileUnclaimed("app", "0", async () => void worked++, locks);
  first.release();
  await new Promise(setImmediate);
  await whileUnclaimed("app", "0", async () => void worked++, locks);
  assert.equal(worked, 1);
  assert.equal((await claimSlot("app", locks)).slot, "0");
  assert.equal((await claimSlot("app", null)).slot, "0");
});

test("without Web Locks, tabs ask each other which session is whose", async () => {
  const clock = new FakeClock();
  const BroadcastChannel = channels();
  const tab = () => new TabLocks({ clock, BroadcastChannel });
  const claim = async (locks) => {
    const claimed = claimSlot("app", locks);
    for (let turn = 0; turn < 4; turn += 1) await clock.advance(150);
    return claimed;
  };
  const [a, b, c] = [tab(), tab(), tab()];
  const first = await claim(a);
  assert.deepEqual([first.slot, (await claim(b)).slot, (await claim(c)).slot], ["0", "1", "2"]);
  assert.equal((await claim(a)).slot, "3", "two clients of one page are two sessions as well");
  first.release();
  await settle();
  assert.equal((await claim(tab())).slot, "0");
});

test("of tabs that ask at once, each gets a session of its own", async () => {
  const clock = new FakeClock();
  const BroadcastChannel = channels();
  const tabs = Array.from({ length: 4 }, () => {
    clock.chance = Math.random();
    return new TabLocks({ clock, BroadcastChannel });
  });
  const claims = tabs.map((locks) => claimSlot("app", locks));
  for (let turn = 0; turn < 8; turn += 1) await clock.advance(150);
  const slots = (await Promise.all(claims)).map(({ slot }) => slot);
  assert.equal(new Set(slots).size, 4, slots.join());
});

test("an event whose change came after its transaction is not taken for applied", async () => {
  const { database } = await photos();
  const event = { event_id: "e1", id: "p1" };
  const late = async (event, transaction) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    put(event, transaction);
  };
  await assert.rejects(database.applyOnce("alice", event, ["photos"], [late]));
  assert.equal(await database.applyOnce("alice", event, ["photos"], [put]), true);
  assert.deepEqual(await all(database, "photos"), ["p1"]);
});

test("a database the browser has closed is opened again", async () => {
  const { database } = await photos();
  await database.set("a", 1);
  database.idb.close();
  database.idb.onclose(new Event("close"));
  assert.equal(await database.get("a"), 1);
  assert.equal(await database.applyOnce("alice", { event_id: "e1", id: "p1" }, ["photos"], [put]), true);
  assert.deepEqual(await all(database, "photos"), ["p1"]);
});
