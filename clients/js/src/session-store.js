// What a session must remember across reloads: its name, the events it has applied, its cursor.

import { openDatabase } from "./database.js";
import { LocalKeyValue, MemoryKeyValue } from "./kv.js";
import { logOf } from "./log.js";

const log = logOf("session-store");

/**
 * @typedef {object} SessionRecord
 * @property {string | null} sessionId
 * @property {string | null} user
 * @property {number} cursor Everything at or below is applied.
 * @property {string[]} processed The last applied events, oldest first.
 */

/** @returns {SessionRecord} */
function nothing() {
  return { sessionId: null, user: null, cursor: 0, processed: [] };
}

/**
 * The best place there is: IndexedDB, else localStorage, else memory.
 * @param {string} name
 * @returns {Promise<import("./kv.js").KeyValue>}
 */
export async function openStorage(name) {
  try {
    if (typeof indexedDB !== "undefined") return await openDatabase({ name });
  } catch (error) {
    log("no IndexedDB", error);
  }
  try {
    if (typeof localStorage !== "undefined") {
      localStorage.setItem(`${name}:probe`, "1");
      localStorage.removeItem(`${name}:probe`);
      return new LocalKeyValue(name);
    }
  } catch (error) {
    log("no localStorage", error);
  }
  return new MemoryKeyValue();
}

export class SessionStore {
  /** @type {SessionRecord} */
  #record = nothing();
  /** @type {Promise<unknown>} */
  #writing = Promise.resolve();

  /**
   * @param {import("./kv.js").KeyValue} storage
   * @param {string} slot Tells the sessions of several open tabs apart.
   * @param {number} [processedMax]
   */
  constructor(storage, slot, processedMax = 500) {
    this.storage = storage;
    this.key = `session:${slot}`;
    this.processedMax = processedMax;
  }

  /** @returns {Promise<SessionRecord>} */
  async load() {
    const found = await this.storage.get(this.key);
    if (found && typeof found === "object") this.#record = { ...nothing(), ...found };
    return this.record;
  }

  /** @returns {SessionRecord} */
  get record() {
    return { ...this.#record, processed: [...this.#record.processed] };
  }

  /**
   * Keeps who this is. Another user's events and cursor go.
   * @param {string} user
   * @param {string} sessionId
   */
  async keepSession(user, sessionId) {
    const isOther = this.#record.user !== null && this.#record.user !== user;
    const isNew = this.#record.sessionId !== sessionId;
    if (isOther) this.#record = nothing();
    this.#record.user = user;
    this.#record.sessionId = sessionId;
    if (isOther || isNew) await this.#write();
  }

  /**
   * Keeps that these events are applied, and how far everything is.
   * @param {string[]} eventIds
   * @param {number} cursor
   */
  async keepProcessed(eventIds, cursor) {
    const processed = [...this.#record.processed, ...eventIds];
    this.#record.processed = processed.slice(-this.processedMax);
    this.#record.cursor = cursor;
    await this.#write();
  }

  /** Forgets the session, as at logout. */
  async clear() {
    this.#record = nothing();
    await this.#after(() => this.storage.remove(this.key));
  }

  #write() {
    return this.#after(() => this.storage.set(this.key, this.#record));
  }

  /**
   * One write at a time, so that an older record never lands on a newer one.
   * @param {() => Promise<void>} write
   */
  #after(write) {
    const next = this.#writing.then(write);
    this.#writing = next.catch(() => {});
    return next;
  }
}
