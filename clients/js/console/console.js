// The console: signs an administrator in, hears the figures over `/ws` with the hub's own client,
// and shows the user and the event that the address names.

import { Client, MemoryKeyValue } from "../client/index.js";
import { Api, Refusal } from "./api.js";
import { Charts } from "./charts.js";
import { find, showProblem } from "./dom.js";
import { EventView } from "./event.js";
import { FigureTiles } from "./figures.js";
import { NodeTable } from "./nodes.js";
import { UserView } from "./user.js";

/** Held for this tab, and until it is closed. */
const KEY = "staffetta-console-key";
const SESSION = "staffetta-console-session";
const WORDS = {
  disconnected: "Not connected",
  connecting: "Connecting",
  connected: "Signing in",
  authenticated: "Live",
  reconnecting: "Reconnecting",
  error: "No connection",
};

/** Remembers the session of this tab, so that a page that is loaded again is the same one. */
class TabStorage extends MemoryKeyValue {
  constructor() {
    super();
    const kept = JSON.parse(sessionStorage.getItem(SESSION) ?? "{}");
    for (const [key, value] of Object.entries(kept)) void super.set(key, value);
  }

  async set(key, value) {
    await super.set(key, value);
    sessionStorage.setItem(SESSION, JSON.stringify(Object.fromEntries(await this.entries(""))));
  }
}

let client = /** @type {Client | null} */ (null);
let views = /** @type {{ user: UserView, event: EventView, api: Api } | null} */ (null);

async function signIn(key) {
  const api = new Api(key);
  let first = await api.ticket();
  sessionStorage.setItem(KEY, key);
  find("welcome").hidden = true;
  find("stage").hidden = false;
  find("sign-out").hidden = false;
  find("status").hidden = false;
  const tiles = new FigureTiles();
  const charts = new Charts();
  const nodes = new NodeTable();
  const user = new UserView(api, { confirm, done });
  const event = new EventView(api, (name) => go("user", name));
  views = { user, event, api };
  client = new Client({
    url: new URL("..", location.href).href,
    getToken: async () => {
      const token = first ?? (await api.ticket());
      first = null;
      return token;
    },
    name: "staffetta-console",
    storage: new TabStorage(),
    locks: null,
    offline: "full_sync",
    backoffMsMax: 5_000,
  });
  client.on("state", ({ state }) => showState(state));
  client.on("error", (error) => console.warn(error));
  let beats = 0;
  client.onEvent("console_stats", (stats) => {
    const figures = tiles.show(stats);
    if (figures !== null) charts.add(figures);
    nodes.show(stats);
    beats += 1;
    if (document.hidden) return;
    void event.refresh();
    if (beats % 2 === 0) void user.refresh();
  });
  client.connect();
  follow();
}

function signOut() {
  client?.close();
  client = null;
  views = null;
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(SESSION);
  location.replace(location.pathname);
}

function showState(state) {
  find("status").dataset.status = state;
  find("status").querySelector(".words").textContent = WORDS[state] ?? state;
}

/** Asks before something that cannot be undone. */
function confirm(words, yes) {
  const dialog = find("confirm");
  find("confirm-words").textContent = words;
  find("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

let doneTimer = 0;
function done(words) {
  const place = find("done");
  place.textContent = words;
  clearTimeout(doneTimer);
  doneTimer = setTimeout(() => (place.textContent = ""), 6_000);
}

/** The user and the event in the address: what is shown can be linked to. */
function address() {
  return new URLSearchParams(location.hash.slice(1));
}

function go(what, name) {
  const parameters = address();
  parameters.set(what, name);
  const hash = `#${parameters}`;
  if (hash === location.hash) follow();
  else location.hash = hash;
}

function follow() {
  const user = address().get("user");
  const event = address().get("event");
  if (user) void views?.user.open(user);
  else views?.user.close();
  if (event) void views?.event.open(event);
  else views?.event.close();
}

async function publish() {
  const user = views?.user.user;
  if (!user) return;
  try {
    const text = find("publish-data").value.trim();
    const data = text === "" ? null : parse(text);
    const { event_id: id } = await views.api.publish(user, { type: find("publish-type").value, data });
    showProblem("user-problem", null);
    done("Published.");
    go("event", id);
  } catch (error) {
    showProblem("user-problem", error);
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("The data is not JSON.");
  }
}

const submitted = (id, act) =>
  find(id).addEventListener("submit", (event) => {
    event.preventDefault();
    void act();
  });

submitted("sign-in", async () => {
  showProblem("problem", null);
  try {
    await signIn(find("key").value.trim());
    find("key").value = "";
    find("user").focus();
  } catch (error) {
    showProblem("problem", error);
  }
});
submitted("find-user", () => go("user", find("user").value.trim()));
submitted("find-event", () => go("event", find("event").value.trim()));
submitted("publish", publish);
find("sign-out").addEventListener("click", signOut);
addEventListener("hashchange", follow);

const kept = sessionStorage.getItem(KEY);
if (kept === null) find("key").focus();
else {
  signIn(kept).catch((error) => {
    if (error instanceof Refusal && error.status > 0) sessionStorage.removeItem(KEY);
    showProblem("problem", error);
  });
}
