// The real socket.io-client in a real Chromium, on pages of another origin. Skipped where there is
// no Chromium.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";

import { Hub } from "./hub.js";
import { EVENTS } from "./immich.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SCRIPTS = {
  "/client.js": new URL("./node_modules/socket.io-client/dist/socket.io.js", import.meta.url),
  "/page.js": new URL("./page.js", import.meta.url),
};
const PAGE = Object.keys(SCRIPTS).map((src) => `<script src="${src}"></script>`).join("");
const WAYS = [["polling", "websocket"], ["websocket"], ["polling"]];

const skip = existsSync(CHROMIUM) ? false : "no Chromium here";
const options = { skip, timeout: 120_000 };

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
    const script = SCRIPTS[request.url];
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? readFileSync(script) : PAGE);
  });
  await new Promise((done) => pages.listen(0, "127.0.0.1", done));
  const set = [
    ["limits.connections_per_user_max", "2000"],
    ["limits.auths_per_minute_max", "0"],
  ];
  [hub, echo, browser] = await Promise.all([
    Hub.start({ set: [...ANY_PAGE, ...set] }),
    Hub.start({ conformance: true }),
    chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] }),
  ]);
});

after(async () => {
  await browser?.close();
  pages?.close();
  await Promise.all([hub?.stop(), echo?.stop()]);
});

beforeEach(async () => {
  if (!skip) page = await newPage();
});

afterEach(async () => {
  await page?.context().close();
});

/** A page with a profile of its own, and `used`: by which transports it spoke to a hub. */
async function newPage() {
  // The pages of the hub allow no scripts but their own.
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  page.used = new Set();
  page.on("websocket", (socket) => socket.url().includes("EIO=4") && page.used.add("websocket"));
  page.on("request", (request) => request.url().includes("transport=polling") && page.used.add("polling"));
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  return page;
}

for (const transports of WAYS) {
  describe(`in Chromium, by ${transports.join(", then ")}`, options, () => {
    it("joins with a token, hears what is published, and acks", async () => {
      const session = `tab-${transports}`;
      const auth = { token: hub.token("alice"), session_id: session };
      await page.evaluate(
        async ([url, options]) => {
          window.socket = client(url, options);
          window.socket.on("added", (data, ack) => ack());
          await next(window.socket, "session");
        },
        [hub.url, { transports, auth }],
      );
      const { body } = await hub.call("POST", `/users/alice/events?wait=acked&timeout_ms=20000`, {
        type: "added",
        data: { id: "a1" },
      });
      assert.ok(body.acked.includes(session), JSON.stringify(body));
      const [began, told] = await page.evaluate(async (last) => {
        await until(last, () => socket.io.engine.transport.name === last);
        return [socket.began, socket.told.at(-1)];
      }, transports.at(-1));
      assert.deepEqual([began, told], [transports[0], ["added", { id: "a1" }]]);
      // Still heard after the upgrade, by what it went to.
      await hub.publish("alice", { type: "added", args: [1, "two", null, { 3: [4] }] });
      await page.evaluate(() => until("the second", () => socket.told.at(-1)[1] === 1));
      assert.deepEqual([...page.used].toSorted(), transports.toSorted());
    });

    it("is refused without a good token: on /socket.io/ by connect_error", async () => {
      for (const auth of [undefined, { token: "no token" }]) {
        const [message, told] = await page.evaluate(
          async ([url, options]) => {
            const socket = client(url, { ...options, reconnection: false });
            const [error] = await next(socket, "connect_error");
            return [error.message, socket.told];
          },
          [hub.url, { transports, auth }],
        );
        assert.deepEqual([message, told], ["unauthorized", []]);
      }
    });

    it("is refused without a good token: on /api/socket.io/ by an event", async () => {
      for (const auth of [undefined, { token: "no token" }]) {
        const [reason, told] = await page.evaluate(
          async ([url, options]) => {
            const socket = client(url, { ...options, path: "/api/socket.io/" });
            const [reason] = await next(socket, "disconnect");
            return [reason, socket.told];
          },
          [hub.url, { transports, auth }],
        );
        assert.deepEqual([reason, told], ["io server disconnect", [["error", "unauthorized"]]]);
      }
    });

    it("sends and receives bytes and acks", async () => {
      const [back, acked, isSame] = await page.evaluate(
        async ([url, options]) => {
          const socket = client(url, options);
          const back = next(socket, "message-back");
          socket.emit("message", new Uint8Array([1, 2, 3]));
          const acked = await socket.emitWithAck("message-with-ack", new Uint8Array([4]));
          const big = "x".repeat(200_000);
          const isSame = (await socket.emitWithAck("message-with-ack", big)) === big;
          return [[...new Uint8Array((await back)[0])], [...new Uint8Array(acked)], isSame];
        },
        [echo.url, { transports }],
      );
      assert.deepEqual([back, acked, isSame], [[1, 2, 3], [4], true]);
    });

    it("hears every event of Immich's with its arguments and nothing else", async () => {
      const token = hub.token("dora");
      await page.evaluate(
        async ([url, options]) => {
          window.socket = await connected(url, options);
        },
        [hub.url, { transports, path: "/api/socket.io/", auth: { token } }],
      );
      await hearsImmich("dora");
    });

    it("goes on after kill -9 of the hub with what was missed", async () => {
      const set = [...ANY_PAGE, ["socketio.recovery", "true"]];
      let other = await Hub.start({ set });
      try {
        await page.evaluate(
          async ([url, options]) => {
            window.socket = await connected(url, options);
            window.gone = new Promise((done) => socket.once("disconnect", done));
          },
          [other.url, { transports, auth: { token: other.token("carol") } }],
        );
        const publish = (n) => other.publish("carol", { type: "added", data: { n } });
        const heard = (count) =>
          page.evaluate(async (count) => {
            await until(`${count} events`, () => socket.told.length >= count);
            return [socket.told.map(([, { n }]) => n), socket.recovered];
          }, count);
        await publish(0);
        assert.deepEqual(await heard(1), [[0], false]);
        other = await other.restart({ set });
        other.own = true;
        await page.evaluate(() => gone);
        for (const n of [1, 2, 3]) await publish(n);
        assert.deepEqual(await heard(4), [[0, 1, 2, 3], true]);
        await publish(4);
        assert.deepEqual(await heard(5), [[0, 1, 2, 3, 4], true]);
      } finally {
        await other.stop();
      }
    });
  });
}

/** Publishes every event of Immich's, and expects `socket` of the page to hear just them, in order. */
async function hearsImmich(user) {
  for (const [type, args] of EVENTS) await hub.publish(user, { type, args });
  const told = await page.evaluate(async (count) => {
    await until("every event", () => socket.told.length >= count);
    return socket.told;
  }, EVENTS.length);
  assert.deepEqual(told, EVENTS.map(([type, args]) => [type, ...args]));
}

describe("in Chromium, as Immich's pages do", options, () => {
  it("joins from the hub's own origin with the cookie alone", async () => {
    const cookie = { name: "immich_access_token", value: hub.token("erin"), url: hub.url };
    await page.context().addCookies([{ ...cookie, httpOnly: true, sameSite: "Lax" }]);
    await page.goto(`${hub.url}/healthz`);
    for (const script of Object.values(SCRIPTS)) await page.addScriptTag({ path: script.pathname });
    await page.evaluate(async () => {
      window.socket = await connected({ path: "/api/socket.io/" });
    });
    await hearsImmich("erin");
  });

  it("on_session_delete reaches that session only", async () => {
    const token = hub.token("frank");
    const id = await page.evaluate(
      async ([url, options]) => {
        [window.socket, window.other] = await Promise.all([connected(url, options), connected(url, options)]);
        return socket.id;
      },
      [hub.url, { path: "/api/socket.io/", auth: { token } }],
    );
    await hub.publish("frank", { type: "on_session_delete", data: id });
    await hub.publish("frank", { type: "last" });
    const told = await page.evaluate(async () => {
      for (const it of [socket, other]) await until("the last", () => it.told.at(-1)?.[0] === "last");
      return [socket.told, other.told];
    });
    assert.deepEqual(told, [[["on_session_delete", id], ["last"]], [["last"]]]);
  });
});

describe("in Chromium, a thousand clients", options, () => {
  // Chromium lets a page have 255 WebSockets at once, whatever hosts they go to.
  const PAGES = 5;
  const EACH = 200;

  it("hear a broadcast", async () => {
    const tabs = await Promise.all(Array.from({ length: PAGES }, newPage));
    try {
      const auth = { token: hub.token("alice") };
      const told = await Promise.all(
        tabs.map((tab) => tab.evaluate(joinMany, [hub.url, { transports: ["websocket"], auth }, EACH])),
      );
      assert.deepEqual(told, Array(PAGES).fill(EACH));
      await hub.call("POST", "/broadcast", { type: "to_all", data: 7 });
      for (const tab of tabs) {
        const heard = await tab.evaluate(async () => {
          await until("the broadcast", () => sockets.every((socket) => socket.told.length > 0));
          return sockets.flatMap((socket) => socket.told);
        });
        assert.deepEqual(heard, Array(EACH).fill(["to_all", 7]));
      }
    } finally {
      for (const tab of tabs) await tab.context().close();
    }
  });

  /** In the page: four at a time, as Chromium slows down pages with many WebSockets under way. */
  async function joinMany([url, options, count]) {
    window.sockets = [];
    let left = count;
    const joinSome = async () => {
      while (left-- > 0) sockets.push(await connected(url, { ...options, reconnection: false }));
    };
    await Promise.all([joinSome(), joinSome(), joinSome(), joinSome()]);
    return sockets.filter((socket) => socket.connected).length;
  }
});
