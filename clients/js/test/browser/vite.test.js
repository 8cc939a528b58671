// A fresh Vite and React application installs the packed client, and works in Chromium. Needs the
// npm registry.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";

import { Hub } from "../hub/hub.js";
import { launch, newContext } from "./browser.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const VITE = "8.3.8";

let hub, browser, folder, preview;
before(async () => {
  hub = await Hub.start();
  browser = await launch();
  folder = await mkdtemp(join(tmpdir(), "staffetta-vite-"));
});
after(async () => {
  preview?.kill();
  await browser?.close();
  await hub?.close();
  await rm(folder, { recursive: true, force: true });
});

const MAIN = `
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createClient } from "staffetta";
import { StaffettaProvider, SyncIndicator, useNote, useNotes, WebSocketStatus } from "staffetta/react";
import "staffetta/react/status.css";

const token = new URLSearchParams(location.search).get("token");
const client = createClient({ url: "/", getToken: () => token, attemptsBeforeError: 2, backoffMsMin: 200 });

function Present({ id }) {
  return <p>{useNote(id).present.map(({ connections }) => connections + " here").join()}</p>;
}

function Notes() {
  const { notes, createNote, updateNote } = useNotes();
  return (
    <>
      <button onClick={() => createNote({ id: crypto.randomUUID(), title: "" })}>New</button>
      {notes.map((note) => (
        <div key={note.id}>
          <input value={note.title} onChange={(e) => updateNote(note.id, { title: e.target.value })} />
          <Present id={note.id} />
        </div>
      ))}
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <StaffettaProvider client={client}>
      <WebSocketStatus showDetails />
      <SyncIndicator />
      <Notes />
    </StaffettaProvider>
  </StrictMode>,
);
`;

/** Keeps every state the status component shows. */
function watchStates() {
  window.shown = new Set();
  const look = () => window.shown.add(document.querySelector(".staffetta-status")?.dataset.status);
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
}

/** Makes the application and serves it; its address. */
async function build() {
  const run = (command, args, cwd = folder) => execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const [{ filename }] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], root).match(/^\[[\s\S]*/m)[0]);
  const { react, "react-dom": dom } = devDependencies;
  const dependencies = { react, "react-dom": dom, staffetta: `file:${filename}` };
  const files = {
    "package.json": JSON.stringify({ name: "app", private: true, type: "module", dependencies, devDependencies: { vite: VITE } }),
    "vite.config.js": `const hub = ${JSON.stringify(hub.url)};
      export default { preview: { host: "127.0.0.1", port: 0, proxy: { "/ws": { target: hub, ws: true }, "/api": hub } }, esbuild: { jsx: "automatic" } };`,
    "index.html": `<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/src/main.jsx"></script></html>`,
    "src/main.jsx": MAIN,
  };
  await mkdir(join(folder, "src"));
  for (const [path, text] of Object.entries(files)) await writeFile(join(folder, path), text);
  run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline"]);
  const vite = join(folder, "node_modules/vite/bin/vite.js");
  run(process.execPath, [vite, "build"]);
  preview = spawn(process.execPath, [vite, "preview"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NO_COLOR: "1" } });
  let said = "";
  return new Promise((resolve, reject) => {
    preview.stdout.on("data", (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (found) resolve(found[0]);
    });
    preview.on("exit", (code) => reject(new Error(`vite ended with ${code}: ${said}`)));
  });
}

test("a fresh Vite and React application installs the package and syncs", async () => {
  const address = await build();
  const { context, problems } = await newContext(browser);
  const other = await newContext(browser);
  const open = async (context) => {
    const page = await context.newPage();
    await page.addInitScript(watchStates);
    await page.goto(`${address}/?token=${hub.token("vera")}`);
    await page.waitForSelector("text=Live");
    return page;
  };
  const [a, b] = [await open(context), await open(other.context)];
  await a.click("text=New");
  await b.waitForSelector("input");
  // Who made the note is in its room as well as who heard of it, and nobody was refused.
  for (const page of [a, b]) {
    await page.waitForSelector("text=2 here");
    assert.equal(await page.locator("[role=alert]").count(), 0);
  }
  await a.fill("input", "Pane e olive");
  await b.waitForFunction(() => document.querySelector("input").value === "Pane e olive");
  const { context: fresh } = await newContext(browser);
  const c = await open(fresh);
  await c.waitForFunction(() => document.querySelector("input")?.value === "Pane e olive");
  // A reload comes back in its session: no full sync is due, and the notes are there.
  await a.reload();
  await a.waitForFunction(() => document.querySelector("input")?.value === "Pane e olive");
  assert.deepEqual([...problems, ...other.problems], []);
  // The status component follows the hub.
  await hub.stop("SIGKILL");
  await a.waitForSelector(".staffetta-status[data-status=error] >> text=Cannot connect");
  await hub.run();
  await a.waitForSelector(".staffetta-status[data-status=authenticated] >> text=Live");
  const shown = await a.evaluate(() => [...window.shown].filter(Boolean));
  assert.deepEqual(shown.sort(), ["authenticated", "connected", "connecting", "disconnected", "error", "reconnecting"]);
});
