// The real socket.io-client against a hub.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";

import { io } from "socket.io-client";

import { Hub, sleep, until, within } from "./hub.js";
import { EVENTS } from "./immich.js";

let hub;
let echo;
let token;
const open = new Set();

before(async () => {
  const set = [
    ["socketio.server_version", "1.135.3"],
    ["delivery.ack_wait_ms", "300"],
    ["limits.connections_per_user_max", "2000"],
    ["limits.auths_per_minute_max", "0"],
    ["server.allowed_origins", '["*"]'],
  ];
  [hub, echo] = await Promise.all([Hub.start({ set }), Hub.start({ conformance: true })]);
  token = hub.token("alice");
});

after(async () => {
  for (const socket of open) socket.disconnect();
  await Promise.all([hub.stop(), echo.stop()]);
});

function client(url, { path = "/socket.io/", ...options } = {}) {
  const socket = io(url, { path, forceNew: true, reconnectionDelay: 50, ...options });
  socket.told = [];
  socket.onAny((...args) => socket.told.push(args));
  open.add(socket);
  return socket;
}

async function connected(url, options) {
  const socket = client(url, options);
  await within(once(socket, "connect"), "connect");
  return socket;
}

const next = (socket, event) => within(once(socket, event), event);

for (const [way, options] of [
  ["polling, then WebSocket", {}],
  ["WebSocket only", { transports: ["websocket"] }],
  ["polling only", { transports: ["polling"] }],
]) {
  describe(`by ${way}`, () => {
    it("joins with a token and hears what is published", async () => {
      const socket = await connected(hub.url, { ...options, auth: { token } });
      await until("the version", () => socket.told.length > 0);
      assert.deepEqual(socket.told, [["on_server_version", { major: 1, minor: 135, patch: 3 }]]);
      if (way.endsWith("then WebSocket")) {
        await until("the upgrade", () => socket.io.engine.transport.name === "websocket");
      }
      const told = next(socket, "added");
      await hub.publish("alice", { type: "added", data: { id: "a1" } });
      assert.deepEqual(await told, [{ id: "a1" }]);
      const bare = next(socket, "many");
      await hub.publish("alice", { type: "many", args: [1, "two", null, { 3: [4] }] });
      assert.deepEqual(await bare, [1, "two", null, { 3: [4] }]);
      socket.disconnect();
    });

    it("sends and receives bytes and acks", async () => {
      const socket = await connected(echo.url, options);
      const back = next(socket, "message-back");
      socket.emit("message", 1, { deep: [Buffer.from([1, 2, 3])] });
      assert.deepEqual(await back, [1, { deep: [Buffer.from([1, 2, 3])] }]);
      const acked = await new Promise((done) => {
        socket.emit("message-with-ack", "a", Buffer.from([9]), (...args) => done(args));
      });
      assert.deepEqual(acked, ["a", Buffer.from([9])]);
      const big = "x".repeat(200_000);
      assert.equal(await socket.timeout(5_000).emitWithAck("message-with-ack", big), big);
      socket.disconnect();
    });

    it("is refused without a good token: on /socket.io/ by connect_error", async () => {
      for (const auth of [undefined, { token: "no token" }]) {
        const socket = client(hub.url, { ...options, auth });
        const [error] = await next(socket, "connect_error");
        assert.equal(error.message, "unauthorized");
        socket.disconnect();
      }
    });

    it("is refused without a good token: on /api/socket.io/ by an event", async () => {
      const socket = client(hub.url, { ...options, path: "/api/socket.io/", auth: { token: "no" } });
      const reason = await within(new Promise((done) => socket.on("disconnect", done)), "the end");
      assert.deepEqual(socket.told, [["error", "unauthorized"]]);
      assert.equal(reason, "io server disconnect");
    });
  });
}

describe("credentials", () => {
  const headers = {
    "x-immich-user-token": (token) => token,
    "x-immich-session-token": (token) => token,
    authorization: (token) => `Bearer ${token}`,
    cookie: (token) => `other=1; immich_access_token=${token}`,
    "x-api-key": (token) => token,
  };

  for (const [name, spell] of Object.entries(headers)) {
    it(`may come by ${name}`, async () => {
      const socket = await connected(hub.url, { extraHeaders: { [name]: spell(token) } });
      socket.disconnect();
    });
  }

  it("count in order", async () => {
    const names = Object.keys(headers);
    for (let first = 0; first < names.length; first++) {
      // The first of them is good, all after it are not.
      const extraHeaders = Object.fromEntries(
        names.slice(first).map((name, n) => [name, headers[name](n === 0 ? token : "no")]),
      );
      (await connected(hub.url, { extraHeaders })).disconnect();
    }
    const socket = client(hub.url, {
      auth: { token: "no" },
      extraHeaders: { "x-immich-user-token": token },
    });
    assert.equal((await next(socket, "connect_error"))[0].message, "unauthorized");
    socket.disconnect();
  });

  it("of a cookie do not count from another page", async () => {
    const cookie = headers.cookie(token);
    const from = (origin) => client(hub.url, { extraHeaders: { cookie, origin } });
    const foreign = from("https://evil.example");
    assert.equal((await next(foreign, "connect_error"))[0].message, "unauthorized");
    foreign.disconnect();
    const own = from(hub.url);
    await next(own, "connect");
    own.disconnect();
  });

  it("of another user do not let hear", async () => {
    const bob = await connected(hub.url, { auth: { token: hub.token("bob") } });
    const alice = await connected(hub.url, { auth: { token } });
    const told = next(alice, "secret");
    await hub.publish("alice", { type: "secret" });
    await told;
    assert.ok(!bob.told.some(([name]) => name === "secret"));
    alice.disconnect();
    bob.disconnect();
  });
});

describe("namespaces", () => {
  it("other than / are invalid", async () => {
    const socket = client(`${hub.url}/other`, { auth: { token } });
    assert.equal((await next(socket, "connect_error"))[0].message, "Invalid namespace");
    socket.disconnect();
  });

  it("of the host are joined side by side", async () => {
    const root = client(echo.url, { forceNew: false, multiplex: true });
    const custom = root.io.socket("/custom", { auth: { a: 1 } });
    open.add(custom);
    assert.deepEqual(await next(custom, "auth"), [{ a: 1 }]);
    custom.disconnect();
    const back = next(root, "message-back");
    root.emit("message", "still");
    assert.deepEqual(await back, ["still"]);
    root.disconnect();
  });
});

describe("Immich's events", () => {
  it("arrive with their arguments and nothing else", async () => {
    const extraHeaders = { cookie: `immich_access_token=${token}` };
    const socket = await connected(hub.url, { path: "/api/socket.io/", extraHeaders });
    await until("the version", () => socket.told.length > 0);
    socket.told = [];
    for (const [type, args] of EVENTS) {
      await hub.publish("alice", { type, args });
      if (args.length === 1) await hub.publish("alice", { type, data: args[0] });
    }
    const expected = EVENTS.flatMap(([type, args]) =>
      args.length === 1 ? [[type, ...args], [type, ...args]] : [[type, ...args]],
    );
    await until("every event", () => socket.told.length >= expected.length);
    assert.deepEqual(socket.told, expected);
    socket.disconnect();
  });

  it("are refused with other arguments", async () => {
    for (const [type, body] of [
      ["on_asset_delete", { data: { id: "a1" } }],
      ["on_asset_trash", { args: ["a1"] }],
      ["on_asset_stack_update", { data: {} }],
      ["on_upload_success", {}],
      ["AssetUploadReadyV1", { data: { asset: { id: "a1" } } }],
    ]) {
      const answer = await hub.call("POST", "/users/alice/events", { type, ...body });
      assert.equal(answer.status, 422, type);
      assert.ok(answer.body.detail.startsWith(`${type} takes `), answer.body.detail);
    }
    const answer = await hub.call("POST", "/broadcast", { type: "on_config_update", data: 1 });
    assert.equal(answer.status, 422);
  });

  it("have none of the names clients close upon", async () => {
    const socket = await connected(hub.url, { auth: { token } });
    for (const type of ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]) {
      const { status, body } = await hub.call("POST", "/users/alice/events", { type });
      assert.deepEqual([status, body.detail], [422, `type must not be "${type}": Socket.IO keeps it for itself`]);
    }
    const told = next(socket, "added");
    await hub.publish("alice", { type: "added" });
    await told;
    socket.disconnect();
  });

  it("on_session_delete reaches that session only", async () => {
    const reliable = await connected(hub.url, { auth: { token, session_id: "tab-1" } });
    const other = await connected(hub.url, { auth: { token, session_id: "tab-2" } });
    const plain = await connected(hub.url, { auth: { token } });
    const named = await connected(hub.url, { auth: { token } });
    for (const socket of [reliable, other]) socket.on("on_session_delete", (_, ack) => ack?.());
    await hub.publish("alice", { type: "on_session_delete", data: "tab-1" });
    await hub.publish("alice", { type: "on_session_delete", data: named.id });
    await until("both", () =>
      [reliable, named].every((socket) => socket.told.some(([name]) => name === "on_session_delete")),
    );
    await hub.publish("alice", { type: "last" });
    for (const socket of [plain, other]) {
      await until("the last", () => socket.told.some(([name]) => name === "last"));
      assert.ok(!socket.told.some(([name]) => name === "on_session_delete"));
    }
    for (const socket of [reliable, other, plain, named]) socket.disconnect();
  });
});

describe("reliable sessions", () => {
  it("are told their name first, and acked events are not sent again", async () => {
    const socket = client(hub.url, { auth: { token, session_id: "phone" } });
    const got = [];
    socket.on("added", (data, ack) => {
      got.push(data.n);
      // The first sending of every second one is lost on the client.
      if (data.n % 2 === 0 || got.filter((n) => n === data.n).length > 1) ack();
    });
    const [session] = await next(socket, "session");
    assert.deepEqual(
      [session.session_id, session.need_full_sync, typeof session.cursor],
      ["phone", true, "number"],
    );
    assert.equal(socket.told[0][0], "session");
    for (let n = 0; n < 6; n++) await hub.publish("alice", { type: "added", data: { n } });
    await until("redeliveries", () => got.length >= 9);
    await sleep(700);
    assert.deepEqual(got.toSorted(), [0, 1, 1, 2, 3, 3, 4, 5, 5]);
    socket.disconnect();
  });

  it("resume after a reconnect, also with replay of what they missed", async () => {
    const auth = { token, session_id: "tablet", offline: "replay" };
    const first = await connected(hub.url, { auth });
    first.disconnect();
    await until("it is gone", async () => {
      const { body } = await hub.call("GET", "/users/alice/sessions");
      return body.find((session) => session.session_id === "tablet")?.connection === null;
    });
    for (let n = 0; n < 5; n++) await hub.publish("alice", { type: "missed", data: { n } });
    const second = client(hub.url, { auth });
    const got = [];
    second.on("missed", (data, ack) => {
      got.push(data.n);
      ack();
    });
    const [session] = await next(second, "session");
    assert.equal(session.need_full_sync, false);
    await until("what it missed", () => got.length >= 5);
    assert.deepEqual(got, [0, 1, 2, 3, 4]);
    second.disconnect();
  });

  it("are replaced by a newer connection, which stays", async () => {
    const auth = { token, session_id: "twice" };
    const first = await connected(hub.url, { auth });
    const gone = next(first, "disconnect");
    const second = await connected(hub.url, { auth });
    assert.equal((await gone)[0], "io server disconnect");
    await sleep(200);
    assert.ok(second.connected && !first.connected);
    second.disconnect();
  });

  it("get a name when they bring none, and say when a full sync is done", async () => {
    const auth = { token, session_id: null, confirm_sync: true };
    const socket = client(hub.url, { auth });
    const [{ session_id, need_full_sync }] = await next(socket, "session");
    assert.ok(session_id.length > 10 && need_full_sync);
    const marked = async () => {
      const { body } = await hub.call("GET", "/users/alice/sessions");
      return body.find((session) => session.session_id === session_id).need_full_sync;
    };
    assert.equal(await marked(), true);
    socket.emit("sync_complete");
    await until("it is done", async () => !(await marked()));
    socket.disconnect();
  });
});

describe("connection state recovery", () => {
  it("goes on after kill -9 of the hub with what was missed", async () => {
    const options = { set: [["socketio.recovery", "true"]] };
    let other = await Hub.start(options);
    const auth = { token: other.token("carol") };
    const socket = await connected(other.url, { auth });
    assert.equal(socket.recovered, false);
    const got = [];
    socket.on("added", ({ n }) => got.push(n));
    await other.publish("carol", { type: "added", data: { n: 0 } });
    await until("the first", () => got.length === 1);
    const gone = next(socket, "disconnect");
    other = await other.restart(options);
    other.own = true;
    await gone;
    for (let n = 1; n < 4; n++) await other.publish("carol", { type: "added", data: { n } });
    await until("it is back", () => socket.connected);
    await until("what it missed", () => got.length >= 4);
    await other.publish("carol", { type: "added", data: { n: 4 } });
    await until("the last", () => got.length >= 5);
    assert.deepEqual(got, [0, 1, 2, 3, 4]);
    assert.equal(socket.recovered, true);
    socket.disconnect();
    await other.stop();
  });
});

describe("many", () => {
  it("a thousand clients hear a broadcast", async () => {
    const options = { transports: ["websocket"], auth: { token }, reconnection: false };
    const sockets = Array.from({ length: 1_000 }, () => client(hub.url, options));
    await within(Promise.all(sockets.map((socket) => once(socket, "connect"))), "all", 30_000);
    const told = Promise.all(sockets.map((socket) => once(socket, "to_all")));
    await hub.call("POST", "/broadcast", { type: "to_all", data: 7 });
    const heard = await within(told, "the broadcast", 20_000);
    assert.ok(heard.every(([data]) => data === 7));
    for (const socket of sockets) socket.disconnect();
  });

  it("clients are told to come back when the hub drains, and do", async () => {
    let other = await Hub.start();
    const auth = { token: other.token("dora") };
    const ways = [["websocket"], ["polling"]];
    const sockets = await Promise.all(ways.map((transports) => connected(other.url, { auth, transports })));
    const gone = Promise.all(sockets.map((socket) => next(socket, "disconnect")));
    other.own = false;
    await other.stop("SIGTERM");
    for (const [reason] of await gone) assert.match(reason, /^transport (close|error)$/);
    other = await Hub.start({ folder: other.folder, port: other.port });
    other.own = true;
    await until("they are back", () => sockets.every((socket) => socket.connected));
    for (const socket of sockets) socket.disconnect();
    await other.stop();
  });
});
