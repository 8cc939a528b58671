// What a visitor of the demo does. With STAFFETTA_SHOTS=<folder> the pictures of the README are
// taken on the way.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";

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

async function visit(options) {
  const { context, problems } = await newContext(browser, { viewport: { width: 1100, height: 860 }, ...options });
  const page = await context.newPage();
  await page.goto(`${hub.url}/demo`);
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
  await page.locator("[data-device=Laptop] .network").setChecked(true);
  await has("Phone", "Coffee");
  assert.deepEqual(problems, []);
});

test("it fits a small screen, and works by keyboard", async () => {
  const { page, problems } = await visit({ viewport: { width: 360, height: 740 } });
  await page.focus("#name");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-device=Laptop][data-status=authenticated]");
  await page.focus("#upload");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-device=Phone] .tile");
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

test("a hub with keys of its own signs nobody in", async () => {
  const keys = await Hub.start({ STAFFETTA_AUTH_KEYS: '[{ algorithm = "HS256", secret = "a-real-key-of-thirty-two-bytes-or-more" }]', STAFFETTA_DEMO_ENABLED: "on" });
  try {
    const { context } = await newContext(browser);
    const page = await context.newPage();
    await page.goto(`${keys.url}/demo`);
    await page.click("text=Start");
    assert.match(await page.textContent("#problem"), /keys of its own/);
  } finally {
    await keys.close();
  }
});
