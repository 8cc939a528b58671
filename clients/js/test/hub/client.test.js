import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { WebSocket } from "ws";

import { Client, MemoryKeyValue, Notes, UpdatesClient } from "../../src/index.js";
import { Hub, until } from "./hub.js";

let hub;
let users = 0;
before(async () => {
  hub = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "300" });
});
after(() => hub.close());

const clients = [];
after(() => clients.forEach((client) => client.close()));

/** A user nobody else is. */
const someone = () => `user-${++users}`;

function device(user, options = {}) {
  const client = new Client({
    url: hub.url,
    getToken: () => hub.token(user),
    storage: new MemoryKeyValue(),
    WebSocket,
    backoffMsMin: 50,
    offline: "replay",
    locks: null,
    ...options,
  });
  clients.push(client);
  const applied = [];
  client.onEvent("added", ({ id }) => void applied.push(id));
  client.connect();
  return { client, applied };
}

const online = ({ client }) => until(() => client.snapshot.state === "authenticated" && !client.snapshot.isFullSyncUnderWay, "online");
/** How often a trace says that the event was acked. */
const acks = async ({ event_id }) =>
  JSON.stringify(await hub.ask(`/api/v1/events/${event_id}/trace`)).match(/"state":"acked"/g)?.length ?? 0;

test("an event is applied on every device and settled", async () => {
  const user = someone();
  const devices = [device(user), device(user)];
  await Promise.all(devices.map(online));
  const receipt = await hub.publish(user, { type: "added", data: { id: "p1" } });
  assert.equal(receipt.sessions.live, 2);
  await until(() => devices.every(({ applied }) => applied.length === 1));
  await until(async () => (await acks(receipt)) === 2, "acked");
});

test("what was published while away comes on return, in order, once", async () => {
  const user = someone();
  const storage = new MemoryKeyValue();
  const first = device(user, { storage });
  await online(first);
  first.client.close();
  for (const id of ["a", "b", "c"]) await hub.publish(user, { type: "added", data: { id } });
  const second = device(user, { storage });
  await until(() => second.applied.length === 3);
  assert.deepEqual(second.applied, ["a", "b", "c"]);
});

test("a handler that fails gets the event again", async () => {
  const user = someone();
  const { client, applied } = device(user);
  let count = 0;
  client.onEvent("added", () => { if (++count < 3) throw new Error("not yet"); });
  await online({ client });
  await hub.publish(user, { type: "added", data: { id: "p1" } });
  await until(() => count === 3);
  assert.equal(applied.length, 3);
});

test("kill -9 of the hub: the client comes back by itself and nothing is lost", async () => {
  const user = someone();
  const it = device(user);
  await online(it);
  await hub.publish(user, { type: "added", data: { id: "before" } });
  await until(() => it.applied.length === 1);
  await hub.stop("SIGKILL");
  await until(() => it.client.snapshot.state === "reconnecting");
  await hub.run();
  await online(it);
  await hub.publish(user, { type: "added", data: { id: "after" } });
  await until(() => it.applied.length === 2);
  assert.deepEqual(it.applied, ["before", "after"]);
});

test("an announced restart is followed by a return", async () => {
  const user = someone();
  const it = device(user);
  await online(it);
  await hub.stop("SIGTERM");
  assert.equal(it.client.snapshot.error?.code, "restart");
  await hub.run();
  await online(it);
});

test("an expired token is replaced, a short one renewed on the live connection", async () => {
  const user = someone();
  const asked = [];
  const getToken = (reason) => {
    asked.push(reason);
    return hub.token(user, reason === "connect" ? -3_600 : 3);
  };
  const it = device(user, { getToken });
  await online(it);
  assert.deepEqual(asked.slice(0, 2), ["connect", "token-expired"]);
  const renewed = new Promise((resolve) => it.client.link.on("renewed", resolve));
  await renewed;
  assert.equal(asked.at(-1), "renewal");
  assert.equal(it.client.snapshot.state, "authenticated");
});

test("a full sync is confirmed; an unconfirmed one is due again", async () => {
  const user = someone();
  const storage = new MemoryKeyValue();
  const first = device(user, { storage });
  let syncs = 0;
  first.client.onFullSync(() => {
    syncs += 1;
    throw new Error("the application is down");
  });
  await until(() => syncs === 1);
  first.client.close();
  const second = device(user, { storage });
  second.client.onFullSync(() => void (syncs += 1));
  await online(second);
  assert.equal(syncs, 2);
  second.client.close();
  const third = device(user, { storage });
  third.client.onFullSync(() => void (syncs += 1));
  await online(third);
  assert.equal(syncs, 2);
});

test("catching up reads the log", async () => {
  const user = someone();
  const it = device(user, { offline: "full_sync", catchUp: true });
  await online(it);
  await hub.publish(user, { type: "added", data: { id: "p1" } });
  await until(() => it.applied.length === 1);
  await it.client.inbox.idle();
  it.client.disconnect();
  await until(async () => (await hub.ask(`/api/v1/users/${user}/sessions`)).every(({ connection }) => connection === null), "gone");
  for (const id of ["p2", "p3"]) await hub.publish(user, { type: "added", data: { id } });
  it.client.connect();
  await until(() => it.applied.length === 3);
  assert.deepEqual(it.applied, ["p1", "p2", "p3"]);
});

test("a note goes from device to device, offline edits too, and refusals come back", async () => {
  const user = someone();
  const [a, b] = [device(user), device(user)];
  const [notesA, notesB] = [new Notes(a.client), new Notes(b.client)];
  await Promise.all([online(a), online(b)]);
  await notesA.create({ id: `n-${user}`, title: "one" });
  await until(() => notesB.get(`n-${user}`)?.title === "one");
  a.client.disconnect();
  const offline = notesA.update(`n-${user}`, { title: "two" });
  assert.equal(notesA.get(`n-${user}`).title, "two");
  a.client.connect();
  const answer = await offline;
  assert.equal(answer.updatedNote.title, "two");
  await until(() => notesB.get(`n-${user}`)?.title === "two");
  await assert.rejects(notesB.update("nobody-has-this", { title: "x" }), { code: "not_found" });
  await notesB.delete(`n-${user}`);
  await until(() => notesA.get(`n-${user}`) === null);
  await notesA.create({ id: `m-${user}`, title: "three" });
  const fresh = device(user);
  const notesC = new Notes(fresh.client);
  fresh.client.onFullSync(() => notesC.load());
  await online(fresh);
  await until(() => notesC.all.length > 0);
  assert.deepEqual(notesC.all.map((note) => note.title), ["three"]);
});

test("a device sees who else is in a room, and their signals", async () => {
  const user = someone();
  const [a, b] = [device(user), device(user)];
  const [notesA, notesB] = [new Notes(a.client), new Notes(b.client)];
  await Promise.all([online(a), online(b)]);
  await notesA.create({ id: `r-${user}` });
  notesA.join(`r-${user}`, { presence: true });
  await until(() => notesA.present(`r-${user}`).length === 1);
  notesB.join(`r-${user}`, { presence: true });
  await until(() => notesA.present(`r-${user}`)[0]?.connections === 2);
  const signals = [];
  notesA.on("signal", ({ data }) => signals.push(data));
  notesB.signal(`r-${user}`, { cursor: 7 });
  await until(() => signals.length === 1);
  assert.deepEqual(signals, [{ cursor: 7 }]);
});

test("updates come by entity and action, in their account, and are replied to", async () => {
  const user = someone();
  const client = new UpdatesClient({
    url: hub.url, getToken: () => hub.token(user), storage: new MemoryKeyValue(), WebSocket, locks: null,
  });
  clients.push(client);
  const heard = [];
  client.on("photo", "new", ({ items }) => void heard.push(["personal", ...items]));
  client.account("business").on("photo", "delete", ({ items }) => void heard.push(["business", ...items]));
  client.connect();
  await until(() => client.snapshot.state === "authenticated" && !client.snapshot.isFullSyncUnderWay);
  await hub.publish(user, { type: "photo", data: [{ id: 1 }] });
  const receipt = await hub.publish(user, { type: "photo", action: "delete", account: "business", data: { id: 2 } });
  await until(() => heard.length === 2);
  assert.deepEqual(heard, [["personal", { id: 1 }], ["business", { id: 2 }]]);
  await until(async () => (await acks(receipt)) === 1, "acked");
  await assert.rejects(client.command("archive"), { code: "unknown_command" });
});
