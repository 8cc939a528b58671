import assert from "node:assert/strict";
import { test } from "node:test";

import { Lifecycle } from "../src/lifecycle.js";
import { PendingChanges } from "../src/pending-changes.js";
import { FakeClock, settle } from "./fakes.js";

function world(options = {}) {
  const clock = new FakeClock();
  const calls = [];
  const client = {};
  for (const name of ["connect", "disconnect", "reconnect"]) client[name] = () => void calls.push(name);
  client.logout = async () => void calls.push("logout");
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const window = new EventTarget();
  const lifecycle = new Lifecycle({ client, clock, document, window, ...options });
  const show = async (visibilityState) => {
    document.visibilityState = visibilityState;
    document.dispatchEvent(new Event("visibilitychange"));
    await settle();
  };
  const window_ = async (type) => {
    window.dispatchEvent(new Event(type));
    await settle();
  };
  return { clock, calls, lifecycle, show, on: window_ };
}

test("it connects on start, if somebody is signed in", async () => {
  const signedIn = world();
  await signedIn.lifecycle.start();
  assert.deepEqual(signedIn.calls, ["connect"]);
  const signedOut = world({ isSignedIn: () => false });
  await signedOut.lifecycle.start();
  await signedOut.on("online");
  assert.deepEqual(signedOut.calls, []);
});

test("a page hidden for half a minute disconnects, and comes back when it is seen", async () => {
  const { clock, calls, lifecycle, show } = world();
  await lifecycle.start();
  await show("hidden");
  await clock.advance(29_999);
  assert.deepEqual(calls, ["connect"]);
  await clock.advance(1);
  assert.deepEqual(calls, ["connect", "disconnect"]);
  await show("visible");
  assert.deepEqual(calls, ["connect", "disconnect", "reconnect"]);
});

test("a page hidden for a moment stays connected", async () => {
  const { clock, calls, lifecycle, show } = world();
  await lifecycle.start();
  await show("hidden");
  await clock.advance(10_000);
  await show("visible");
  await clock.advance(60_000);
  assert.deepEqual(calls, ["connect", "reconnect"]);
});

test("network and page coming back are reasons to look", async () => {
  const { calls, lifecycle, on } = world();
  await lifecycle.start();
  await on("online");
  await on("pageshow");
  assert.deepEqual(calls, ["connect", "reconnect", "reconnect"]);
  lifecycle.stop();
  await on("online");
  assert.equal(calls.length, 3);
});

test("a hidden page is not woken by the network", async () => {
  const { clock, calls, lifecycle, show, on } = world();
  await lifecycle.start();
  await show("hidden");
  await clock.advance(30_000);
  await on("online");
  assert.deepEqual(calls, ["connect", "disconnect"]);
});

test("signing out forgets pending changes and session; stale ones go on foreground", async () => {
  const clock = new FakeClock();
  const pendingChanges = new PendingChanges({ clock, apply: {} });
  const { calls, lifecycle, show } = world({ pendingChanges, clock });
  await lifecycle.start();
  pendingChanges.add("assetDelete", 1);
  await show("hidden");
  clock.time += 100_000;
  await show("visible");
  assert.equal(pendingChanges.length, 0);
  pendingChanges.add("assetDelete", 2);
  await lifecycle.logout();
  assert.equal(pendingChanges.length, 0);
  assert.equal(calls.at(-1), "logout");
});

test("who cannot say whether somebody is signed in leaves it to the token", async () => {
  const isSignedIn = async () => { throw new Error("no network"); };
  const { calls, lifecycle, on } = world({ isSignedIn });
  await lifecycle.start();
  await on("online");
  assert.deepEqual(calls, ["connect", "reconnect"]);
});
