// The real socket.io-client in a real Chromium, on a page of another origin. Skipped where there is
// no Chromium.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";

import { Hub } from "./hub.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const CLIENT = new URL("./node_modules/socket.io-client/dist/socket.io.js", import.meta.url);
const skip = existsSync(CHROMIUM) ? false : "no Chromium here";

const ANY_PAGE = [["server.allowed_origins", '["*"]']];

let browser;
let hub;
let echo;
let pages;
let page;

before(async () => {
  if (skip) return;
  const { chromium } = await import("playwright-core");
  pages = createServer((request, response) => {
    const isScript = request.url === "/client.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? readFileSync(CLIENT) : '<script src="/client.js"></script>');
  });
  await new Promise((done) => pages.listen(0, "127.0.0.1", done));
  [hub, echo, browser] = await Promise.all([
    Hub.start({ set: ANY_PAGE }),
    Hub.start({ conformance: true }),
    chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] }),
  ]);
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
});

after(async () => {
  await browser?.close();
  pages?.close();
  await Promise.all([hub?.stop(), echo?.stop()]);
});

for (const transports of [["polling", "websocket"], ["websocket"], ["polling"]]) {
  describe(`in Chromium, by ${transports.join(", then ")}`, { skip }, () => {
    it("joins with a token, hears what is published, and acks", async () => {
      const auth = { token: hub.token("alice"), session_id: `tab-${transports}` };
      await page.evaluate(
        async ([url, options]) => {
          window.socket = io(url, { ...options, forceNew: true });
          window.heard = new Promise((done) => {
            window.socket.on("added", (data, ack) => {
              ack();
              done(data);
            });
          });
          await new Promise((done) => window.socket.once("session", done));
        },
        [hub.url, { transports, auth }],
      );
      const answered = await hub.call("POST", "/users/alice/events?wait=acked&timeout_ms=5000", {
        type: "added",
        data: { id: "a1" },
      });
      assert.deepEqual(await page.evaluate(() => window.heard), { id: "a1" });
      assert.ok(answered.body.acked.includes(`tab-${transports}`), JSON.stringify(answered.body));
      const name = await page.evaluate(async () => {
        const { engine } = window.socket.io;
        if (engine.opts.transports.length > 1 && engine.transport.name === "polling") {
          await new Promise((done) => engine.once("upgrade", done));
        }
        const { name } = engine.transport;
        window.socket.disconnect();
        return name;
      });
      assert.equal(name, transports.at(-1));
    });

    it("is refused without a token", async () => {
      const message = await page.evaluate(
        ([url, options]) =>
          new Promise((done) => {
            const socket = io(url, { ...options, forceNew: true, reconnection: false });
            socket.once("connect_error", (error) => {
              socket.disconnect();
              done(error.message);
            });
          }),
        [hub.url, { transports }],
      );
      assert.equal(message, "unauthorized");
    });

    it("sends and receives bytes and acks", async () => {
      const [back, acked] = await page.evaluate(
        async ([url, options]) => {
          const socket = io(url, { ...options, forceNew: true });
          const back = new Promise((done) => socket.once("message-back", done));
          socket.emit("message", new Uint8Array([1, 2, 3]));
          const acked = await socket.emitWithAck("message-with-ack", new Uint8Array([4]));
          const bytes = [...new Uint8Array(await back)];
          socket.disconnect();
          return [bytes, [...new Uint8Array(acked)]];
        },
        [echo.url, { transports }],
      );
      assert.deepEqual([back, acked], [[1, 2, 3], [4]]);
    });
  });
}
