// What a visitor of the demo does. With STAFFETTA_SHOTS=<folder> the pictures of the README are
// taken on the way.

import assert from "node:assert/strict";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Hub } from "../hub/hub.js";
import { launch, newContext } from "./browser.js";

let hub, browser;
before(async () => {
  hub = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "600" });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await hub?.close();
});

const shots = process.env.STAFFETTA_SHOTS;
const shoot = async (page, name, options) =>
  shots && page.screenshot({ path: join(shots, `${name}.png`), ...options });

async function visit(options, on = hub) {
  const { context, problems } = await newContext(browser, { viewport: { width: 1100, height: 860 }, ...options });
  const page = await context.newPage();
  await page.goto(`${on.url}/demo`);
  return { page, problems };
}

async function signIn(page, name) {
  await page.fill("#name", name);
  await page.click("text=Start");
  for (const device of ["Phone", "Laptop"]) await page.waitForSelector(`[data-device=${device}][data-status=authenticated]`);
}

const tiles = (page, device, count) =>
  page.waitForFunction(([device, count]) => document.querySelectorAll(`[data-device=${device}] .tile`).length === count, [device, count]);
const latest = (page) => page.locator("#trail tr").first();

test("photos: a cut network, killed acks, and a trail that tells", async () => {
  const { page, problems } = await visit({ colorScheme: "light" });
  await signIn(page, "Ada");
  for (let count = 1; count <= 3; count += 1) {
    await page.click("#upload");
    await tiles(page, "Phone", count);
    await tiles(page, "Laptop", count);
  }
  assert.match(await latest(page).textContent(), /published.*sent.*acked/);
  await page.locator("[data-device=Phone] .network").setChecked(false);
  await page.waitForSelector("[data-device=Phone][data-status=disconnected]");
  await page.locator("[data-device=Laptop] .acks").setChecked(false);
  for (let count = 4; count <= 6; count += 1) {
    await page.click("#upload");
    await tiles(page, "Laptop", count);
  }
  await latest(page).locator("td:nth-child(3) >> text=/retried ×[2-9]/").waitFor();
  assert.match(await latest(page).locator("td").first().textContent(), /waits in the hub/);
  await tiles(page, "Phone", 3);
  await shoot(page, "demo-photos");
  await page.locator("[data-device=Phone] .network").setChecked(true);
  await page.locator("[data-device=Laptop] .acks").setChecked(true);
  await tiles(page, "Phone", 6);
  await latest(page).locator("td:nth-child(3) >> text=acked").waitFor();
  await page.locator("[data-device=Laptop] .tile button").first().click();
  await tiles(page, "Phone", 5);
  assert.deepEqual(problems, []);
});

test("notes: what is typed on one device is on the other, offline edits come later", async () => {
  const { page, problems } = await visit({ colorScheme: "dark" });
  await signIn(page, "Bruno");
  await page.click("#tab-notes");
  const text = (device) => page.locator(`[data-device=${device}] .content`);
  const has = (device, value) =>
    page.waitForFunction(([device, value]) => document.querySelector(`[data-device=${device}] .content`).value.includes(value), [device, value]);
  await has("Laptop", "Bread");
  await text("Phone").click();
  await text("Phone").press("Control+End");
  await page.keyboard.type("Fresh pasta and parmigiano", { delay: 15 });
  await has("Laptop", "parmigiano");
  await page.waitForSelector("[data-device=Laptop] .caret");
  assert.match(await page.textContent("[data-device=Laptop] .presence"), /2 devices are here. Phone is typing/);
  // The cursor is told of at most every 600 ms.
  await page.waitForTimeout(shots ? 900 : 0);
  await shoot(page, "demo-notes");
  await page.locator("[data-device=Laptop] .network").setChecked(false);
  await text("Laptop").click();
  await text("Laptop").press("Control+Home");
  await page.keyboard.type("Coffee\n");
  await page.locator("[data-device=Laptop] >> text=/change.* wait/").waitFor();
  assert.equal(await page.textContent("[data-device=Laptop] .presence"), "", "nobody knows while offline");
  assert.equal(await page.locator("[data-device=Laptop] .caret").count(), 0);
  await text("Phone").press("Control+End");
  await page.keyboard.type(" and basil");
  await latest(page).locator("td:nth-child(3) >> text=waits in the hub").waitFor();
  assert.equal(await latest(page).locator("td:nth-child(2)").textContent(), "made here");
  await page.locator("[data-device=Laptop] .network").setChecked(true);
  await has("Phone", "Coffee");
  assert.deepEqual(problems, []);
});

test("a device that never acks is given up, and does a full sync: the trail says so", async () => {
  const impatient = await Hub.start({ STAFFETTA_DELIVERY_ACK_WAIT_MS: "200", STAFFETTA_DELIVERY_REDELIVERIES_MAX: "3" });
  try {
    const { page, problems } = await visit({}, impatient);
    await signIn(page, "Carla");
    await page.locator("[data-device=Laptop] .acks").setChecked(false);
    await page.click("#upload");
    await latest(page).locator("td:nth-child(3) >> text=full sync").waitFor();
    assert.match(await latest(page).locator("td:nth-child(2)").textContent(), /acked/);
    await tiles(page, "Laptop", 1);
    assert.deepEqual(problems, []);
  } finally {
    await impatient.close();
  }
});

test("a photo that is not published is said to be so", async () => {
  const { page, problems } = await visit();
  await signIn(page, "Dario");
  await page.route("**/demo/photos", (route) => route.abort());
  await page.click("#upload");
  await page.locator("#failure >> text=/Not published/").waitFor();
  await page.unroute("**/demo/photos");
  await page.click("#upload");
  await tiles(page, "Phone", 1);
  assert.equal(await page.locator("#failure").isVisible(), false);
  // What Chromium itself says of a request that failed.
  assert.deepEqual(problems.filter((problem) => !problem.startsWith("Failed to load resource")), []);
});

/** The status of a sign-in with these headers. */
function signInWith(headers) {
  return new Promise((resolve, reject) => {
    const asking = request(`${hub.url}/demo/token`, { method: "POST", headers: { "Content-Type": "application/json", ...headers } });
    asking.on("response", (response) => resolve(response.resume().statusCode)).on("error", reject);
    asking.end('{"name":"Ada"}');
  });
}

test("a page of another site, or of another port, gets no token", async () => {
  assert.equal(await signInWith({}), 200);
  for (const headers of [
    { Origin: "http://elsewhere.test" }, { Origin: "null" }, { "Sec-Fetch-Site": "cross-site" },
    { "Sec-Fetch-Site": "same-site" }, { Host: "elsewhere.test:3000" }, { "X-Forwarded-For": "10.0.0.1" },
  ]) assert.equal(await signInWith(headers), 403, JSON.stringify(headers));
  assert.equal(await signInWith({ "Content-Type": "text/plain" }), 405);
  const other = await Hub.start();
  try {
    const { page } = await visit({}, other);
    const answer = await page.evaluate(
      (url) => fetch(`${url}/demo/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"name":"Ada"}' }).then(({ status }) => status, () => "refused"),
      hub.url,
    );
    assert.equal(answer, "refused");
  } finally {
    await other.close();
  }
});

test("it fits a small screen, and works by keyboard", async () => {
  const { page, problems } = await visit({ viewport: { width: 360, height: 740 } });
  const card = await page.locator("#sign-in").boundingBox();
  assert.deepEqual([card.x, card.x + card.width], [12, 348], "as far from the left as from the right");
  await page.focus("#name");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-device=Laptop][data-status=authenticated]");
  await page.focus("#upload");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-device=Phone] .tile");
  for (const name of ["Phone", "Laptop"]) {
    const device = page.getByRole("region", { name, exact: true });
    for (const name of ["Network", "Acks"]) assert.equal(await device.getByRole("switch", { name }).count(), 1);
  }
  await page.focus("#tab-photos");
  await page.keyboard.press("ArrowRight");
  await page.waitForSelector("[data-device=Phone] .content");
  for (const tab of ["notes", "photos"]) {
    await page.click(`#tab-${tab}`);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.equal(width, 360, `the ${tab} page is ${width} px wide`);
  }
  await page.waitForTimeout(shots ? 600 : 0);
  await shoot(page, "demo-small", { fullPage: true });
  assert.deepEqual(problems, []);
});

test("a hub with keys of its own has no demo, unless it is switched on", async () => {
  const keys = await Hub.start({ STAFFETTA_AUTH_KEYS: '[{ algorithm = "HS256", secret = "a-real-key-of-thirty-two-bytes-or-more" }]' });
  try {
    assert.equal((await fetch(`${keys.url}/demo/`)).status, 404);
  } finally {
    await keys.close();
  }
});

test("a hub with keys of its own signs nobody in", async () => {
  const keys = await Hub.start({ STAFFETTA_AUTH_KEYS: '[{ algorithm = "HS256", secret = "a-real-key-of-thirty-two-bytes-or-more" }]', STAFFETTA_DEMO_ENABLED: "on" });
  try {
    const { context } = await newContext(browser);
    const page = await context.newPage();
    await page.goto(`${keys.url}/demo`);
    await page.click("text=Start");
    await page.waitForSelector("#problem:not(:empty)");
    assert.match(await page.textContent("#problem"), /keys of its own/);
  } finally {
    await keys.close();
  }
});
