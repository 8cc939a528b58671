// IndexedDB: the client's own values beside the application's stores, so that an event and the
// change it makes are written in one transaction.

import { logOf } from "./log.js";

const log = logOf("database");

/** @typedef {import("./kv.js").KeyValue} KeyValue */

const VALUES = "staffetta_values";
const APPLIED = "staffetta_applied";
/** Names of applied events that are kept; the hub sends none again that was acked so long ago. */
const APPLIED_MAX = 5_000;

/**
 * What an application does with one event inside a transaction. It may use only the transaction:
 * awaiting anything else ends it.
 * @typedef {(event: any, transaction: IDBTransaction) => void | Promise<void>} ApplyInTransaction
 */

/**
 * Opens a database that holds the client's stores and the application's.
 * @param {object} [options]
 * @param {string} [options.name]
 * @param {number} [options.version] The application's version of its stores.
 * @param {(database: IDBDatabase, oldVersion: number, transaction: IDBTransaction) => void} [options.upgrade] Makes the
 *   application's stores; `oldVersion` is 0 the first time.
 * @param {IDBFactory} [options.indexedDB]
 * @returns {Promise<Database>}
 */
export async function openDatabase({
  name = "staffetta",
  version = 1,
  upgrade = () => {},
  indexedDB = globalThis.indexedDB,
} = {}) {
  const open = () => opened(indexedDB, name, version, upgrade);
  return new Database(await open(), open);
}

/**
 * @param {IDBFactory} indexedDB
 * @param {string} name
 * @param {number} version
 * @param {(database: IDBDatabase, oldVersion: number, transaction: IDBTransaction) => void} upgrade
 * @returns {Promise<IDBDatabase>}
 */
async function opened(indexedDB, name, version, upgrade) {
  const request = indexedDB.open(name, version);
  request.onupgradeneeded = ({ oldVersion }) => {
    const database = request.result;
    const stores = database.objectStoreNames;
    if (!stores.contains(VALUES)) database.createObjectStore(VALUES);
    if (!stores.contains(APPLIED)) {
      const applied = database.createObjectStore(APPLIED, { keyPath: "place", autoIncrement: true });
      applied.createIndex("event", ["user", "event_id"], { unique: true });
    }
    upgrade(database, oldVersion, /** @type {IDBTransaction} */ (request.transaction));
  };
  const database = await answered(request);
  // Another tab with a newer version must not wait for this one.
  database.onversionchange = () => database.close();
  return database;
}

/** @implements {KeyValue} */
export class Database {
  #writes = 0;
  #isLost = false;
  /** @type {Promise<void> | null} */
  #reopening = null;

  /** @param {IDBDatabase} idb @param {() => Promise<IDBDatabase>} reopen */
  constructor(idb, reopen) {
    /** The database itself, for the application's reads. */
    this.idb = idb;
    this.reopen = reopen;
    this.#watch();
  }

  /**
   * Applies an event once, in one transaction with the note that it was applied. Does nothing
   * when it was applied before, by this tab or another. Fails, with nothing written, when one
   * of `applies` throws.
   * @param {string} user
   * @param {{ event_id: string }} event
   * @param {string[]} stores The application's stores that are written.
   * @param {ApplyInTransaction[]} applies
   * @returns {Promise<boolean>} Whether it was applied now.
   */
  async applyOnce(user, event, stores, applies) {
    const idb = await this.#live();
    const transaction = idb.transaction([APPLIED, ...new Set(stores)], "readwrite");
    const done = finished(transaction);
    try {
      const applied = transaction.objectStore(APPLIED);
      const key = [user, event.event_id];
      if ((await answered(applied.index("event").getKey(key))) !== undefined) {
        await done;
        return false;
      }
      for (const apply of applies) await apply(event, transaction);
      // Last: a change that awaited something else, and so lost its transaction, fails here.
      applied.add({ user, event_id: event.event_id });
      if (++this.#writes % 500 === 1) await this.#prune(applied);
      await done;
      return true;
    } catch (error) {
      log("not applied", event.event_id, error);
      try {
        transaction.abort();
      } catch {
        // It has already ended.
      }
      await done.catch(() => {});
      throw error;
    }
  }

  /** @param {string} key */
  async get(key) {
    return answered((await this.#values("readonly")).get(key));
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    const values = await this.#values("readwrite");
    values.put(value, key);
    await finished(values.transaction);
  }

  /** @param {string} key */
  async remove(key) {
    const values = await this.#values("readwrite");
    values.delete(key);
    await finished(values.transaction);
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async entries(prefix) {
    const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
    const values = await this.#values("readonly");
    const [keys, found] = await Promise.all([
      answered(values.getAllKeys(range)),
      answered(values.getAll(range)),
    ]);
    return keys.map((key, index) => [String(key), found[index]]);
  }

  close() {
    this.idb.close();
  }

  /** A browser may close a database by itself, as when it runs out of memory. */
  #watch() {
    this.idb.onclose = () => {
      log("closed by the browser");
      this.#reopening = null;
      this.#isLost = true;
    };
  }

  async #live() {
    if (!this.#isLost) return this.idb;
    this.#reopening ??= this.reopen().then((idb) => {
      this.idb = idb;
      this.#isLost = false;
      this.#watch();
    });
    try {
      await this.#reopening;
    } finally {
      this.#reopening = null;
    }
    return this.idb;
  }

  /** @param {IDBTransactionMode} mode */
  async #values(mode) {
    return (await this.#live()).transaction(VALUES, mode).objectStore(VALUES);
  }

  /** @param {IDBObjectStore} applied */
  async #prune(applied) {
    const count = await answered(applied.count());
    if (count <= APPLIED_MAX) return;
    const keys = await answered(applied.getAllKeys(null, count - APPLIED_MAX));
    applied.delete(IDBKeyRange.upperBound(keys[keys.length - 1]));
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function answered(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
    transaction.onerror = () => reject(transaction.error);
  });
}
