// A real browser: Debian's Chromium, driven by playwright-core.

import { existsSync } from "node:fs";

import { chromium } from "playwright-core";

const PLACES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts it; every page's errors are collected in `problems`. */
export async function launch(args = []) {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) throw new Error("there is no Chromium: apt-get install chromium");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage", ...args] });
}

/** A device of its own: storage, locks and all. */
export async function newContext(browser, options = {}) {
  const context = await browser.newContext(options);
  const problems = [];
  context.on("weberror", (it) => problems.push(String(it.error())));
  context.on("console", (message) => {
    // A page without an icon of its own is asked for one.
    const isIcon = message.location().url.endsWith("/favicon.ico");
    if (message.type() === "error" && !isIcon) problems.push(message.text());
  });
  return { context, problems };
}
