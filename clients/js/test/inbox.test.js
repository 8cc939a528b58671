import assert from "node:assert/strict";
import { test } from "node:test";

import { Inbox } from "../src/inbox.js";
import { FakeClock, settle } from "./fakes.js";

function world(options = {}) {
  const clock = new FakeClock();
  const it = { clock, applied: [], kept: [], acked: [], errors: [], failing: new Set() };
  it.inbox = new Inbox({
    clock,
    apply: async (value) => {
      if (it.failing.has(value)) throw new Error(`cannot apply ${value}`);
      it.applied.push(value);
    },
    keep: async (ids, cursor) => void it.kept.push([ids, cursor]),
    ack: (ids) => (it.acked.push(ids), true),
    onError: (error) => it.errors.push(error.message),
    ...options,
  });
  it.receive = (seq, id = `e${seq}`) => it.inbox.receive({ id, seq, value: id });
  return it;
}

test("events are applied in order and acked in one group, after they are kept", async () => {
  const { clock, inbox, applied, kept, acked, receive } = world();
  for (const seq of [1, 2, 3]) receive(seq);
  await settle();
  assert.deepEqual(applied, ["e1", "e2", "e3"]);
  assert.deepEqual(acked, []);
  await clock.advance(50);
  assert.deepEqual(kept, [[["e1", "e2", "e3"], 3]]);
  assert.deepEqual(acked, [["e1", "e2", "e3"]]);
  assert.equal(inbox.cursor, 3);
});

test("a known event is acked and not applied again", async () => {
  const { clock, inbox, applied, kept, acked, receive } = world();
  inbox.remember({ cursor: 4, processed: ["e4"] });
  receive(4);
  await clock.advance(50);
  assert.deepEqual([applied, kept, acked], [[], [], [["e4"]]]);
});

test("an event that comes again while it is applied is applied once", async () => {
  let finish;
  const slow = new Promise((resolve) => (finish = resolve));
  let count = 0;
  const { clock, acked, receive } = world({ apply: () => (count++, slow) });
  receive(1);
  await settle();
  receive(1);
  finish();
  await clock.advance(50);
  assert.deepEqual([count, acked], [1, [["e1"]]]);
});

test("a handler that fails leaves its event unacked, and the cursor before it", async () => {
  const { clock, inbox, applied, acked, errors, failing, receive } = world();
  failing.add("e2");
  for (const seq of [1, 2, 3]) receive(seq);
  await clock.advance(50);
  assert.deepEqual(applied, ["e1", "e3"]);
  assert.deepEqual(acked, [["e1", "e3"]]);
  assert.equal(inbox.cursor, 1);
  assert.deepEqual(errors, ["cannot apply e2"]);
  failing.clear();
  receive(2);
  await clock.advance(50);
  assert.deepEqual(acked[1], ["e2"]);
  assert.equal(inbox.cursor, 3);
});

test("nothing is acked that could not be kept", async () => {
  let isFull = true;
  const { clock, acked, errors, applied, receive } = world({
    keep: async () => { if (isFull) throw new Error("the disk is full"); },
  });
  receive(1);
  await clock.advance(50);
  assert.deepEqual([acked, errors], [[], ["the disk is full"]]);
  isFull = false;
  receive(1);
  await clock.advance(50);
  assert.deepEqual([acked, applied], [[["e1"]], ["e1"]]);
});

test("an ephemeral event is applied and wants no ack", async () => {
  const { clock, applied, acked, inbox } = world();
  inbox.receive({ id: "x", seq: null, value: "x" });
  await clock.advance(1_000);
  assert.deepEqual([applied, acked], [["x"], []]);
});

test("held events wait, are acked, and are applied in order before newer ones", async () => {
  const { clock, inbox, applied, acked, receive } = world();
  inbox.hold();
  receive(1);
  receive(2);
  await clock.advance(1_000);
  assert.deepEqual([applied, acked], [[], [["e1"], ["e2"]]]);
  const released = inbox.release();
  receive(3);
  assert.equal(await released, true);
  await clock.advance(50);
  assert.deepEqual(applied, ["e1", "e2", "e3"]);
});

test("a held event that cannot be applied says so", async () => {
  const { inbox, failing, receive } = world();
  failing.add("e1");
  inbox.hold();
  receive(1);
  assert.equal(await inbox.release(), false);
});

test("a hundred acks do not wait", async () => {
  const { acked, receive } = world();
  for (let seq = 1; seq <= 100; seq += 1) receive(seq);
  for (let turn = 0; turn < 20; turn += 1) await settle();
  assert.equal(acked[0].length, 100);
});

test("what is applied after forgetting is neither kept nor acked", async () => {
  let finish;
  const slow = new Promise((resolve) => (finish = resolve));
  const { clock, inbox, acked, kept, receive } = world({ apply: () => slow });
  receive(1);
  await settle();
  inbox.forget();
  finish();
  await clock.advance(1_000);
  assert.deepEqual([acked, kept], [[], []]);
});
