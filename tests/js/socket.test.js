// Socket.IO 5, case by case as the official protocol test suite has them, and more.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Hub, sleep } from "./hub.js";
import { Raw, closing } from "./raw.js";

let hub;

before(async () => {
  hub = await Hub.start({ conformance: true });
});

after(() => hub.stop());

/** A WebSocket after its Engine.IO handshake. */
async function engine() {
  const raw = new Raw(`${hub.ws}/socket.io/?EIO=4&transport=websocket`);
  assert.equal((await raw.take())[0], "0");
  return raw;
}

/** A WebSocket in the namespace `/`. */
async function socket() {
  const raw = await engine();
  raw.send("40");
  assert.ok((await raw.next()).startsWith("40{"));
  assert.equal(await raw.next(), '42["auth",{}]');
  return raw;
}

const bytes = (...values) => Buffer.from(values);

describe("connect", () => {
  for (const [what, connect, reply, auth] of [
    ["the main namespace", "40", "40", '42["auth",{}]'],
    ["the main namespace with a payload", '40{"token":"123"}', "40", '42["auth",{"token":"123"}]'],
    ["a namespace of its own", "40/custom,", "40/custom,", '42/custom,["auth",{}]'],
    ["a namespace without its comma", "40/custom", "40/custom,", '42/custom,["auth",{}]'],
    ["a namespace with a payload", '40/custom,{"token":"abc"}', "40/custom,", '42/custom,["auth",{"token":"abc"}]'],
  ]) {
    it(`lets a client join ${what}`, async () => {
      const raw = await engine();
      raw.send(connect);
      const joined = await raw.next();
      assert.ok(joined.startsWith(reply), joined);
      assert.deepEqual(Object.keys(JSON.parse(joined.slice(reply.length))), ["sid"]);
      assert.equal(await raw.next(), auth);
      raw.close();
    });
  }

  it("leaves a client that reads one message at a time the time to", async () => {
    const raw = await engine();
    // From before it is asked for, so that a first message that is read late cannot make it seem too quick.
    const since = performance.now();
    raw.send("40");
    await raw.take();
    await raw.take();
    assert.ok(performance.now() - since > 5);
    raw.close();
  });

  it("refuses an unknown namespace, and goes on", async () => {
    const raw = await engine();
    raw.send("40/random");
    assert.equal(await raw.next(), '44/random,{"message":"Invalid namespace"}');
    raw.send("40");
    assert.ok((await raw.next()).startsWith('40{"sid"'));
    raw.close();
  });

  for (const wrong of ["4abc", "40abc", "400", "40[]", '40"a"', "40null", '40{"a":', "44{}", "47", "4"]) {
    it(`closes upon ${wrong}`, async () => {
      const raw = await engine();
      raw.send(wrong);
      await closing(raw);
    });
  }

  it("closes upon an event before CONNECT", async () => {
    const raw = await engine();
    raw.send('42["message",1]');
    await closing(raw);
  });

  it("closes a client that never joins", async () => {
    const raw = await engine();
    const pings = setInterval(() => raw.send("3"), 100);
    const since = performance.now();
    await closing(raw, 3_000);
    clearInterval(pings);
    assert.ok(performance.now() - since > 900);
  });

  it("joins by polling", async () => {
    const url = `${hub.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
    const at = `${url}&sid=${sid}`;
    await fetch(at, { method: "POST", body: "40" });
    const joined = await (await fetch(at)).text();
    assert.match(joined, /^40\{"sid":"[^"]+"\}(\x1e42\["auth",\{\}\])?$/);
  });
});

describe("disconnect", () => {
  it("lets a client leave the main namespace, and stays open", async () => {
    const raw = await socket();
    raw.send("41");
    assert.equal(await raw.take(), "2");
    raw.close();
  });

  it("lets a client leave one of two namespaces", async () => {
    const raw = await socket();
    raw.send("40/custom");
    await raw.next();
    await raw.next();
    raw.send("41/custom", '42["message","to main"]');
    assert.equal(await raw.next(), '42["message-back","to main"]');
    raw.close();
  });

  it("passes over an event of a namespace that was left", async () => {
    const raw = await socket();
    raw.send("40/custom");
    await raw.next();
    await raw.next();
    raw.send("41/custom", '42/custom,["message",1]', '42["message",2]');
    assert.equal(await raw.next(), '42["message-back",2]');
    raw.close();
  });
});

describe("messages", () => {
  it("sends a text event", async () => {
    const raw = await socket();
    raw.send('42["message",1,"2",{"3":[true]}]');
    assert.equal(await raw.next(), '42["message-back",1,"2",{"3":[true]}]');
    raw.close();
  });

  it("keeps the order of a hundred events", async () => {
    const raw = await socket();
    for (let n = 0; n < 100; n++) raw.send(`42["message",${n}]`);
    for (let n = 0; n < 100; n++) assert.equal(await raw.next(), `42["message-back",${n}]`);
    raw.close();
  });

  const two = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}';

  it("sends an event with binary attachments", async () => {
    const raw = await socket();
    raw.send(`452-["message",${two}]`, bytes(1, 2, 3), bytes(4, 5, 6));
    assert.equal(await raw.next(), `452-["message-back",${two}]`);
    assert.deepEqual(await raw.next(), bytes(1, 2, 3));
    assert.deepEqual(await raw.next(), bytes(4, 5, 6));
    raw.close();
  });

  it("acks a text event", async () => {
    const raw = await socket();
    raw.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    assert.equal(await raw.next(), '43456[1,"2",{"3":[false]}]');
    raw.close();
  });

  it("acks an event with binary attachments", async () => {
    const raw = await socket();
    raw.send(`452-789["message-with-ack",${two}]`, bytes(1, 2, 3), bytes(4, 5, 6));
    assert.equal(await raw.next(), `462-789[${two}]`);
    assert.deepEqual(await raw.next(), bytes(1, 2, 3));
    assert.deepEqual(await raw.next(), bytes(4, 5, 6));
    raw.close();
  });

  it("sends binary attachments by polling", async () => {
    const url = `${hub.url}/socket.io/?EIO=4&transport=polling`;
    const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
    const at = `${url}&sid=${sid}`;
    const body = ["40", `451-["message",{"_placeholder":true,"num":0}]`, "bAQID"].join("\x1e");
    assert.equal((await fetch(at, { method: "POST", body })).status, 200);
    let polled = "";
    while (!polled.includes("bAQID")) polled += (polled && "\x1e") + (await (await fetch(at)).text());
    const packets = polled.split("\x1e").filter((packet) => !/^(40|42\["auth")/.test(packet));
    assert.deepEqual(packets, ['451-["message-back",{"_placeholder":true,"num":0}]', "bAQID"]);
  });

  it("takes ten attachments and no more", async () => {
    const places = (count) =>
      Array.from({ length: count }, (_, num) => `{"_placeholder":true,"num":${num}}`).join();
    const raw = await socket();
    raw.send(`4510-["message",${places(10)}]`);
    for (let n = 0; n < 10; n++) raw.send(bytes(n));
    assert.equal(await raw.next(), `4510-["message-back",${places(10)}]`);
    for (let n = 0; n < 10; n++) assert.deepEqual(await raw.next(), bytes(n));
    raw.send(`4511-["message",${places(11)}]`);
    await closing(raw);
  });

  for (const [what, ...packets] of [
    ["an unknown type", "4abc"],
    ["a payload that is no array", "42{}"],
    ["an ack id that is no number", '42abc["message-with-ack",1]'],
    ["an event without a name", "42[]"],
    ["a name that is no text", "42[1]"],
    ["a reserved name", '42["disconnect"]'],
    ["an ack without an id", "43[]"],
    ["bytes nobody announced", bytes(1)],
    ["text where bytes were announced", `452-["message",${two}]`, '42["message",1]'],
    ["a placeholder that names nothing", '451-["message",{"_placeholder":true,"num":7}]'],
    ["a placeholder without a number", '451-["message",{"_placeholder":true}]'],
    ["a count of attachments that is none", '45x-["message"]'],
  ]) {
    it(`closes upon ${what}`, async () => {
      const raw = await socket();
      raw.send(...packets);
      assert.equal(await closing(raw), 1002);
    });
  }

  it("passes over an event nobody handles, and an ack nobody waits for", async () => {
    const raw = await socket();
    raw.send('42["nothing",1]', '427["nothing"]', "4399[1]", `43${2 ** 50}[]`, '42["message",1]');
    assert.equal(await raw.next(), '42["message-back",1]');
    raw.close();
  });

  it("goes on when its client stays for long", async () => {
    const raw = await socket();
    const until = performance.now() + 1_500;
    while (performance.now() < until) {
      raw.send('42["message",1]');
      assert.equal(await raw.next(), '42["message-back",1]');
      await sleep(50);
    }
    raw.close();
  });
});
