// Engine.IO 4, case by case as the official protocol test suite has them, and more.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";

import { Hub, sleep } from "./hub.js";
import { Raw, closing } from "./raw.js";

const PING_INTERVAL = 300;
const PING_TIMEOUT = 200;

let hub;
let url;
let ws;

before(async () => {
  hub = await Hub.start({ conformance: true });
  url = `${hub.url}/engine.io/`;
  ws = `${hub.ws}/engine.io/`;
});

after(() => hub.stop());

async function open() {
  const response = await fetch(`${url}?EIO=4&transport=polling`);
  return JSON.parse((await response.text()).slice(1)).sid;
}

const at = (sid) => `${url}?EIO=4&transport=polling&sid=${sid}`;
const poll = (sid, init) => fetch(at(sid), init);
const post = (sid, body) => fetch(at(sid), { method: "POST", body });

async function openWs() {
  const raw = new Raw(`${ws}?EIO=4&transport=websocket`);
  const open = await raw.take();
  return { raw, sid: JSON.parse(open.slice(1)).sid };
}

async function refused(query, init) {
  const response = await fetch(`${url}${query}`, init);
  return [response.status, (await response.json()).code];
}

describe("handshake", () => {
  it("opens a session by polling", async () => {
    const response = await fetch(`${url}?EIO=4&transport=polling`);
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type"), /^text\/plain/);
    const text = await response.text();
    assert.equal(text[0], "0");
    const { sid, ...rest } = JSON.parse(text.slice(1));
    assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(rest, {
      upgrades: ["websocket"],
      pingInterval: PING_INTERVAL,
      pingTimeout: PING_TIMEOUT,
      maxPayload: 1000000,
    });
  });

  it("refuses a missing or wrong EIO", async () => {
    assert.deepEqual(await refused("?transport=polling"), [400, 5]);
    assert.deepEqual(await refused("?EIO=abc&transport=polling"), [400, 5]);
    assert.deepEqual(await refused("?EIO=3&transport=polling"), [400, 5]);
  });

  it("refuses a missing or wrong transport", async () => {
    assert.deepEqual(await refused("?EIO=4"), [400, 0]);
    assert.deepEqual(await refused("?EIO=4&transport=abc"), [400, 0]);
  });

  it("refuses another method", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      assert.deepEqual(await refused("?EIO=4&transport=polling", { method }), [400, 2]);
    }
  });

  it("refuses a WebSocket transport without an upgrade", async () => {
    assert.deepEqual(await refused("?EIO=4&transport=websocket"), [400, 3]);
  });

  it("refuses an unknown sid", async () => {
    assert.deepEqual(await refused("?EIO=4&transport=polling&sid=abc"), [400, 1]);
    const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=abc`);
    await assert.rejects(raw.opened, /400/);
  });

  it("refuses a sid of another path", async () => {
    const sid = await open();
    const response = await fetch(`${hub.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
    assert.equal((await response.json()).code, 1);
  });

  it("opens a session by WebSocket", async () => {
    const raw = new Raw(`${ws}?EIO=4&transport=websocket`);
    const text = await raw.take();
    assert.equal(text[0], "0");
    const { sid, ...rest } = JSON.parse(text.slice(1));
    assert.equal(sid.length, 20);
    assert.deepEqual(rest, {
      upgrades: [],
      pingInterval: PING_INTERVAL,
      pingTimeout: PING_TIMEOUT,
      maxPayload: 1000000,
    });
    raw.close();
  });

  it("refuses a WebSocket with a wrong EIO or transport", async () => {
    for (const query of ["?transport=websocket", "?EIO=abc&transport=websocket", "?EIO=4", "?EIO=4&transport=abc", "?EIO=4&transport=polling"]) {
      await assert.rejects(new Raw(`${ws}${query}`).opened, /400/, query);
    }
  });

  it("lets any page read the answers to its polls", async () => {
    const headers = { origin: "https://example.org" };
    const response = await fetch(`${url}?EIO=4&transport=polling`, { headers });
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(response.headers.get("access-control-allow-credentials"), null);
    const asked = { ...headers, "access-control-request-headers": "content-type,x-mine" };
    const preflight = await fetch(url, { method: "OPTIONS", headers: asked });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
    assert.equal(preflight.headers.get("access-control-allow-headers"), "content-type,x-mine");
  });
});

describe("messages by polling", () => {
  for (const [what, body] of [
    ["one text packet", "4hello"],
    ["several text packets", "4test1\x1e4test2\x1e4test3"],
    ["text and binary packets", "4hello\x1ebAQIDBA=="],
    ["text beyond ASCII", "4zoë €😀"],
  ]) {
    it(`sends and receives ${what}`, async () => {
      const sid = await open();
      const pushed = await post(sid, body);
      assert.equal(pushed.status, 200);
      assert.equal(await pushed.text(), "ok");
      const polled = await poll(sid);
      assert.equal(polled.status, 200);
      assert.equal(await polled.text(), body);
    });
  }

  it("answers a poll that waits", async () => {
    const sid = await open();
    const polled = poll(sid);
    await sleep(20);
    await post(sid, "4late");
    assert.equal(await (await polled).text(), "4late");
  });

  it("closes upon a malformed packet", async () => {
    for (const body of ["abc", "", "4a\x1e", "bnot base64!", "2", "0{}", "5"]) {
      const sid = await open();
      assert.equal((await post(sid, body)).status, 400, body);
      assert.equal((await poll(sid)).status, 400, body);
    }
  });

  it("closes upon two polls at once", async () => {
    const sid = await open();
    // Whichever comes first to the hub.
    const [first, second] = (await Promise.all([poll(sid), poll(sid)])).toSorted((a, b) => a.status - b.status);
    assert.equal(first.status, 200);
    assert.equal(await first.text(), "1");
    assert.equal(second.status, 400);
    assert.equal((await poll(sid)).status, 400);
  });

  it("closes upon a poll that is given up", async () => {
    const sid = await open();
    const controller = new AbortController();
    poll(sid, { signal: controller.signal }).catch(() => {});
    await sleep(20);
    controller.abort();
    await sleep(50);
    const posted = await post(sid, "4a");
    assert.equal(posted.status, 400);
    assert.equal((await posted.json()).code, 1);
  });

  it("refuses a body over maxPayload, and goes on", async () => {
    const sid = await open();
    assert.equal((await post(sid, "4" + "x".repeat(1000000))).status, 413);
    assert.equal((await post(sid, "4still")).status, 200);
    assert.equal(await (await poll(sid)).text(), "4still");
    const other = await open();
    assert.equal((await post(other, "4" + "x".repeat(999999))).status, 200);
    assert.equal((await (await poll(other)).text()).length, 1000000);
  });

  it("does not wait for a body longer than the session lasts", async () => {
    const sid = await open();
    const socket = connect(hub.port, "127.0.0.1");
    const head = [`POST /engine.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1`, "host: x", "content-length: 9"];
    socket.write(`${head.join("\r\n")}\r\n\r\n4a`);
    const [answer] = await once(socket, "data", { signal: AbortSignal.timeout(2_000) });
    assert.match(answer.toString(), /^HTTP\/1.1 400 /);
    socket.destroy();
  });

  it("refuses another method with a sid", async () => {
    const sid = await open();
    const response = await fetch(at(sid), { method: "PUT" });
    assert.deepEqual([response.status, (await response.json()).code], [400, 3]);
  });
});

describe("messages by WebSocket", () => {
  it("sends and receives text", async () => {
    const { raw } = await openWs();
    raw.send("4hello");
    assert.equal(await raw.next(), "4hello");
    raw.close();
  });

  it("sends and receives bytes, even those that read as text", async () => {
    const { raw } = await openWs();
    raw.send(Buffer.from([1, 2, 3, 4]), Buffer.from("4abc"));
    assert.deepEqual(await raw.next(), Buffer.from([1, 2, 3, 4]));
    assert.deepEqual(await raw.next(), Buffer.from("4abc"));
    raw.close();
  });

  it("closes upon a malformed packet", async () => {
    for (const text of ["abc", "", "2", "0{}", "5", "7", "1x"]) {
      const { raw } = await openWs();
      raw.send(text);
      assert.equal(await closing(raw), 1002, text);
    }
  });

  it("closes with 1009 upon a message over maxPayload", async () => {
    const { raw } = await openWs();
    raw.send("4" + "x".repeat(1000000));
    assert.equal(await closing(raw), 1009);
  });

  it("takes a pong nobody asked for", async () => {
    const { raw } = await openWs();
    raw.send("3", "4a");
    assert.equal(await raw.next(), "4a");
    raw.close();
  });
});

describe("heartbeat", () => {
  it("pings a poll, again and again", async () => {
    const sid = await open();
    for (let round = 0; round < 3; round++) {
      const polled = await poll(sid);
      assert.equal(await polled.text(), "2");
      assert.equal((await post(sid, "3")).status, 200);
    }
  });

  it("is over when a poll's ping is not answered", async () => {
    const sid = await open();
    await sleep(PING_INTERVAL + PING_TIMEOUT);
    assert.equal((await poll(sid)).status, 400);
  });

  it("pings a WebSocket, again and again", async () => {
    const { raw } = await openWs();
    for (let round = 0; round < 3; round++) {
      assert.equal(await raw.take(), "2");
      raw.send("3");
    }
    raw.close();
  });

  it("closes a silent WebSocket at interval plus timeout", async () => {
    // From before the session begins, so that a slow machine cannot make it seem too quick.
    const since = performance.now();
    const { raw } = await openWs();
    await closing(raw);
    const took = performance.now() - since;
    assert.ok(took > 490 && took < 1_000, `${took} ms`);
  });
});

describe("close", () => {
  it("ends a waiting poll when the client closes", async () => {
    const sid = await open();
    const polled = poll(sid);
    await sleep(20);
    assert.equal((await post(sid, "1")).status, 200);
    assert.equal(await (await polled).text(), "6");
    assert.equal((await poll(sid)).status, 400);
  });

  it("answers the poll sent beside that, even if it comes later", async () => {
    const sid = await open();
    assert.equal((await post(sid, "1")).status, 200);
    const polled = await poll(sid);
    assert.deepEqual([polled.status, await polled.text()], [200, "6"]);
    assert.equal((await poll(sid)).status, 400);
    assert.equal((await post(sid, "4a")).status, 400);
  });

  it("closes a WebSocket when the client says so", async () => {
    const { raw } = await openWs();
    raw.send("1");
    await closing(raw);
  });
});

describe("upgrade", () => {
  async function upgrade(sid) {
    const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
    await raw.opened;
    raw.send("2probe");
    assert.equal(await raw.take(), "3probe");
    raw.send("5");
    return raw;
  }

  it("goes from polling to WebSocket", async () => {
    for (let round = 0; round < 8; round++) {
      // Connections fall to either worker.
      const raw = await upgrade(await open());
      raw.send("4hello");
      assert.equal(await raw.next(), "4hello");
      raw.close();
    }
  });

  it("answers the waiting poll with a noop", async () => {
    const sid = await open();
    const polled = poll(sid);
    await sleep(20);
    const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
    await raw.opened;
    raw.send("2probe");
    assert.equal(await (await polled).text(), "6");
    raw.close();
  });

  it("takes with it what waits", async () => {
    const sid = await open();
    await post(sid, "4one\x1e4two");
    const raw = await upgrade(sid);
    assert.equal(await raw.next(), "4one");
    assert.equal(await raw.next(), "4two");
    raw.close();
  });

  it("refuses polls and POSTs after it", async () => {
    const sid = await open();
    const raw = await upgrade(sid);
    await sleep(10);
    assert.equal((await poll(sid)).status, 400);
    assert.equal((await post(sid, "4a")).status, 400);
    raw.send("4hello");
    assert.equal(await raw.next(), "4hello");
    raw.close();
  });

  it("refuses a poll that came while the WebSocket was tried", async () => {
    const sid = await open();
    const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
    await raw.opened;
    const polled = poll(sid);
    raw.send("2probe");
    assert.equal(await raw.take(), "3probe");
    raw.send("5");
    assert.equal((await polled).status, 400);
    raw.send("4hello");
    assert.equal(await raw.next(), "4hello");
    raw.close();
  });

  it("says what it says on the WebSocket in order, and before it refuses others", async () => {
    for (let round = 0; round < 8; round++) {
      const sid = await open();
      const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
      await raw.opened;
      raw.send("2probe", "5", "4hello");
      assert.equal((await poll(sid)).status, 400);
      assert.deepEqual(raw.waiting, ["3probe", "4hello"]);
      raw.close();
    }
  });

  it("refuses a second WebSocket after it, and while it is tried", async () => {
    const sid = await open();
    const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
    await raw.opened;
    const second = () => new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`).opened;
    await assert.rejects(second(), /400/);
    raw.send("2probe");
    assert.equal(await raw.take(), "3probe");
    raw.send("5");
    await sleep(10);
    await assert.rejects(second(), /400/);
    raw.send("4hello");
    assert.equal(await raw.next(), "4hello");
    raw.close();
  });

  it("goes on polling when a probe is given up or wrong", async () => {
    for (const wrong of [undefined, "4hello", "5", "2other", "abc"]) {
      const sid = await open();
      const raw = new Raw(`${ws}?EIO=4&transport=websocket&sid=${sid}`);
      await raw.opened;
      if (wrong) {
        raw.send(wrong);
        await closing(raw);
      } else {
        raw.close();
      }
      await sleep(20);
      assert.equal((await post(sid, "4still")).status, 200, wrong);
      assert.equal(await (await poll(sid)).text(), "4still", wrong);
    }
  });
});
