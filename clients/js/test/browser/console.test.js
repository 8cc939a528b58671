// The console in a real Chromium, beside real devices: what it shows, what it does, who may see it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { Hub, until } from "../hub/hub.js";
import { launch, newContext } from "./browser.js";

const KEY = "a-key-for-tests-only-0123456789abcdef";

let hub, browser;
before(async () => {
  hub = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "400", STAFFETTA_DELIVERY_REDELIVERIES_MAX: "1000" });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await hub?.close();
});

const shots = process.env.STAFFETTA_SHOTS;
const shoot = async (page, name, options) =>
  shots && page.screenshot({ path: join(shots, `${name}.png`), ...options });

/** A device that acks, or does not, and remembers what it heard. */
function device(user, session, { acks = true, on = hub } = {}) {
  const socket = new WebSocket(`${on.url.replace("http", "ws")}/ws`);
  const heard = [];
  socket.on("open", () =>
    socket.send(JSON.stringify({ type: "auth", token: on.token(user), session_id: session, offline: "replay" })));
  socket.on("message", (text) => {
    const frame = JSON.parse(text);
    heard.push(frame);
    if (acks && frame.seq) socket.send(JSON.stringify({ type: "ack", event_id: frame.event_id }));
  });
  const isIn = until(() => heard.some(({ type }) => type === "auth_ok"), `${session} is signed in`);
  let code = null;
  socket.on("close", (given) => (code = given));
  const closed = () => until(() => code, `${session} is closed`);
  return { socket, heard, isIn, closed };
}

async function open(options, on = hub) {
  const { context, problems } = await newContext(browser, { viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  await page.goto(`${on.url}/console`);
  await page.fill("#key", KEY);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#status[data-status=authenticated]");
  return { page, problems };
}

const figure = (page, name) => page.locator(`#figures div:has(dt:text-is("${name}")) dd`);
const shows = (page, name, pattern) =>
  until(async () => pattern.test(await figure(page, name).textContent()), `${name} shows ${pattern}`);

async function findUser(page, user) {
  await page.fill("#user", user);
  await page.press("#user", "Enter");
}

test("it shows what happens, finds users and events, and acts on sessions", async () => {
  const { page, problems } = await open({ colorScheme: "light" });
  const phone = device("alice", "phone");
  const mute = device("alice", "tablet-that-never-acks", { acks: false });
  await Promise.all([phone.isIn, mute.isIn]);
  await shows(page, "Connections", /^3$/);
  const load = setInterval(() => void hub.publish("alice", { type: "added", data: { id: "1" } }).catch(() => {}), 150);
  try {
    await shows(page, "Published / s", /^\d/);
    await shows(page, "Acked / s", /^[1-9]/);
    await shows(page, "Redelivered / s", /^[1-9]/);
    await shows(page, "Publish → acked p99", /ms|s$/);
    await page.waitForFunction(() => /Published [1-9]/.test(document.querySelector("#charts [role=img]").getAttribute("aria-label")));
    await findUser(page, "alice");
    await page.locator("#sessions li", { hasText: "phone" }).locator("text=live").waitFor();
    await page.click("#publish button");
    await page.locator("#deliveries li", { hasText: "phone" }).locator("text=acked >> nth=0").waitFor();
    await page.locator("#deliveries li", { hasText: "never-acks" }).locator("text=retried >> nth=0").waitFor();
    assert.match(await page.locator("#deliveries li", { hasText: "phone" }).textContent(), /published.*durable.*sent.*acked/);
    await page.waitForTimeout(shots ? 25_000 : 0);
    await shoot(page, "console-light", { fullPage: true });
  } finally {
    clearInterval(load);
  }
  await page.getByRole("button", { name: "Force full sync: tablet-that-never-acks" }).click();
  await page.click("#confirm-yes");
  assert.equal(await mute.closed(), 1001);
  await page.locator("#done", { hasText: "full sync" }).waitFor();
  await page.locator("#sessions >> text=needs full sync").waitFor();
  await page.locator("#closes >> text=1001 going away").waitFor();
  await page.getByRole("button", { name: "Revoke: phone" }).click();
  await page.keyboard.press("Escape");
  assert.equal(phone.socket.readyState, WebSocket.OPEN, "nothing is done unless it is confirmed");
  await page.getByRole("button", { name: "Revoke: phone" }).click();
  await page.click("#confirm-yes");
  assert.equal(await phone.closed(), 4403);
  await page.locator("#closes >> text=4403 session revoked").waitFor();
  await page.reload();
  await page.waitForSelector("#status[data-status=authenticated]");
  await page.locator("#sessions >> text=tablet-that-never-acks").waitFor();
  assert.deepEqual(problems, []);
});

test("it fits a small screen, works by keyboard, and follows the hub through a restart", async () => {
  const { page, problems } = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
  const phone = device("bruno", "a-phone-with-a-rather-long-name-0123456789");
  await phone.isIn;
  await hub.publish("bruno", { type: "added", data: { id: "1" } });
  await page.focus("#user");
  await page.keyboard.type("bruno");
  await page.keyboard.press("Enter");
  await page.locator("#sessions >> text=a-phone").waitFor();
  await page.focus("#publish-type");
  await page.keyboard.press("Enter");
  await page.locator("#deliveries >> text=acked >> nth=0").waitFor();
  await page.waitForTimeout(shots ? 4_000 : 0);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(width, 360, `the page is ${width} px wide`);
  await shoot(page, "console-small", { fullPage: true });
  await page.fill("#publish-data", "{");
  await page.press("#publish-data", "Enter");
  await page.locator("#user-problem >> text=not JSON").waitFor();
  await hub.stop();
  await page.waitForSelector("#status:not([data-status=authenticated])");
  await hub.run();
  await page.waitForSelector("#status[data-status=authenticated]");
  await shows(page, "Connections", /^[1-9]/);
  // What Chromium itself says of a hub that is not there.
  assert.deepEqual(problems.filter((problem) => !/WebSocket connection|Failed to load resource/.test(problem)), []);
});

test("it shows each node of a cluster at any width, and how many answered", async () => {
  for (const width of [1280, 360]) {
    const { page, problems } = await open({ viewport: { width, height: 740 } });
    await shows(page, "Connections", /^\d/);
    assert.equal(await page.isVisible("#nodes-card"), false, "one node has no rows");
    const node = (name, published, lag_ms) =>
      ({ name, slots: 128, lag_ms, published, connections_native: 7, connections_updates: 2, connections_socketio: 1 });
    const beats = [
      { at: 1_000, nodes: [node("a", 100, 0), node("b", 50, 2)], nodes_known: 2 },
      { at: 2_000, nodes: [node("a", 142, 0), node("b-with-a-rather-long-name-0123456789", 3, 1_500)], nodes_known: 3 },
    ];
    // At once: the next beat of this hub has no nodes.
    const shown = await page.evaluate(async (beats) => {
      const { NodeTable } = await import(new URL("nodes.js", document.baseURI).href);
      const table = new NodeTable();
      for (const beat of beats) table.show(beat);
      return {
        rows: [...document.querySelectorAll("#nodes tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent)),
        answered: document.getElementById("nodes-answered").textContent,
        isVisible: document.getElementById("nodes-card").checkVisibility(),
        width: document.documentElement.scrollWidth,
      };
    }, beats);
    assert.deepEqual(shown, {
      rows: [["a", "128", "10", "42", "0 ms"], ["b-with-a-rather-long-name-0123456789", "128", "10", "–", "1.5 s"]],
      answered: "2 of 3 answered",
      isVisible: true,
      width,
    });
    assert.deepEqual(problems, []);
    await page.context().close();
  }
});

test("a key that may not administer opens nothing, and users hear nothing of it", async () => {
  const { page } = await open();
  const user = device("carla", "phone");
  await user.isIn;
  await shows(page, "Published / s", /^\d/);
  assert.ok(!user.heard.some(({ type }) => type === "console_stats"));
  const reserved = device("staffetta:console", "phone");
  reserved.isIn.catch(() => {});
  assert.equal(await reserved.closed(), 4401, "no token speaks for the console");
  const { context } = await newContext(browser);
  const other = await context.newPage();
  await other.goto(`${hub.url}/console`);
  for (const key of ["nonsense", hub.token("carla")]) {
    await other.fill("#key", key);
    await other.press("#key", "Enter");
    await other.waitForSelector("#problem:not([hidden])");
    assert.equal(await other.isVisible("#stage"), false);
  }
  user.socket.close();
});

test("a hub whose console is switched off has none", async () => {
  const off = await Hub.start({ STAFFETTA_CONSOLE_ENABLED: "off" });
  try {
    assert.equal((await fetch(`${off.url}/console/`)).status, 404);
    await assert.rejects(off.ask("/api/v1/console/ticket", "POST"), /404/);
  } finally {
    await off.close();
  }
});
