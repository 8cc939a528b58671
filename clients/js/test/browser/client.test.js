import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Hub, until } from "../hub/hub.js";
import { launch, newContext } from "./browser.js";

let hub, hasty, browser;
before(async () => {
  // Sends again often, and does not give up while a busy machine is at it: what is given up is not
  // applied, a full sync covers it.
  hub = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "200", STAFFETTA_DELIVERY_REDELIVERIES_MAX: "10000" });
  // Gives up after a second, so that a sleep longer than that is short.
  hasty = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "200", STAFFETTA_DELIVERY_REDELIVERIES_MAX: "5" });
  browser = await launch(["--host-resolver-rules=MAP hub.test 127.0.0.1"]);
});
after(async () => {
  await browser?.close();
  await hub?.close();
  await hasty?.close();
});

let users = 0;
const someone = () => `user-${++users}`;

/**
 * A page of the hub's origin with a client of `user`: `device` has the client, its notes, what it
 * applied, and how often it did a full sync.
 */
async function device(context, user, options = {}, at = hub) {
  const page = await context.newPage();
  await page.goto(`${at.url}/healthz`);
  await page.evaluate(start, { token: at.token(user), options });
  return page;
}

/* global window */
async function start({ token, options }) {
  const staffetta = await import("/client/index.js");
  const { withDatabase, spins, ...rest } = options;
  const it = { applied: [], fullSyncs: 0 };
  const upgrade = (/** @type {any} */ db) => db.createObjectStore("counts");
  if (withDatabase) rest.storage = await staffetta.openDatabase({ name: "app", upgrade });
  it.client = staffetta.createClient({ url: "/", getToken: () => token, offline: "replay", backoffMsMin: 100, ...rest });
  it.client.onEvent("added", ({ id }) => void it.applied.push(id));
  it.client.onFullSync(() => void it.fullSyncs++);
  if (withDatabase) {
    it.client.applyIn(["counts"], "added", ({ id }, transaction) => {
      const counts = transaction.objectStore("counts");
      const request = counts.get(id);
      return new Promise((resolve) => {
        request.onsuccess = () => {
          counts.put((request.result ?? 0) + 1, id);
          it.isInside = true;
          if (!spins) return resolve(undefined);
          // Stays inside the transaction until the tab is killed.
          const spin = () => void (counts.get(id).onsuccess = spin);
          spin();
        };
      });
    });
    it.countOf = (id) =>
      new Promise((resolve) => {
        const request = rest.storage.idb.transaction("counts").objectStore("counts").get(id);
        request.onsuccess = () => resolve(request.result ?? 0);
      });
  }
  it.notes = new staffetta.Notes(it.client);
  it.notes.keepLoaded();
  it.lifecycle = new staffetta.Lifecycle({ client: it.client });
  await it.lifecycle.start();
  window.device = it;
}

const isOnline = () =>
  window.device.client.snapshot.state === "authenticated" && !window.device.client.snapshot.isFullSyncUnderWay;
const online = (page) => page.waitForFunction(isOnline);
const applied = (page) => page.evaluate(() => window.device.applied);
/** Ends a page without its last words, such as the acks a page that is closed sends. */
async function crash(context, page) {
  const session = await context.newCDPSession(page);
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  void session.send("Page.crash").catch(() => {});
  await crashed;
  // The browser notices a little later that the tab's session is free; a tab opened before gets another.
  const watch = await context.newPage();
  await watch.goto(`${hub.url}/healthz`);
  await watch.waitForFunction(async () => !(await navigator.locks.query()).held.some(({ name }) => name.includes(":session:")));
  await watch.close();
}
/** Whether a word is in a database of this page. */
async function isStored(word) {
  const answer = (request) => new Promise((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: reject }));
  for (const { name } of await indexedDB.databases()) {
    const database = await answer(indexedDB.open(name));
    try {
      for (const store of database.objectStoreNames) {
        const all = await answer(database.transaction(store).objectStore(store).getAll());
        if (JSON.stringify(all).includes(word)) return true;
      }
    } finally {
      database.close();
    }
  }
  return false;
}
const publish = (user, id, at = hub) => at.publish(user, { type: "added", data: { id } });
const isAcked = async ({ event_id }) => JSON.stringify(await hub.ask(`/api/v1/events/${event_id}/trace`)).includes('"state":"acked"');

test("two pages sync a note in under a second", async () => {
  const user = someone();
  const [first, second] = await Promise.all([newContext(browser), newContext(browser)]);
  const [a, b] = await Promise.all([device(first.context, user), device(second.context, user)]);
  await Promise.all([online(a), online(b)]);
  // Each page looks at the clock itself: what the test and the browser say to each other is not counted.
  await b.evaluate(() => {
    window.device.notes.on("change", ({ note }) => note?.title === "hello" && (window.seenAt ??= Date.now()));
  });
  const startedAt = await a.evaluate(() => {
    const now = Date.now();
    void window.device.notes.create({ id: "n1", title: "hello" });
    return now;
  });
  const seenAt = await b.waitForFunction(() => window.seenAt);
  const took = (await seenAt.jsonValue()) - startedAt;
  assert.ok(took < 1_000, `took ${took} ms`);
  assert.deepEqual([...first.problems, ...second.problems], []);
});

test("an edit made offline is shown, kept, and sent on return", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const other = await newContext(browser);
  const [a, b] = await Promise.all([device(context, user), device(other.context, user)]);
  await Promise.all([online(a), online(b)]);
  await a.evaluate((id) => window.device.notes.create({ id, title: "one" }), user);
  await context.setOffline(true);
  await a.evaluate(() => window.device.client.reconnect());
  await a.waitForFunction(() => window.device.client.snapshot.state !== "authenticated");
  const title = await a.evaluate((id) => {
    void window.device.notes.update(id, { title: "two" });
    return window.device.notes.get(id).title;
  }, user);
  assert.equal(title, "two");
  await a.waitForFunction(() => window.device.client.snapshot.pendingChanges === 1);
  await context.setOffline(false);
  await b.waitForFunction((id) => window.device.notes.get(id)?.title === "two", user);
  await a.waitForFunction(() => window.device.client.snapshot.pendingChanges === 0);
});

test("an edit made offline survives the tab, and is sent by the next", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const a = await device(context, user);
  await online(a);
  await a.evaluate((id) => window.device.notes.create({ id, title: "one" }), user);
  await a.evaluate((id) => {
    window.device.lifecycle.stop();
    window.device.client.disconnect();
    void window.device.notes.update(id, { title: "two" }).catch(() => {});
  }, user);
  await a.waitForFunction(() => window.device.client.snapshot.pendingChanges === 1);
  await a.close();
  const b = await device(context, user);
  await online(b);
  await b.waitForFunction(() => window.device.client.snapshot.pendingChanges === 0);
  const note = await b.evaluate(async (id) => (await window.device.client.fetch(`/api/v1/notes/${id}`)).json(), user);
  assert.equal(note.title, "two");
});

test("a tab killed in the middle of applying: the event is applied exactly once", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const killed = await device(context, user, { withDatabase: true, spins: true });
  await online(killed);
  await publish(user, "p1");
  await killed.waitForFunction(() => window.device.isInside);
  await crash(context, killed);
  const next = await device(context, user, { withDatabase: true });
  await next.waitForFunction(() => window.device.applied.includes("p1"));
  assert.equal(await next.evaluate(() => window.device.countOf("p1")), 1);
});

test("a tab killed between applying and acking: the event is applied exactly once, and acked", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const killed = await device(context, user, { withDatabase: true });
  await online(killed);
  await killed.evaluate(() => void (window.device.client.inbox.options.ackMs = 1e9));
  const receipt = await publish(user, "p1");
  await killed.waitForFunction(() => window.device.applied.includes("p1"));
  await crash(context, killed);
  assert.equal(await isAcked(receipt), false);
  const next = await device(context, user, { withDatabase: true });
  await until(() => isAcked(receipt), "acked");
  assert.equal(await next.evaluate(() => window.device.countOf("p1")), 1);
});

test("kill -9 of the hub: both pages come back without a reload, and nothing is lost", async () => {
  const user = someone();
  const contexts = await Promise.all([newContext(browser), newContext(browser)]);
  const pages = await Promise.all(contexts.map(({ context }) => device(context, user)));
  await Promise.all(pages.map(online));
  await publish(user, "before");
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.device.applied.length === 1)));
  await hub.stop("SIGKILL");
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.device.client.snapshot.state !== "authenticated")));
  await hub.run();
  const receipt = await publish(user, "after");
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.device.applied.length === 2)));
  for (const page of pages) assert.deepEqual(await applied(page), ["before", "after"]);
  await until(() => isAcked(receipt), "acked");
});

test("a page that sleeps for longer than the hub waits does a full sync when it wakes", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const page = await device(context, user, {}, hasty);
  await online(page);
  const before = await page.evaluate(() => window.device.fullSyncs);
  const session = await context.newCDPSession(page);
  // Headless pages cannot be frozen; a paused one runs nothing either, not even its timers.
  await session.send("Debugger.enable");
  await session.send("Debugger.pause");
  const receipt = await publish(user, "p1", hasty);
  const hasGivenUp = async () => JSON.stringify(await hasty.ask(`/api/v1/events/${receipt.event_id}/trace`)).includes("gave_up");
  await until(hasGivenUp, "given up");
  await session.send("Debugger.resume");
  await session.send("Debugger.disable");
  await page.waitForFunction((count) => window.device.fullSyncs > count, before);
  await online(page);
});

test("tabs share one connection; when its tab is closed, another has it", async () => {
  const user = someone();
  const { context, problems } = await newContext(browser);
  const pages = [];
  for (let index = 0; index < 3; index += 1) pages.push(await device(context, user, { shared: true }));
  await Promise.all(pages.map(online));
  const sessions = () => hub.ask(`/api/v1/users/${user}/sessions`);
  assert.equal((await sessions()).length, 1);
  await publish(user, "p1");
  await Promise.all(pages.map((page) => page.waitForFunction(() => window.device.applied.length === 1)));
  await pages[0].close();
  await pages[1].waitForFunction(() => window.device.client.isLeader);
  await Promise.all(pages.slice(1).map(online));
  await publish(user, "p2");
  for (const page of pages.slice(1)) {
    await page.waitForFunction(() => window.device.applied.length === 2);
    assert.deepEqual(await applied(page), ["p1", "p2"]);
  }
  assert.equal((await sessions()).length, 1);
  assert.deepEqual(problems, []);
});

test("tabs that share a connection show each other's notes; the crash of the connected one loses nothing", async () => {
  const user = someone();
  const { context } = await newContext(browser);
  const [a, b] = [await device(context, user, { shared: true }), await device(context, user, { shared: true })];
  await Promise.all([a, b].map(online));
  const title = (page, wanted) => page.waitForFunction((wanted) => window.device.notes.get("shared")?.title === wanted, wanted);
  await b.evaluate(() => window.device.notes.create({ id: "shared", title: "one" }));
  await title(a, "one");
  await a.evaluate(() => window.device.notes.update("shared", { title: "two" }));
  await title(b, "two");
  const late = await device(context, user, { shared: true });
  await title(late, "two");
  // The change is asked of a tab that crashes before the hub has it.
  const session = await context.newCDPSession(a);
  await hub.stop("SIGKILL");
  const taken = b.evaluate(() => window.device.notes.update("shared", { title: "three" }).then(() => "taken"));
  await b.waitForFunction(() => window.device.client.pendingFrames.length === 1);
  void session.send("Page.crash").catch(() => {});
  await new Promise((resolve) => a.once("crash", resolve));
  await hub.run();
  assert.equal(await taken, "taken");
  await title(late, "three");
  const other = await device((await newContext(browser)).context, user);
  await title(other, "three");
});

test("a reload in the same session has the notes, and the queue in order", async () => {
  const user = someone();
  const { context, problems } = await newContext(browser);
  const page = await device(context, user);
  await online(page);
  for (const id of ["r", "s"]) await page.evaluate((id) => window.device.notes.create({ id, title: "0" }), id);
  await page.evaluate(() => {
    window.device.lifecycle.stop();
    window.device.client.disconnect();
    // An edit of another note in between: what waits in a row for one note is one change.
    for (let count = 1; count <= 20; count += 1) void window.device.notes.update(count === 10 ? "s" : "r", { title: String(count), [`f${count}`]: count }).catch(() => {});
  });
  await page.waitForFunction(() => window.device.client.snapshot.pendingChanges === 3);
  // A reload keeps what is on the disk by then.
  await page.waitForFunction(isStored, "f20");
  await page.goto(`${hub.url}/healthz`);
  await page.evaluate(start, { token: hub.token(user), options: {} });
  await online(page);
  await page.waitForFunction(() => window.device.client.snapshot.pendingChanges === 0);
  await page.waitForFunction(() => window.device.notes.get("r")?.title === "20");
  const note = await page.evaluate(() => window.device.notes.get("r"));
  assert.deepEqual([note.title, note.f1, note.f10, note.f20], ["20", 1, undefined, 20]);
  assert.deepEqual(problems, []);
});

test("without Web Locks, as over plain http, each tab is a session of its own and has it again after a reload", async () => {
  const user = someone();
  const { context, problems } = await newContext(browser);
  const plain = { url: hub.url.replace("127.0.0.1", "hub.test"), token: (user) => hub.token(user) };
  const pages = [await device(context, user, {}, plain), await device(context, user, {}, plain)];
  assert.deepEqual(await pages[0].evaluate(() => [isSecureContext, typeof navigator.locks]), [false, "undefined"]);
  await Promise.all(pages.map(online));
  await publish(user, "p1");
  const has = (page, id) => page.waitForFunction((id) => window.device.applied.includes(id), id);
  const sessionOf = (page) => page.evaluate(() => window.device.client.snapshot.sessionId);
  await Promise.all(pages.map((page) => has(page, "p1")));
  const [first, second] = await Promise.all(pages.map(sessionOf));
  assert.notEqual(first, second);
  await pages[0].goto(`${plain.url}/healthz`);
  await pages[0].evaluate(start, { token: hub.token(user), options: {} });
  await Promise.all(pages.map(online));
  await publish(user, "p2");
  await Promise.all(pages.map((page) => has(page, "p2")));
  assert.deepEqual(await Promise.all(pages.map(sessionOf)), [first, second]);
  // Chromium's word on a header that plain http has no use for.
  assert.deepEqual(problems.filter((problem) => !problem.includes("Opener-Policy")), []);
});

test("an application of another origin may import the client and fetch its notes", async () => {
  const user = someone();
  const { context, problems } = await newContext(browser);
  const other = await Hub.start();
  const far = await Hub.start({ STAFFETTA_SERVER_ALLOWED_ORIGINS: JSON.stringify([other.url]) });
  try {
    const page = await context.newPage();
    await page.goto(`${other.url}/healthz`);
    const titles = await page.evaluate(async ({ url, token }) => {
      for (const path of ["/client", "/client/index.js"]) await import(url + path);
      const { Client, MemoryKeyValue, Notes } = await import(`${url}/client/index.js`);
      const client = new Client({ url, getToken: () => token, storage: new MemoryKeyValue(), catchUp: true });
      const notes = new Notes(client);
      notes.keepLoaded();
      client.connect();
      await notes.create({ id: "far", title: "away" });
      await notes.load();
      await client.catchUp();
      return notes.all.map(({ title, version }) => `${title} ${version}`);
    }, { url: far.url, token: far.token(user) });
    assert.deepEqual(titles, ["away 1"]);
    assert.deepEqual(problems, []);
  } finally {
    await far.close();
    await other.close();
  }
});
