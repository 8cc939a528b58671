import assert from "node:assert/strict";
import { test } from "node:test";

import { nativeDialect } from "../src/dialects.js";
import { Link } from "../src/link.js";
import { authOk, fakeSockets, FakeClock, settle, tokenUntil } from "./fakes.js";

function world(options = {}) {
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  const asked = [];
  const tokens = options.tokens ?? [];
  const getToken = async (reason) => {
    asked.push(reason);
    return tokens.length > 0 ? tokens.shift() : "token";
  };
  const link = new Link(
    nativeDialect,
    { url: "http://hub", getToken, WebSocket, clock, ...options },
    async () => options.sessionId ?? null,
  );
  const states = [];
  link.on("state", ({ state }) => states[states.length - 1] !== state && states.push(state));
  return { clock, sockets, last, link, states, asked };
}

async function authenticated(options) {
  const it = world(options);
  it.link.connect();
  await settle();
  it.last().open();
  it.last().say(authOk());
  return it;
}

test("it connects, authenticates and says so", async () => {
  const { last, link, states } = await authenticated({ sessionId: "s1" });
  assert.equal(last().url, "ws://hub/ws");
  assert.deepEqual(last().sent, [{ type: "auth", token: "token", session_id: "s1", confirm_sync: true }]);
  assert.deepEqual(states, ["connecting", "connected", "authenticated"]);
  assert.equal(link.snapshot.user, "alice");
});

test("a lost connection is opened again with full jitter", async () => {
  const { clock, sockets, link, states } = await authenticated();
  sockets[0].drop();
  assert.equal(link.snapshot.state, "reconnecting");
  await clock.advance(999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
  sockets[1].drop();
  await clock.advance(1_999);
  assert.equal(sockets.length, 2);
  await clock.advance(1);
  assert.equal(sockets.length, 3);
  sockets[2].open();
  sockets[2].say(authOk());
  assert.equal(link.snapshot.attempts, 0);
  assert.deepEqual(states.slice(3), ["reconnecting", "connected", "authenticated"]);
});

test("ten attempts without success are an error, and it goes on trying", async () => {
  const { clock, sockets, link } = world();
  link.connect();
  await settle();
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    assert.notEqual(link.snapshot.state, "error");
    sockets[attempt - 1].drop();
    await clock.advance(30_000);
  }
  assert.equal(link.snapshot.state, "error");
  assert.equal(sockets.length, 11);
  sockets[10].open();
  sockets[10].say(authOk());
  assert.equal(link.snapshot.state, "authenticated");
});

test("a bound on attempts ends it", async () => {
  const { clock, sockets, link } = world({ attemptsMax: 2 });
  link.connect();
  await settle();
  sockets[0].drop();
  await clock.advance(30_000);
  sockets[1].drop();
  await clock.advance(120_000);
  assert.equal(sockets.length, 2);
  assert.equal(link.snapshot.state, "error");
});

test("the hub's hint is the pause", async () => {
  const { clock, sockets, last } = await authenticated();
  last().say({ type: "reconnect", retry_after_ms: 7_000 });
  last().drop(1012);
  await clock.advance(6_999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
});

test("an expired token is replaced at once", async () => {
  const { clock, sockets, asked, link } = world();
  link.connect();
  await settle();
  sockets[0].open();
  sockets[0].say({ type: "auth_failed", reason: "token-expired", message: "Token expired" });
  sockets[0].drop(4401);
  await clock.advance(0);
  assert.equal(sockets.length, 2);
  assert.deepEqual(asked, ["connect", "token-expired"]);
});

test("a second refusal is an error with the hub's reason, and it waits", async () => {
  const { clock, sockets, link } = world();
  link.connect();
  await settle();
  for (const index of [0, 1]) {
    sockets[index].open();
    sockets[index].say({ type: "auth_failed", reason: "auth-failed", message: "Authentication failed" });
    sockets[index].drop(4401);
    await clock.advance(0);
  }
  assert.equal(link.snapshot.state, "error");
  assert.equal(link.snapshot.error.code, "auth-failed");
  await clock.advance(29_999);
  assert.equal(sockets.length, 2);
  await clock.advance(1);
  assert.equal(sockets.length, 3);
});

for (const code of [4403, 4409]) {
  test(`after ${code} it stays away`, async () => {
    const { clock, sockets, last, link } = await authenticated();
    const stopped = [];
    link.on("stopped", (code) => stopped.push(code));
    last().drop(code);
    await clock.advance(600_000);
    assert.equal(sockets.length, 1);
    assert.equal(link.snapshot.state, "disconnected");
    assert.deepEqual(stopped, [code]);
    link.connect();
    await settle();
    assert.equal(sockets.length, 2);
  });
}

test("a limit is answered with patience", async () => {
  const { clock, sockets, last } = await authenticated();
  last().drop(4429);
  await clock.advance(29_999);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
});

test("nobody signed in means disconnected", async () => {
  const { clock, sockets, link } = world({ tokens: [null] });
  link.connect();
  await clock.advance(60_000);
  assert.equal(sockets.length, 0);
  assert.equal(link.snapshot.state, "disconnected");
});

test("a getToken that fails is tried again", async () => {
  const { clock, sockets, link } = world({ getToken: async () => { throw new Error("offline"); } });
  link.connect();
  await clock.advance(5_000);
  assert.equal(sockets.length, 0);
  assert.equal(link.snapshot.state, "reconnecting");
  assert.equal(link.snapshot.error.code, "no-token");
});

test("a token is renewed on the live connection before it ends", async () => {
  const now = 1_700_000_000;
  const first = tokenUntil(now + 600);
  const second = tokenUntil(now + 1_200);
  const { clock, sockets, last, asked, link } = await authenticated({ tokens: [first, second] });
  const renewed = [];
  link.on("renewed", (auth) => renewed.push(auth));
  const pong = () => last().say({ type: "pong" });
  for (let ms = 0; ms < 540_000; ms += 20_000) {
    await clock.advance(20_000);
    pong();
  }
  assert.deepEqual(asked, ["connect", "renewal"]);
  assert.deepEqual(last().of("auth")[1].token, second);
  assert.equal(last().of("auth")[1].session_id, "s1");
  last().say(authOk());
  assert.equal(renewed.length, 1);
  assert.equal(sockets.length, 1);
});

test("a half-open socket is found within 45 seconds", async () => {
  const { clock, sockets, last, link } = await authenticated();
  await clock.advance(39_999);
  assert.deepEqual(last().of("ping").length, 1);
  assert.equal(link.snapshot.state, "authenticated");
  await clock.advance(1);
  assert.equal(link.snapshot.state, "reconnecting");
  assert.equal(link.snapshot.error.code, "no-pong");
  assert.equal(sockets[0].isClosed, true);
});

test("any frame is a sign of life", async () => {
  const { clock, last, link } = await authenticated();
  for (let turn = 0; turn < 10; turn += 1) {
    await clock.advance(20_000);
    last().say({ type: "presence_diff" });
  }
  assert.equal(last().of("ping").length, 0);
  await clock.advance(26_000);
  last().say({ type: "pong" });
  await clock.advance(20_000);
  assert.equal(link.snapshot.state, "authenticated");
});

test("after a sleep the connection has five seconds to show that it lives", async () => {
  const { clock, last, link } = await authenticated();
  await clock.sleep(10_000);
  link.reconnectNow();
  assert.equal(last().of("ping").length, 1);
  await clock.advance(5_000);
  assert.equal(link.snapshot.state, "reconnecting");
});

test("a socket that does not open, or an auth without an answer, is given up", async () => {
  const { clock, sockets, link } = world();
  link.connect();
  await clock.advance(15_000);
  assert.equal(link.snapshot.error.code, "no-open");
  await clock.advance(1_000);
  sockets[1].open();
  await clock.advance(15_000);
  assert.equal(link.snapshot.error.code, "no-auth");
});

test("reconnecting now skips the pause", async () => {
  const { sockets, last, link } = await authenticated();
  last().drop();
  link.reconnectNow();
  await settle();
  assert.equal(sockets.length, 2);
});

test("disconnecting while a token is fetched opens nothing", async () => {
  const { clock, sockets, link } = world();
  link.connect();
  link.disconnect();
  await clock.advance(60_000);
  assert.equal(sockets.length, 0);
  assert.equal(link.snapshot.state, "disconnected");
});

test("a token that has ended by a wrong clock, and was taken, is not renewed over and over", async () => {
  const ended = () => tokenUntil(1_700_000_000 - 7_200);
  const { clock, asked } = await authenticated({ tokens: [ended(), ended(), ended()] });
  await clock.advance(20_000);
  assert.deepEqual(asked, ["connect"]);
});

test("a token that is never given is given up, and asked for again", async () => {
  let asked = 0;
  const { clock, link, sockets } = world({ getToken: () => (asked++ === 0 ? new Promise(() => {}) : "token") });
  link.connect();
  await clock.advance(30_000);
  assert.equal(link.snapshot.error.code, "no-token");
  await clock.advance(1_000);
  assert.deepEqual([asked, sockets.length], [2, 1]);
});

test("connecting again after the last attempt failed says so", async () => {
  const { link, states, last } = world({ attemptsMax: 1 });
  link.connect();
  await settle();
  last().drop();
  assert.equal(link.snapshot.state, "error");
  link.connect();
  assert.equal(link.snapshot.state, "connecting");
  assert.deepEqual(states, ["connecting", "error", "connecting"]);
});
