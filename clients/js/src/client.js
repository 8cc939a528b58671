// The client of `/ws`: one reliable session. Everything it does is done by the files it imports;
// this one joins them.

import { claimSlot, whileUnclaimed } from "./claim.js";
import { systemClock } from "./clock.js";
import { nativeDialect } from "./dialects.js";
import { Database } from "./database.js";
import { Emitter } from "./emitter.js";
import { StaffettaError } from "./errors.js";
import { FullSync } from "./full-sync.js";
import { Handlers } from "./handlers.js";
import { fetchFrom, pagesOf } from "./http.js";
import { Inbox } from "./inbox.js";
import { Link } from "./link.js";
import { logOf } from "./log.js";
import { OutgoingQueue } from "./outgoing-queue.js";
import { CloseCode } from "./protocol.js";
import { openStorage, SessionStore } from "./session-store.js";

const log = logOf("client");

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./link.js").Snapshot} Snapshot */
/** @typedef {import("./link.js").Auth} Auth */

/**
 * An event: its type, the hub's `event_id` and `seq`, and its data's fields (or `data`).
 * @typedef {{ type: string, event_id: string, seq?: number, [field: string]: any }} HubEvent
 */

/**
 * @typedef {object} ClientOnlyOptions
 * @property {string} [name] Tells several clients of one origin apart; "staffetta".
 * @property {import("./kv.js").KeyValue} [storage] Where to remember; IndexedDB where there is
 *   one, else localStorage, else memory. A `Database` lets `applyIn` work.
 * @property {boolean} [catchUp] Whether a full sync is first tried as a catch-up from the hub's
 *   log; no. Only for applications whose whole state is in their events.
 * @property {number} [queueMax] Changes that may wait to be sent; 1000.
 * @property {LockManager | null} [locks]
 * @property {typeof fetch} [fetch]
 */

/** @typedef {import("./link.js").LinkOptions & ClientOnlyOptions} ClientOptions */

/**
 * @typedef {object} ClientEvents
 * @property {Snapshot} state
 * @property {Auth} authenticated
 * @property {HubEvent} event An event, when it is applied.
 * @property {Frame} message Any other frame: answers, presence, signals.
 * @property {{ id: string, frame: Frame, answer: Frame | null }} taken A queued change, taken by the hub.
 * @property {{ id: string, frame: Frame, error: StaffettaError }} refused The same, refused.
 * @property {{ isUnderWay: boolean }} fullsync
 * @property {Error} error What went wrong in a handler, a full sync or the store.
 * @property {number} stopped It no longer tries: the close code.
 * @property {void} signedout `getToken` gave none.
 */

/** @extends {Emitter<ClientEvents>} */
export class Client extends Emitter {
  #handlers = new Handlers();
  #isStarted = false;
  /** @type {Promise<void> | null} */
  #starting = null;
  /** @type {import("./claim.js").Claim | null} */
  #claim = null;
  /** @type {SessionStore | null} */
  #store = null;
  /** @type {OutgoingQueue | null} */
  #queue = null;
  /** @type {import("./kv.js").KeyValue | null} */
  #storage = null;
  #isClosed = false;
  /** Counts the times it was authenticated. */
  #life = 0;

  /** @param {ClientOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.name = options.name ?? "staffetta";
    this.clock = options.clock ?? systemClock;
    this.link = new Link(nativeDialect, options, async () => {
      await this.start();
      return this.#store?.record.sessionId ?? null;
    });
    this.inbox = new Inbox({
      clock: this.clock,
      apply: (event) => this.#apply(event),
      keep: async (ids, cursor) => this.#store?.keepProcessed(ids, cursor),
      ack: (ids) => this.link.send({ type: "ack", event_ids: ids }),
      onError: (error) => this.#failed(error),
    });
    this.fullSync = new FullSync({
      clock: this.clock,
      handlers: () => this.#handlers.fullSyncs,
      hold: () => this.inbox.hold(),
      release: () => this.inbox.release(),
      complete: (cursor, isCurrent) => this.#completeFullSync(cursor, isCurrent),
      onError: (error) => this.#failed(error),
    });
    this.link.on("state", (snapshot) => this.#changed(snapshot));
    this.link.on("authenticated", (auth) => void this.#authenticated(auth));
    this.link.on("renewed", (auth) => this.#settle(auth));
    this.link.on("frame", (frame) => this.#heard(frame));
    this.link.on("signedout", () => this.emit("signedout", undefined));
    this.link.on("stopped", (code) => void this.#stopped(code));
  }

  /** @returns {Snapshot & { pendingChanges: number, isFullSyncUnderWay: boolean, cursor: number }} */
  get snapshot() {
    return {
      ...this.link.snapshot,
      pendingChanges: this.#queue?.length ?? 0,
      isFullSyncUnderWay: this.link.isSyncDue,
      cursor: this.inbox.cursor,
    };
  }

  /** Connects, and stays connected. */
  connect() {
    this.link.connect();
  }

  /** Ends the connection and stays away; the session is remembered. */
  disconnect() {
    this.link.disconnect();
  }

  /** Tries at once instead of later, or makes sure that the connection lives. */
  reconnect() {
    this.link.reconnectNow();
  }

  /** Ends the connection and forgets the session and what waits to be sent. */
  async logout() {
    this.disconnect();
    await this.start();
    await this.#forget();
  }

  /** Ends for good: another client may have this one's session. */
  close() {
    this.disconnect();
    this.#isClosed = true;
    this.#claim?.release();
    this.#claim = null;
  }

  /**
   * Applies events of a type ("*": of every type). The event is acked once every handler is
   * done; when one throws, the event comes again.
   * @param {string} type
   * @param {(event: HubEvent) => void | Promise<void>} handler
   * @returns {() => void} Ends it.
   */
  onEvent(type, handler) {
    return this.#handlers.add(type, handler);
  }

  /**
   * Applies events of a type inside a transaction over `stores` of the `Database` that is this
   * client's storage: exactly once per device, even if the tab dies or another tab gets it too.
   * @param {string[]} stores
   * @param {string} type
   * @param {import("./database.js").ApplyInTransaction} apply
   * @returns {() => void} Ends it.
   */
  applyIn(stores, type, apply) {
    if (!(this.options.storage instanceof Database)) {
      throw new StaffettaError("no-database", "applyIn needs a Database as the client's storage");
    }
    return this.#handlers.addInTransaction(type, stores, apply);
  }

  /**
   * Fetches the application's whole state when the hub says so. Until it succeeds it is tried
   * again, and events wait.
   * @param {import("./full-sync.js").FullSyncHandler} handler
   * @returns {() => void} Ends it.
   */
  onFullSync(handler) {
    return this.#handlers.addFullSync(handler);
  }

  /**
   * Sends a frame now, or not at all: for what is of the moment.
   * @param {Frame} frame
   * @returns {boolean} Whether it was sent.
   */
  send(frame) {
    const isSent = this.link.send(frame);
    if (isSent) this.#queue?.sentBeside(frame);
    return isSent;
  }

  /**
   * Sends a change when it can be sent, in order, and remembers it until then.
   * @param {Frame} frame
   * @param {string} [id]
   * @returns {Promise<Frame | null>} The hub's answer, or null where it takes in silence.
   */
  async enqueue(frame, id) {
    await this.start();
    return /** @type {OutgoingQueue} */ (this.#queue).enqueue(frame, id);
  }

  /** Changes that wait to be sent. */
  get pendingFrames() {
    return this.#queue?.frames ?? [];
  }

  /**
   * Asks the hub's HTTP API as this user.
   * @param {string} path Such as "/api/v1/notes".
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  fetch(path, init) {
    return fetchFrom(this.options, this.link.token, path, init);
  }

  /**
   * Applies what the log holds beyond the cursor.
   * @returns {Promise<boolean>} False when the log no longer reaches back, or an event was not
   *   applied: then only a full sync helps.
   */
  async catchUp() {
    const pages = pagesOf((path) => this.fetch(path), this.inbox.cursor);
    for await (const { events, cursor } of pages) {
      if (events === null) return false;
      for (const event of events) {
        const arrival = { id: event.event_id, seq: event.seq ?? null, value: event };
        if (!(await this.inbox.applyNow(arrival))) return false;
      }
      this.inbox.settledUpTo(cursor);
    }
    await this.#store?.keepProcessed([], this.inbox.cursor);
    return true;
  }

  /** Reads what an earlier life left. `connect` does this; once is enough. */
  start() {
    return (this.#starting ??= this.#load().catch((error) => {
      this.#starting = null;
      throw error;
    }));
  }

  async #load() {
    this.#storage = this.options.storage ?? (await openStorage(this.name));
    this.#claim = await claimSlot(this.name, this.options.locks);
    const { slot } = this.#claim;
    if (this.#isClosed) this.close();
    this.#store = new SessionStore(this.#storage, slot);
    const record = await this.#store.load();
    this.inbox.remember(record);
    const queue = new OutgoingQueue({
      clock: this.clock,
      storage: this.#storage,
      slot,
      user: record.user,
      itemsMax: this.options.queueMax,
      send: (frame) => this.link.send(frame),
      ping: (then) => this.link.ping(then),
      onTaken: (taken) => this.emit("taken", taken),
      onRefused: (refused) => this.emit("refused", refused),
    });
    this.#queue = queue;
    await queue.load();
    await this.#adopt(queue, slot);
    this.#isStarted = true;
  }

  /**
   * Takes over what tabs that are gone left unsent.
   * @param {OutgoingQueue} queue
   * @param {string} ours
   */
  async #adopt(queue, ours) {
    const entries = await /** @type {import("./kv.js").KeyValue} */ (this.#storage).entries("queue:");
    const slots = new Set(entries.map(([key]) => key.split(":")[1] ?? ours));
    slots.delete(ours);
    for (const slot of slots) {
      await whileUnclaimed(this.name, slot, () => queue.load(slot), this.options.locks);
    }
  }

  /** @param {Snapshot} snapshot */
  #changed(snapshot) {
    if (snapshot.state !== "authenticated") {
      this.#queue?.offline();
      if (this.fullSync.isUnderWay) {
        this.fullSync.stop();
        this.emit("fullsync", { isUnderWay: false });
      }
    }
    this.emit("state", this.snapshot);
  }

  /** @param {Auth} auth */
  async #authenticated(auth) {
    const life = ++this.#life;
    const isCurrent = () => life === this.#life && this.link.isAuthenticated;
    const before = this.#store?.record;
    if (before?.user && before.user !== auth.user) this.inbox.forget();
    const isLogBehind = auth.cursor < this.inbox.cursor && auth.needFullSync;
    const canCatchUp = this.options.catchUp === true && this.inbox.cursor > 0 && !isLogBehind;
    // Before anything is awaited: the frames right behind `auth_ok` are events.
    if (auth.needFullSync) this.inbox.hold();
    else this.inbox.settledUpTo(auth.cursor);
    this.emit("authenticated", auth);
    try {
      await this.#store?.keepSession(auth.user, auth.sessionId);
    } catch (error) {
      log("the session is not kept", error);
    }
    if (!isCurrent()) return;
    void this.#queue?.online(auth.user);
    if (auth.needFullSync && canCatchUp && (await this.#catchUpInstead(auth, isCurrent))) return;
    if (isCurrent()) this.#settle(auth);
  }

  /** @param {Auth} auth */
  #settle(auth) {
    if (!auth.needFullSync || !this.link.isAuthenticated) return;
    this.fullSync.start(auth.cursor);
    this.emit("fullsync", { isUnderWay: true });
  }

  /** @param {Auth} auth @param {() => boolean} isCurrent */
  async #catchUpInstead(auth, isCurrent) {
    try {
      if (!(await this.catchUp()) || !isCurrent() || !(await this.inbox.release())) return false;
      await this.#completeFullSync(auth.cursor, isCurrent);
      return true;
    } catch (error) {
      log("catching up failed", error);
      return false;
    }
  }

  /** @param {number} cursor @param {() => boolean} isCurrent */
  async #completeFullSync(cursor, isCurrent) {
    this.inbox.settledUpTo(cursor);
    await this.#store?.keepProcessed([], this.inbox.cursor);
    if (!isCurrent()) return;
    if (!this.link.send({ type: "sync_complete" })) {
      throw new StaffettaError("connection-lost", "the full sync was not confirmed");
    }
    this.link.synced();
    this.emit("fullsync", { isUnderWay: false });
  }

  /** @param {Frame} frame */
  #heard(frame) {
    if (typeof frame.event_id === "string") {
      const { event_id: id, seq = null } = frame;
      return this.inbox.receive({ id, seq, value: frame });
    }
    if (frame.type === "pong" || frame.type === "connection_established") return;
    this.#queue?.hear(frame);
    this.emit("message", frame);
  }

  /** @param {HubEvent} event */
  async #apply(event) {
    await this.#handlers.apply(event, async (stores, applies) => {
      const database = /** @type {Database} */ (this.#storage);
      await database.applyOnce(this.link.snapshot.user ?? "", event, stores, applies);
    });
    this.emit("event", event);
  }

  /** @param {number} code */
  async #stopped(code) {
    // A revoked session would be refused for ever; the next one starts with a full sync.
    if (code === CloseCode.REVOKED && this.#isStarted) await this.#store?.clear();
    this.emit("stopped", code);
  }

  /** @param {Error} error */
  #failed(error) {
    if (this.hears("error")) return this.emit("error", error);
    console.error("staffetta: nobody listens for errors", error);
  }

  async #forget() {
    this.inbox.forget();
    this.fullSync.stop();
    await this.#queue?.clear();
    await this.#store?.clear();
  }
}
