// The client of `/updates`: handlers per entity and action, replies when they are done, commands
// that are answered, and accounts that never mix.

import { claimSlot } from "./claim.js";
import { systemClock } from "./clock.js";
import { updatesDialect } from "./dialects.js";
import { Emitter } from "./emitter.js";
import { StaffettaError, UnansweredError } from "./errors.js";
import { FullSync } from "./full-sync.js";
import { Inbox } from "./inbox.js";
import { Link } from "./link.js";
import { CloseCode } from "./protocol.js";
import { openStorage, SessionStore } from "./session-store.js";

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {"new" | "update" | "delete"} Action */

/**
 * @typedef {object} Update
 * @property {string} ref
 * @property {string} account
 * @property {string} entity
 * @property {Action} action
 * @property {boolean} silent Not to be announced to the person.
 * @property {any[]} items
 */

/** @typedef {(update: Update) => void | Promise<void>} UpdateHandler */
/** @typedef {{ account: string, entity: string, action: string, handler: UpdateHandler }} Entry */

/** The account of what names none. */
export const PERSONAL = "personal";

/**
 * @typedef {object} UpdatesEvents
 * @property {import("./link.js").Snapshot} state
 * @property {import("./link.js").Auth} authenticated
 * @property {Update} update An update, when it is applied.
 * @property {{ isUnderWay: boolean }} fullsync
 * @property {Error} error
 * @property {number} stopped
 * @property {void} signedout
 */

export class UpdatesClient {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {import("./full-sync.js").FullSyncHandler[]} */
  #fullSyncs = [];
  /** @type {Map<string, { resolve: (data: any) => void, reject: (error: Error) => void, timer: any }>} */
  #commands = new Map();
  #commandCount = 0;
  /** @type {Promise<void> | null} */
  #starting = null;
  /** @type {SessionStore | null} */
  #store = null;
  /** @type {import("./claim.js").Claim | null} */
  #claim = null;

  /** @param {import("./client.js").ClientOptions} options As `Client`'s. */
  constructor(options) {
    /** @type {Emitter<UpdatesEvents>} What becomes of the connection. */
    this.events = new Emitter();
    this.options = options;
    this.name = `${options.name ?? "staffetta"}-updates`;
    this.clock = options.clock ?? systemClock;
    this.link = new Link(updatesDialect, options, async () => {
      await this.start();
      return this.#store?.record.sessionId ?? null;
    });
    this.inbox = new Inbox({
      clock: this.clock,
      apply: (update) => this.#apply(update),
      keep: async (refs, cursor) => this.#store?.keepProcessed(refs, cursor),
      ack: (refs) => this.#reply(refs),
      onError: (error) => this.#failed(error),
    });
    this.fullSync = new FullSync({
      clock: this.clock,
      handlers: () => [...this.#fullSyncs],
      hold: () => this.inbox.hold(),
      release: () => this.inbox.release(),
      complete: async () => {
        await this.command("sync_complete");
        this.link.synced();
        this.events.emit("fullsync", { isUnderWay: false });
      },
      onError: (error) => this.#failed(error),
    });
    this.link.on("state", (snapshot) => {
      if (snapshot.state !== "authenticated") this.#lost();
      this.events.emit("state", snapshot);
    });
    this.link.on("authenticated", (auth) => void this.#authenticated(auth));
    this.link.on("renewed", (auth) => this.#settle(auth));
    this.link.on("frame", (frame) => this.#heard(frame));
    this.link.on("signedout", () => this.events.emit("signedout", undefined));
    this.link.on("stopped", (code) => void this.#stopped(code));
  }

  get snapshot() {
    return { ...this.link.snapshot, isFullSyncUnderWay: this.link.isSyncDue };
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

  /** Ends the connection and forgets the session. */
  async logout() {
    this.disconnect();
    await this.start();
    this.inbox.forget();
    await this.#store?.clear();
  }

  /** Ends for good: another client may have this one's session. */
  close() {
    this.disconnect();
    this.#claim?.release();
    this.#claim = null;
  }

  /**
   * Applies updates of an entity and action ("*": of any). The hub is replied to once every
   * handler is done; when one throws, the update comes again.
   * @param {string} entity
   * @param {Action | "*"} action
   * @param {UpdateHandler} handler
   * @param {{ account?: string }} [options] The account; "personal".
   * @returns {() => void} Ends it.
   */
  on(entity, action, handler, { account = PERSONAL } = {}) {
    const entry = { account, entity, action, handler };
    this.#entries.push(entry);
    return () => void (this.#entries = this.#entries.filter((other) => other !== entry));
  }

  /**
   * The same client, as one account.
   * @param {string} account
   */
  account(account) {
    return {
      account,
      /** @param {string} entity @param {Action | "*"} action @param {UpdateHandler} handler */
      on: (entity, action, handler) => this.on(entity, action, handler, { account }),
      /** @param {string} name @param {any} [data] @param {{ timeoutMs?: number }} [options] */
      command: (name, data, options) => this.command(name, data, { ...options, account }),
    };
  }

  /**
   * Asks the application. Rejects with the error the application answers, `UnansweredError`
   * when the connection ends before it does, or when it takes too long.
   * @param {string} name
   * @param {any} [data]
   * @param {{ account?: string, timeoutMs?: number }} [options]
   * @returns {Promise<any>}
   */
  command(name, data, { account = PERSONAL, timeoutMs = 35_000 } = {}) {
    const ref = `c${++this.#commandCount}`;
    const payload = { name, ref, ...(data !== undefined && { data }) };
    if (!this.link.send({ account, type: "command", payload })) {
      return Promise.reject(new UnansweredError("connection-lost", "not connected"));
    }
    return new Promise((resolve, reject) => {
      const late = () => this.#answer(ref)?.reject(new UnansweredError("timeout", `${name} was not answered`));
      const timer = this.clock.setTimeout(late, timeoutMs);
      this.#commands.set(ref, { resolve, reject, timer });
    });
  }

  /**
   * Fetches the application's whole state when the hub says so.
   * @param {import("./full-sync.js").FullSyncHandler} handler
   * @returns {() => void} Ends it.
   */
  onFullSync(handler) {
    this.#fullSyncs.push(handler);
    return () => void (this.#fullSyncs = this.#fullSyncs.filter((other) => other !== handler));
  }

  /** Reads what an earlier life left. `connect` does this; once is enough. */
  start() {
    return (this.#starting ??= this.#load().catch((error) => {
      this.#starting = null;
      throw error;
    }));
  }

  async #load() {
    const storage = this.options.storage ?? (await openStorage(this.name));
    this.#claim = await claimSlot(this.name, this.options.locks);
    this.#store = new SessionStore(storage, `updates-${this.#claim.slot}`);
    this.inbox.remember(await this.#store.load());
  }

  /** @param {import("./link.js").Auth} auth */
  async #authenticated(auth) {
    const before = this.#store?.record;
    if (before?.user && before.user !== auth.user) this.inbox.forget();
    if (auth.needFullSync) this.inbox.hold();
    this.events.emit("authenticated", auth);
    await this.#store?.keepSession(auth.user, auth.sessionId).catch(() => {});
    this.#settle(auth);
  }

  /** @param {import("./link.js").Auth} auth */
  #settle(auth) {
    if (!auth.needFullSync || !this.link.isAuthenticated) return;
    this.fullSync.start(auth.cursor);
    this.events.emit("fullsync", { isUnderWay: true });
  }

  /** @param {Frame} frame */
  #heard({ type, account = PERSONAL, payload = {} }) {
    if (type === "update") {
      const { ref, silent = false, action, payload: content = {} } = payload;
      const { type: entity, items = [] } = content;
      // No seq on this wire; 0 says that a reply is wanted.
      return this.inbox.receive({ id: ref, seq: 0, value: { ref, account, entity, action, silent, items } });
    }
    if (type !== "reply") return;
    const command = this.#answer(payload.ref);
    if (!command) return;
    if (payload.ok) return command.resolve(payload.data);
    const { code = "refused", message = "refused" } = payload.error ?? {};
    command.reject(new StaffettaError(code, message));
  }

  /** @param {Update} update */
  async #apply(update) {
    for (const { account, entity, action, handler } of [...this.#entries]) {
      if (account !== update.account) continue;
      if (entity !== "*" && entity !== update.entity) continue;
      if (action !== "*" && action !== update.action) continue;
      await handler(update);
    }
    this.events.emit("update", update);
  }

  /** @param {string[]} refs */
  #reply(refs) {
    return refs.every((ref) => this.link.send({ account: PERSONAL, type: "reply", payload: { ref } }));
  }

  /** @param {string} ref */
  #answer(ref) {
    const command = this.#commands.get(ref);
    this.#commands.delete(ref);
    this.clock.clearTimeout(command?.timer);
    return command;
  }

  /** @param {Error} error */
  #failed(error) {
    if (this.events.hears("error")) return this.events.emit("error", error);
    console.error("staffetta: nobody listens for errors", error);
  }

  #lost() {
    if (this.fullSync.isUnderWay) this.events.emit("fullsync", { isUnderWay: false });
    this.fullSync.stop();
    for (const ref of [...this.#commands.keys()]) {
      this.#answer(ref)?.reject(new UnansweredError("connection-lost", "the connection ended first"));
    }
  }

  /** @param {number} code */
  async #stopped(code) {
    if (code === CloseCode.REVOKED) await this.#store?.clear();
    this.events.emit("stopped", code);
  }
}
