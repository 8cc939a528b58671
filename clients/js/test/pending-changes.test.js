import assert from "node:assert/strict";
import { test } from "node:test";

import { PendingChanges } from "../src/pending-changes.js";
import { FakeClock, settle } from "./fakes.js";

function world() {
  const clock = new FakeClock();
  const done = [];
  const errors = [];
  const apply = {};
  for (const action of ["assetUploaded", "assetDelete", "assetHidden", "assetTrash"]) {
    apply[action] = (value) => {
      if (value === "bad") throw new Error("bad");
      done.push([action, value]);
    };
  }
  const changes = new PendingChanges({
    clock, apply,
    applyUploads: (uploads) => void done.push(["uploads", uploads]),
    applyEdit: (edit) => void done.push(["edit", edit]),
    refresh: (type) => void done.push([type]),
    onError: (error, change) => errors.push([error.message, change.action]),
  });
  return { clock, changes, done, errors };
}

/** A source of events, as a client is. */
function source() {
  const handlers = [];
  return {
    onEvent(type, handler) {
      const entry = { type, handler };
      handlers.push(entry);
      return () => void handlers.splice(handlers.indexOf(entry), 1);
    },
    say: (event) => handlers.filter(({ type }) => type === event.type).forEach(({ handler }) => handler(event)),
  };
}

test("changes are applied half a second after the last, in their order", async () => {
  const { clock, changes, done } = world();
  changes.add("assetTrash", 1);
  await clock.advance(400);
  changes.add("assetHidden", 2);
  changes.add("assetDelete", 3);
  changes.add("assetUploaded", 4);
  changes.add("assetUploaded", 5);
  await clock.advance(499);
  assert.deepEqual(done, []);
  assert.equal(changes.length, 5);
  await clock.advance(1);
  assert.deepEqual(done, [
    ["assetUploaded", 4], ["assetUploaded", 5], ["assetDelete", 3], ["assetHidden", 2], ["assetTrash", 1],
  ]);
});

test("one that fails is reported and the rest go on", async () => {
  const { clock, changes, done, errors } = world();
  changes.add("assetDelete", "bad");
  changes.add("assetDelete", 2);
  await clock.advance(500);
  assert.deepEqual(done, [["assetDelete", 2]]);
  assert.deepEqual(errors, [["bad", "assetDelete"]]);
});

test("ready uploads are one batch five seconds after the last", async () => {
  const { clock, changes, done } = world();
  changes.addUpload(1);
  await clock.advance(4_000);
  changes.addUpload(2);
  await clock.advance(4_999);
  assert.deepEqual(done, []);
  await clock.advance(1);
  assert.deepEqual(done, [["uploads", [1, 2]]]);
});

test("a stream of uploads waits ten seconds at most", async () => {
  const { clock, changes, done } = world();
  for (let second = 0; second < 10; second += 1) {
    changes.addUpload(second);
    await clock.advance(1_000);
  }
  assert.equal(done.length, 1);
  assert.equal(done[0][1].length, 10);
});

test("logging out forgets what waits", async () => {
  const { clock, changes, done } = world();
  changes.add("assetDelete", 1);
  changes.addUpload(1);
  changes.clear();
  await clock.advance(20_000);
  assert.deepEqual(done, []);
});

test("on foreground only what is stale is forgotten", async () => {
  const { clock, changes } = world();
  changes.add("assetDelete", 1);
  assert.equal(changes.clearIfStale(), false);
  clock.time += 60_001;
  assert.equal(changes.clearIfStale(), true);
  assert.equal(changes.length, 0);
});

test("the set of events listened to can be switched", async () => {
  const { clock, changes, done } = world();
  const events = source();
  changes.listen(events, "old");
  events.say({ type: "on_asset_delete", data: "a", event_id: "e", seq: 1 });
  events.say({ type: "on_asset_trash", data: ["b", "c"], event_id: "e", seq: 2 });
  events.say({ type: "on_upload_success", id: "d", event_id: "e", seq: 3 });
  events.say({ type: "on_asset_stack_update", event_id: "e", seq: 4 });
  events.say({ type: "AssetUploadReadyV1", asset: {}, event_id: "e", seq: 5 });
  await clock.advance(10_000);
  assert.deepEqual(done, [
    ["on_asset_stack_update"], ["assetUploaded", { id: "d" }], ["assetDelete", "a"], ["assetTrash", "b"], ["assetTrash", "c"],
  ]);
  done.length = 0;
  changes.listen(events, "ready");
  events.say({ type: "on_asset_delete", data: "a", event_id: "e", seq: 6 });
  events.say({ type: "AssetUploadReadyV1", asset: { id: 1 }, event_id: "e", seq: 7 });
  events.say({ type: "AssetEditReadyV1", asset: { id: 2 }, event_id: "e", seq: 8 });
  await clock.advance(10_000);
  assert.deepEqual(done, [["edit", { asset: { id: 2 } }], ["uploads", [{ asset: { id: 1 } }]]]);
  changes.listen(events, "none");
  events.say({ type: "AssetEditReadyV1", event_id: "e", seq: 9 });
  assert.equal(done.length, 2);
});

test("logging out also forgets ready uploads that wait for their turn", async () => {
  let finish;
  const slow = new Promise((resolve) => (finish = resolve));
  const batches = [];
  const clock = new FakeClock();
  const changes = new PendingChanges({ clock, apply: { assetDelete: () => slow }, applyUploads: (all) => void batches.push(all) });
  changes.add("assetDelete", 1);
  changes.addUpload(2);
  await clock.advance(5_000);
  changes.clear();
  finish();
  await settle();
  assert.deepEqual(batches, []);
});

test("a change that fails is on the console when nobody is told of it", async (context) => {
  const { mock } = context.mock.method(console, "error", () => {});
  const clock = new FakeClock();
  const changes = new PendingChanges({ clock, apply: { assetDelete: () => { throw new Error("no"); } } });
  changes.add("assetDelete", 1);
  await clock.advance(500);
  assert.equal(mock.callCount(), 1);
});
