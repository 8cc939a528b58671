// Several tabs, one connection: the tab that holds a lock has the `Client`, and tells the others
// everything over a BroadcastChannel. When it goes, the next one has it.
//
// An event is acked when the connected tab has applied it; every tab's handlers get it.

import { Client } from "./client.js";
import { systemClock } from "./clock.js";
import { Database } from "./database.js";
import { Emitter } from "./emitter.js";
import { asError, StaffettaError } from "./errors.js";
import { Handlers } from "./handlers.js";
import { fetchFrom } from "./http.js";
import { logOf } from "./log.js";
import { NOTHING, plain, revived } from "./snapshot.js";
import { askForToken, endOf } from "./token.js";

const log = logOf("shared");

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./client.js").HubEvent} HubEvent */
/** @typedef {import("./client.js").ClientOptions & { BroadcastChannel?: any }} SharedOptions */
/** @typedef {import("./snapshot.js").Snapshot} Snapshot */

const SEEN_MAX = 2_000;
/** A tab that does not let go of the connection for so long is frozen; it signs out when it wakes. */
const FROZEN_MS = 5_000;

/** What is forwarded from the connected tab as it is. */
const FORWARDED = /** @type {const} */ (["authenticated", "message", "taken", "fullsync", "signedout", "stopped"]);

/** Whether this browser can share. */
export function canShare() {
  return Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel);
}

/** @extends {Emitter<import("./client.js").ClientEvents>} */
export class SharedClient extends Emitter {
  /** @type {Client | null} */
  #client = null;
  #handlers = new Handlers();
  /** @type {Array<{ stores: string[], type: string, apply: import("./database.js").ApplyInTransaction }>} */
  #inTransaction = [];
  /** @type {Set<string>} */
  #seen = new Set();
  /** @type {Map<string, { frame: Frame, resolve: (answer: any) => void, reject: (error: Error) => void }>} */
  #asked = new Map();
  #snapshot = NOTHING;
  /** @type {AbortController | null} */
  #candidacy = null;
  /** @type {(() => void) | null} */
  #resign = null;
  #count = 0;
  #token = "";
  /** @type {Map<string, Set<string>>} */
  #rooms = new Map();
  /** @type {Promise<void>} */
  #work = Promise.resolve();

  /** @param {SharedOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.name = options.name ?? "staffetta";
    this.clock = options.clock ?? systemClock;
    this.tab = globalThis.crypto.randomUUID();
    this.locks = /** @type {LockManager} */ (options.locks ?? globalThis.navigator?.locks);
    const Channel = options.BroadcastChannel ?? globalThis.BroadcastChannel;
    this.channel = new Channel(`staffetta:${this.name}`);
    this.channel.onmessage = (/** @type {MessageEvent} */ { data }) => void this.#told(data);
    this.#tell({ kind: "hello" });
    // A page that may come back keeps its rooms.
    globalThis.addEventListener?.("pagehide", this.#onHide);
  }

  #onHide = (/** @type {any} */ { persisted }) => void (persisted || this.#tell({ kind: "gone" }));

  /** Whether the connection is this tab's. */
  get isLeader() {
    return this.#client !== null;
  }

  /** @returns {Snapshot} */
  get snapshot() {
    return this.#client?.snapshot ?? this.#snapshot;
  }

  /** Stands for the connection: has it when nobody else has. */
  connect() {
    if (this.#candidacy) return this.#client?.connect();
    const candidacy = new AbortController();
    this.#candidacy = candidacy;
    this.locks
      .request(this.#lockName, { signal: candidacy.signal }, () => this.#lead())
      .catch((error) => error?.name === "AbortError" || log("no lock", error));
  }

  /** Leaves the connection to another tab; events of that one still come here. */
  disconnect() {
    this.#candidacy?.abort(new DOMException("disconnected", "AbortError"));
    this.#candidacy = null;
    const client = this.#client;
    this.#client = null;
    client?.close();
    this.#resign?.();
    this.#resign = null;
    if (!client) return;
    this.#show(NOTHING);
    this.#tell({ kind: "state", snapshot: NOTHING });
  }

  /** Tries at once instead of later, or makes sure that the connection lives. */
  reconnect() {
    if (!this.#candidacy) return this.connect();
    if (this.#client) return this.#client.reconnect();
    this.#tell({ kind: "reconnect" });
  }

  /** Signs every tab out. */
  async logout() {
    const wasLeader = this.isLeader;
    this.#tell({ kind: "logout" });
    await this.#signOut();
    // Another tab has the session, or none has: then it is forgotten here.
    if (wasLeader) return;
    const signal = AbortSignal.timeout(FROZEN_MS);
    const forgetting = this.locks.request(this.#lockName, { signal }, () => this.#forget());
    await forgetting.catch((error) => log("the session is still another tab's", error));
  }

  async #forget() {
    const client = new Client(this.options);
    await client.logout();
    client.close();
  }

  /** Ends for good. */
  close() {
    this.disconnect();
    this.#tell({ kind: "gone" });
    globalThis.removeEventListener?.("pagehide", this.#onHide);
    this.channel.close();
  }

  /** @type {Client["onEvent"]} */
  onEvent(type, handler) {
    return this.#handlers.add(type, handler);
  }

  /** @type {Client["applyIn"]} */
  applyIn(stores, type, apply) {
    if (!(this.options.storage instanceof Database)) {
      throw new StaffettaError("no-database", "applyIn needs a Database as the client's storage");
    }
    const entry = { stores, type, apply };
    this.#inTransaction.push(entry);
    const off = this.#client?.applyIn(stores, type, apply);
    return () => {
      this.#inTransaction = this.#inTransaction.filter((other) => other !== entry);
      off?.();
    };
  }

  /** @type {Client["onFullSync"]} */
  onFullSync(handler) {
    return this.#handlers.addFullSync(handler);
  }

  /** @type {Client["send"]} */
  send(frame) {
    if (this.#client) return this.#sendFor(this.tab, frame);
    this.#tell({ kind: "send", frame });
    return this.#snapshot.state === "authenticated";
  }

  /** @type {Client["enqueue"]} */
  enqueue(frame, id = this.#newId()) {
    // Until it is answered: this tab, or the one that has the connection, may go before that.
    const answered = new Promise((resolve, reject) => this.#asked.set(id, { frame, resolve, reject }));
    if (this.#client) void this.#ask(this.#client, id, frame).then((answer) => this.#answered(answer));
    else this.#tell({ kind: "enqueue", id, frame });
    return answered;
  }

  /** @param {Client} client @param {string} id @param {Frame} frame */
  async #ask(client, id, frame) {
    try {
      return { id, value: await client.enqueue(frame, id) };
    } catch (thrown) {
      const { code = "failed", message, noteId } = /** @type {StaffettaError} */ (thrown);
      return { id, error: { code, message, noteId } };
    }
  }

  /** Changes of this tab that wait to be sent. */
  get pendingFrames() {
    return this.#client?.pendingFrames ?? [...this.#asked.values()].map(({ frame }) => frame);
  }

  /** @type {Client["fetch"]} */
  async fetch(path, init) {
    if (this.#client) return this.#client.fetch(path, init);
    // A token never goes over the channel: each tab asks for its own.
    const end = endOf(this.#token);
    if (!this.#token || end === null || end < Date.now() + 30_000) {
      this.#token = (await askForToken(this.options.getToken, "connect")) ?? "";
    }
    return fetchFrom(this.options, this.#token, path, init);
  }

  /** @type {Client["catchUp"]} */
  async catchUp() {
    if (!this.#client) throw new StaffettaError("not-leader", "another tab has the connection");
    return this.#client.catchUp();
  }

  /** Has the connection until `disconnect`. */
  #lead() {
    if (!this.#candidacy) return;
    const client = new Client(this.options);
    this.#client = client;
    this.#rooms.clear();
    client.on("state", () => {
      this.#show(client.snapshot);
      this.#tell({ kind: "state", snapshot: plain(client.snapshot) });
    });
    for (const name of FORWARDED) {
      client.on(name, (/** @type {any} */ value) => {
        if (name === "fullsync") this.#tell({ kind: "state", snapshot: plain(client.snapshot) });
        this.#tell({ kind: "forward", name, value });
        this.emit(name, value);
      });
    }
    for (const name of /** @type {const} */ (["error", "refused"])) {
      client.on(name, (/** @type {any} */ value) => this.emit(name, value));
    }
    for (const { stores, type, apply } of this.#inTransaction) client.applyIn(stores, type, apply);
    client.onEvent("*", async (event) => {
      await this.#deliver(event);
      this.#tell({ kind: "event", event });
    });
    client.onFullSync(async (request) => {
      this.#tell({ kind: "fullsync", request });
      for (const handler of this.#handlers.fullSyncs) await handler(request);
    });
    client.connect();
    // What this tab asked of the one before is now its own to send.
    for (const [id, { frame }] of this.#asked) {
      void this.#ask(client, id, frame).then((answer) => this.#answered(answer));
    }
    this.#tell({ kind: "leader" });
    return new Promise((resolve) => (this.#resign = () => resolve(undefined)));
  }

  /** @param {any} message */
  async #told(message) {
    if (this.#client) return this.#toldAsLeader(this.#client, message);
    switch (message.kind) {
      case "state":
        return this.#show(revived(message.snapshot, this.#snapshot));
      case "forward":
        return this.emit(message.name, message.value);
      case "event":
        return this.#then(() => this.#deliver(message.event));
      case "fullsync":
        for (const handler of this.#handlers.fullSyncs) this.#then(() => handler(message.request));
        return;
      case "leader":
        for (const [id, { frame }] of this.#asked) this.#tell({ kind: "enqueue", id, frame });
        return;
      case "answer":
        return this.#answered(message);
      case "logout":
        return this.#signOut();
    }
  }

  /** @param {Client} client @param {any} message */
  async #toldAsLeader(client, message) {
    switch (message.kind) {
      case "hello":
        return this.#tell({ kind: "state", snapshot: plain(client.snapshot) });
      case "reconnect":
        return client.reconnect();
      case "send":
        return void this.#sendFor(message.tab, message.frame);
      case "gone":
        for (const [noteId, tabs] of this.#rooms) {
          if (tabs.has(message.tab)) this.#sendFor(message.tab, { type: "leave_note", noteId });
        }
        return;
      case "logout":
        return this.#signOut();
      case "enqueue": {
        const answer = await this.#ask(client, message.id, message.frame);
        return this.#tell({ kind: "answer", ...answer });
      }
    }
  }

  /**
   * Does what another tab told of, one thing after the other.
   * @param {() => void | Promise<void>} work
   */
  #then(work) {
    this.#work = this.#work.then(work).catch((error) => this.emit("error", asError(error)));
  }

  /**
   * Sends for a tab. A room is left when the last tab has left it.
   * @param {string} tab
   * @param {Frame} frame
   */
  #sendFor(tab, frame) {
    const noteId = String(frame.noteId);
    if (frame.type === "join_note") {
      this.#rooms.set(noteId, (this.#rooms.get(noteId) ?? new Set()).add(tab));
    }
    if (frame.type === "leave_note") {
      const tabs = this.#rooms.get(noteId);
      tabs?.delete(tab);
      if (tabs && tabs.size > 0) return false;
    }
    return this.#client?.send(frame) ?? false;
  }

  get #lockName() {
    return `staffetta:${this.name}:leader`;
  }

  /** @param {any} answer */
  #answered({ id, value, error }) {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error) return asked?.reject(new StaffettaError(error.code, error.message, { noteId: error.noteId }));
    asked?.resolve(value);
  }

  /** @param {HubEvent} event */
  async #deliver(event) {
    if (this.#seen.has(event.event_id)) return;
    await this.#handlers.apply(event, async () => {});
    this.#seen.add(event.event_id);
    if (this.#seen.size > SEEN_MAX) this.#seen.delete(/** @type {string} */ (this.#seen.values().next().value));
    this.emit("event", event);
  }

  async #signOut() {
    const client = this.#client;
    if (client) await client.logout();
    for (const { reject } of this.#asked.values()) reject(new StaffettaError("closed", "signed out"));
    this.#asked.clear();
    this.#seen.clear();
    this.#token = "";
    this.disconnect();
    this.#show(NOTHING);
  }

  /** @param {Snapshot} snapshot */
  #show(snapshot) {
    this.#snapshot = snapshot;
    this.emit("state", snapshot);
  }

  /** @param {Record<string, any>} message */
  #tell(message) {
    this.channel.postMessage({ ...message, tab: this.tab });
  }

  /** Rises with time, as the queue's own names do. */
  #newId() {
    const now = String(Date.now()).padStart(15, "0");
    return `${now}-${String(this.#count++).padStart(8, "0")}-${this.tab}`;
  }
}
