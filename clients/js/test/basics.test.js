import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/backoff.js";
import { Emitter } from "../src/emitter.js";
import { logOf, redact } from "../src/log.js";
import { addressOf, adviceOf, answerTo, dataOf, frameOf, isTakenInSilence } from "../src/protocol.js";
import { endOf, renewalDelay } from "../src/token.js";
import { tokenUntil } from "./fakes.js";

test("pauses grow from one second to thirty, evenly from zero", () => {
  const longest = new Backoff({ random: () => 1 });
  assert.deepEqual([...Array(7)].map(() => longest.next()), [1e3, 2e3, 4e3, 8e3, 16e3, 30e3, 30e3]);
  longest.reset();
  assert.equal(longest.next(), 1e3);
  assert.equal(new Backoff({ random: () => 0 }).next(), 0);
});

test("exhausted, the next pause is among the longest", () => {
  const backoff = new Backoff({ random: () => 0.5 });
  backoff.exhaust();
  assert.equal(backoff.next(), 15e3);
});

test("by a wrong clock, a token is renewed by how long it is good for", () => {
  const part = (/** @type {any} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = `${part({})}.${part({ iat: 1_000, exp: 4_600 })}.c2ln`;
  assert.equal(renewalDelay(token, 9_000_000), 3_540_000);
  assert.equal(renewalDelay(tokenUntil(1_000), 9_000_000), null);
});

test("close codes say whether to come back", () => {
  const advice = { 1001: "reconnect", 1006: "reconnect", 1012: "reconnect", 4401: "fresh-token",
    4403: "stay", 4408: "reconnect", 4409: "stay", 4413: "reconnect", 4429: "later", 1009: "later" };
  for (const [code, expected] of Object.entries(advice)) assert.equal(adviceOf(Number(code)), expected, code);
});

test("addresses are found from wherever the hub is mounted", () => {
  assert.equal(addressOf("http://hub:3000", "/ws", "ws"), "ws://hub:3000/ws");
  assert.equal(addressOf("https://hub/live/", "/ws", "ws"), "wss://hub/live/ws");
  assert.equal(addressOf("wss://hub/live/ws", "/api/v1/sync", "http"), "https://hub/live/api/v1/sync");
});

test("what is no JSON object is no frame", () => {
  for (const text of ["", "[]", "7", "null", "{", undefined, new Uint8Array(2)]) {
    assert.equal(frameOf(text), null);
  }
  assert.deepEqual(frameOf('{"type":"pong"}'), { type: "pong" });
});

test("answers belong to what they name", () => {
  const update = { type: "note_update", noteId: 7, changes: {} };
  assert.equal(answerTo(update, { type: "note_update_success", noteId: "7" }), "taken");
  assert.equal(answerTo(update, { type: "note_update_success", noteId: "8" }), null);
  assert.equal(answerTo(update, { type: "error", code: "not_found", noteId: "7" }), "refused");
  assert.equal(answerTo(update, { type: "error", code: "not_found", noteId: "8" }), null);
  assert.equal(answerTo(update, { type: "error", code: "rate_limited" }), "again");
  assert.equal(answerTo(update, { type: "error", code: "unavailable", noteId: "7" }), "again");
  assert.equal(isTakenInSilence(update), false);
  assert.equal(isTakenInSilence({ type: "note_created" }), true);
  assert.equal(isTakenInSilence({ type: "an_extension" }), true);
});

test("an event's data is told from the hub's fields", () => {
  assert.deepEqual(dataOf({ type: "added", id: 1, event_id: "e", seq: 2 }), { id: 1 });
  assert.deepEqual(dataOf({ type: "added", data: [1], event_id: "e", seq: 2 }), [1]);
  assert.equal(dataOf({ type: "added", event_id: "e", seq: 2 }), null);
});

test("a token is renewed a minute before it ends, a short one half way", () => {
  const now = 1_700_000_000_000;
  assert.equal(endOf(tokenUntil(1_700_000_600)), 1_700_000_600_000);
  assert.equal(renewalDelay(tokenUntil(1_700_000_600), now), 540_000);
  assert.equal(renewalDelay(tokenUntil(1_700_000_060), now), 30_000);
  assert.equal(renewalDelay(tokenUntil(1_699_999_990), now), 10_000);
  assert.equal(renewalDelay("opaque", now), null);
});

test("a listener that throws keeps nobody from hearing", (context) => {
  context.mock.method(console, "error", () => {});
  const emitter = new Emitter();
  const heard = [];
  emitter.on("x", () => { throw new Error("oops"); });
  const off = emitter.on("x", (value) => heard.push(value));
  emitter.once("x", (value) => heard.push(-value));
  emitter.emit("x", 1);
  off();
  emitter.emit("x", 2);
  assert.deepEqual(heard, [1, -1]);
});

test("debug output is off until it is named, and shows no token", () => {
  const written = [];
  const write = (...parts) => written.push(parts);
  logOf("link", { debug: "", write })("hidden");
  logOf("link", { debug: "other,-staffetta:link,staffetta:*", write })("hidden");
  const token = tokenUntil(1);
  logOf("link", { debug: "staffetta:*", write })("auth", { token, list: [`Bearer ${token}`] });
  assert.deepEqual(written, [["staffetta:link", "auth", { token: "[token]", list: ["Bearer [token]"] }]]);
  assert.equal(redact(new Error(token)), "Error: [token]");
});
