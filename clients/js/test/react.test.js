import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { JSDOM } from "jsdom";

import { Client } from "../src/client.js";
import { MemoryKeyValue } from "../src/kv.js";
import { authOk, fakeSockets, FakeClock, settle } from "./fakes.js";

const dom = new JSDOM("<!doctype html><html lang=en><body></body></html>", { url: "http://app.test/" });
Object.assign(globalThis, { window: dom.window, document: dom.window.document, IS_REACT_ACT_ENVIRONMENT: true });
// Newer versions of Node have one of their own, which cannot be assigned.
Object.defineProperty(globalThis, "navigator", { value: dom.window.navigator, configurable: true });

const { act, createElement: h, StrictMode } = await import("react");
const { createRoot } = await import("react-dom/client");
const { StaffettaProvider, SyncIndicator, SyncNotification, useNote, useNotes, useWebSocket, WebSocketStatus, WebSocketStatusCompact } =
  await import("../src/react/index.js");

let root, page, clock, client, last, kept;
beforeEach(() => {
  page = document.body.appendChild(document.createElement("main"));
  root = createRoot(page);
  clock = new FakeClock();
  const fake = fakeSockets();
  last = fake.last;
  kept = [];
  const fetch = async () => new Response(JSON.stringify({ notes: kept, more: false }));
  client = new Client({
    url: "http://hub", getToken: () => "token", WebSocket: fake.WebSocket, clock, storage: new MemoryKeyValue(), locks: null, fetch,
  });
});
afterEach(async () => {
  await act(() => root.unmount());
  page.remove();
  client.close();
});

const render = (...children) =>
  act(async () => {
    root.render(h(StrictMode, null, h(StaffettaProvider, { client }, ...children)));
    await settle();
  });
const does = (work) =>
  act(async () => {
    await work();
    await clock.advance(60);
  });
const authenticate = () =>
  does(async () => {
    last().open();
    last().say(authOk());
  });
const click = (name) =>
  does(() => {
    const button = [...page.querySelectorAll("button")].find((it) => (it.getAttribute("aria-label") ?? it.textContent) === name);
    button.dispatchEvent(new dom.window.MouseEvent("click", { bubbles: true }));
  });
const text = (selector) => page.querySelector(selector)?.textContent;
const connect = () => does(async () => { client.connect(); await settle(); });

test("the status component shows each state, in words and by a mark", async () => {
  await render(h(WebSocketStatus, { key: 1 }), h(WebSocketStatusCompact, { key: 2 }));
  const shown = () => [text("[role=status]"), page.querySelector("[role=img]").getAttribute("aria-label")];
  assert.deepEqual(shown(), ["○Offline", "Offline"]);
  await connect();
  assert.deepEqual(shown(), ["◌Connecting", "Connecting"]);
  await does(() => last().open());
  assert.deepEqual(shown(), ["◑Signing in", "Signing in"]);
  await does(() => last().say(authOk()));
  assert.deepEqual(shown(), ["●Live", "Live"]);
  await does(() => last().drop());
  assert.deepEqual(shown(), ["↻Reconnecting", "Reconnecting"]);
  for (let attempt = 0; attempt < 10; attempt += 1) {
    await does(async () => { await clock.advance(30_000); last().drop(); });
  }
  assert.deepEqual(shown(), ["!Cannot connect", "Cannot connect"]);
});

test("details, an error that can be dismissed, and a way to try now", async () => {
  await render(h(WebSocketStatus, { showDetails: true, labels: { authenticated: "Connesso" } }));
  await connect();
  await authenticate();
  assert.equal(text("[role=status]"), "●Connesso");
  assert.match(text("dl"), /Attempts0Next attempt–Last sync–Notes joined0Waiting to be sent0/);
  await does(() => last().say({ type: "error", message: "Note too large", code: "note_too_large", noteId: "n" }));
  assert.match(text("[role=alert]"), /Note too large/);
  await click("Dismiss the error");
  assert.equal(page.querySelector("[role=alert]"), null);
  const socket = last();
  await does(() => socket.drop());
  await click("Try now");
  assert.notEqual(last(), socket);
});

test("useWebSocket connects by itself and gives what the notes application uses", async () => {
  const heard = [];
  let socket;
  function App() {
    socket = useWebSocket({
      onNoteSync: ({ noteId }) => heard.push(["sync", noteId]),
      onNoteCreatedSync: () => heard.push(["created"]),
      onNoteDeletedSync: () => heard.push(["deleted"]),
      onError: ({ message }) => heard.push(["error", message]),
      onAuthenticated: ({ user }) => heard.push(["authenticated", user]),
    });
    return null;
  }
  await render(h(App));
  assert.equal(socket.status, "connecting");
  await authenticate();
  assert.deepEqual([socket.isConnected, socket.isAuthenticated, socket.reconnectAttempts], [true, true, 0]);
  await does(() => socket.joinNote("n"));
  assert.deepEqual(socket.joinedNotes, ["n"]);
  await does(() => {
    last().say({ type: "note_created_sync", noteData: { id: "n" }, event_id: "e1", seq: 1 });
    last().say({ type: "note_sync", noteId: "n", changes: {}, event_id: "e2", seq: 2 });
    last().say({ type: "note_deleted_sync", noteId: "n", event_id: "e3", seq: 3 });
    last().say({ type: "error", message: "oops", code: "invalid_format" });
  });
  assert.deepEqual(heard, [["authenticated", "alice"], ["error", "oops"], ["created"], ["sync", "n"], ["deleted"]]);
  assert.ok(socket.lastSync instanceof Date);
  assert.equal(socket.error.message, "oops");
  await does(() => socket.clearError());
  assert.equal(socket.error, null);
  await does(() => socket.leaveNote("n"));
  assert.deepEqual(socket.joinedNotes, []);
  await does(() => void socket.sendNoteUpdate("n", { title: "t" }).catch(() => {}));
  assert.equal(socket.pendingChanges, 1);
  assert.deepEqual(last().of("note_update").map(({ changes }) => changes), [{ title: "t" }]);
});

test("useWebSocket with autoConnect off leaves the connection alone", async () => {
  function App() {
    return useWebSocket({ autoConnect: false }).status;
  }
  await render(h(App));
  assert.equal(page.textContent, "disconnected");
});

test("useNotes lists notes as they change, and useNote one of them with its room", async () => {
  let actions;
  function List() {
    actions = useNotes();
    return h("ul", null, actions.notes.map(({ id, title }) => h("li", { key: id }, title)));
  }
  function One() {
    const { note, present } = useNote("n");
    return h("p", null, `${note?.title}: ${present.map(({ userId }) => userId).join()}`);
  }
  await render(h(List, { key: 1 }), h(One, { key: 2 }));
  await authenticate();
  await does(() => last().say({ type: "note_joined", noteId: "n" }));
  await does(() => last().say({ type: "note_joined", noteId: "n" }));
  await does(() => last().say({ type: "note_created_sync", noteData: { id: "n", title: "one", version: 1 }, event_id: "e1", seq: 1 }));
  assert.equal(text("ul"), "one");
  await does(() => void actions.updateNote("n", { title: "two" }).catch(() => {}));
  assert.equal(text("ul"), "two");
  await does(() => last().say({ type: "error", message: "no", code: "access_denied", noteId: "n" }));
  assert.equal(text("ul"), "one");
  await does(() => last().say({ type: "presence_state", noteId: "n", users: [{ userId: "bob", connections: 1 }] }));
  assert.equal(text("p"), "one: bob");
});

function Titles() {
  return h("ul", null, useNotes().notes.map(({ id, title }) => h("li", { key: id }, title)));
}
const noteSync = (seq, title) =>
  last().say({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title, version: seq }, event_id: `e${seq}`, seq });

test("a page that comes back in its session has its notes, and asks for them once", async () => {
  kept = [{ id: "n", title: "kept", version: 1 }];
  let asked = 0;
  const { fetch } = client.options;
  client.options.fetch = (...parts) => (asked++, fetch(...parts));
  await render(h(Titles, { key: 1 }), h(Titles, { key: 2 }));
  await authenticate();
  assert.deepEqual([...page.querySelectorAll("ul")].map((list) => list.textContent), ["kept", "kept"]);
  assert.equal(asked, 1);
});

test("notes that are shown later, or again, are the newest", async () => {
  kept = [{ id: "n", title: "one", version: 1 }];
  await render(h(WebSocketStatus, { autoConnect: true }));
  await authenticate();
  await render(h(Titles));
  await does(() => {});
  assert.equal(text("ul"), "one");
  await render();
  await does(() => noteSync(2, "two"));
  await render(h(Titles));
  assert.equal(text("ul"), "two");
});

test("two components may show one note: the room is left with the last, and joined once mounted twice", async () => {
  const One = () => h("p", null, useNote("n").note?.title);
  await render(h(Titles, { key: 0 }), h(One, { key: 1 }), h(One, { key: 2 }));
  await authenticate();
  await render(h(Titles, { key: 0 }), h(One, { key: 1 }));
  await does(() => {});
  assert.equal(last().of("leave_note").length, 0);
  await render(h(Titles, { key: 0 }));
  await does(() => {});
  assert.equal(last().of("leave_note").length, 1);
});

test("an error of the connection can be dismissed, and the next one is told", async () => {
  const errors = [];
  const App = () => void useWebSocket({ onError: ({ code }) => errors.push(code) });
  await render(h(WebSocketStatus, { key: 1 }), h(App, { key: 2 }));
  await authenticate();
  await does(() => last().drop());
  assert.match(text("[role=alert]"), /the connection ended/);
  await click("Dismiss the error");
  assert.equal(page.querySelector("[role=alert]"), null);
  await does(async () => { await clock.advance(1_000); last().drop(4413); });
  assert.match(text("[role=alert]"), /4413/);
  assert.deepEqual(errors, ["connection-lost", "too-slow"]);
});

test("the indicator says that it is fetching until a full sync is done, and when it was when offline", async () => {
  let finish;
  client.onFullSync(() => new Promise((resolve) => (finish = resolve)));
  await render(h(SyncIndicator));
  assert.equal(text(".staffetta-sync"), "○Not synced yet");
  await connect();
  await does(() => { last().open(); last().say(authOk({ need_full_sync: true })); });
  assert.equal(text(".staffetta-sync"), "⇅Fetching everything");
  await does(() => finish());
  assert.match(text(".staffetta-sync"), /^✓Up to date, /);
  await does(() => last().drop());
  assert.match(text(".staffetta-sync"), /^○Last synced /);
});

test("the indicator tells of changes on their way, the notification of others' changes", async () => {
  function Edit() {
    const { sendNoteUpdate } = useWebSocket();
    return h("button", { onClick: () => void sendNoteUpdate("n", { title: "t" }) }, "edit");
  }
  const shown = (durationMs) => [h(SyncIndicator, { key: 1 }), h(SyncNotification, { key: 2, durationMs }), h(Edit, { key: 3 })];
  await render(...shown(60_000));
  await authenticate();
  assert.equal(text(".staffetta-sync"), "✓Up to date");
  await click("edit");
  assert.equal(text(".staffetta-sync"), "⇅1 change to send");
  await does(() => last().say({ type: "note_update_success", noteId: "n", updatedNote: { id: "n", title: "t" } }));
  assert.match(text(".staffetta-sync"), /^✓Up to date, /);
  await does(() => last().say({ type: "note_sync", noteId: "n", changes: {}, updatedNote: { id: "n", title: "t" }, event_id: "e", seq: 1 }));
  assert.equal(text(".staffetta-notification"), "“t” was changed on another device");
  await render(...shown(1));
  const end = Date.now() + 10_000;
  while (text(".staffetta-notification") !== "" && Date.now() < end) {
    await act(() => new Promise((resolve) => setTimeout(resolve, 10)));
  }
  assert.equal(text(".staffetta-notification"), "");
});

test("without a client the hooks say what is missing", async (context) => {
  context.mock.method(console, "error", () => {});
  await assert.rejects(async () => act(() => root.render(h(WebSocketStatus))), { code: "no-client" });
});
