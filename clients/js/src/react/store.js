// One store per client: what React shows of it, as a snapshot that changes only when it does.

import { Notes } from "../notes.js";

/** @typedef {import("../client.js").Client | import("../shared.js").SharedClient} AnyClient */
/** @typedef {import("../link.js").State} State */

/**
 * @typedef {object} View
 * @property {State} status
 * @property {number} reconnectAttempts
 * @property {number | null} retryAt When the next attempt is, in Unix milliseconds.
 * @property {Date | null} lastSync When something was last applied, fetched or taken.
 * @property {string[]} joinedNotes
 * @property {Error | null} error
 * @property {number} pendingChanges Changes that wait to be sent.
 * @property {boolean} isFullSyncUnderWay
 */

/** @typedef {import("../notes.js").Note} Note */

/** @type {WeakMap<AnyClient, ClientStore>} */
const stores = new WeakMap();

/** @param {AnyClient} client */
export function storeOf(client) {
  const found = stores.get(client);
  if (found) return found;
  const store = new ClientStore(client);
  stores.set(client, store);
  return store;
}

export class ClientStore {
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {View} */
  #view;
  /** @type {Error | null} */
  #error = null;
  /** @type {Error | null} The connection's error that was dismissed. */
  #dismissed = null;
  /** @type {Date | null} */
  #lastSync = null;
  /** @type {Note[] | null} */
  #all = null;
  /** @type {Map<string, number>} How many components show a note. */
  #shown = new Map();

  /** @param {AnyClient} client */
  constructor(client) {
    this.client = client;
    this.notes = new Notes(client);
    const synced = () => {
      this.#lastSync = new Date();
      this.changed();
    };
    client.on("state", () => this.changed());
    client.on("fullsync", ({ isUnderWay }) => {
      const isDone = !isUnderWay && client.snapshot.state === "authenticated";
      return isDone ? synced() : this.changed();
    });
    client.on("event", synced);
    client.on("taken", synced);
    client.on("error", (error) => this.#failed(error));
    client.on("refused", ({ error }) => this.#failed(error));
    for (const name of /** @type {const} */ (["joined", "left"])) {
      this.notes.on(name, () => this.changed());
    }
    this.notes.on("error", (error) => this.#failed(error));
    this.notes.on("change", () => (this.#all = null));
    this.#view = this.#look();
  }

  /** @param {() => void} listener */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** @returns {View} */
  get = () => this.#view;

  /** Shows no error until the next. */
  clearError = () => {
    this.#error = null;
    this.#dismissed = this.client.snapshot.error;
    this.changed();
  };

  /** Every note; the same list until one changes. */
  allNotes = () => (this.#all ??= this.notes.all);

  /**
   * A component shows a note: the room is joined with the first and left with the last.
   * @param {string} noteId
   * @returns {() => void} Ends it.
   */
  enter(noteId) {
    const count = this.#shown.get(noteId) ?? 0;
    this.#shown.set(noteId, count + 1);
    if (count === 0) this.notes.join(noteId, { presence: true });
    return () => this.#exit(noteId);
  }

  /** @param {string} noteId */
  #exit(noteId) {
    const count = (this.#shown.get(noteId) ?? 1) - 1;
    if (count > 0) return void this.#shown.set(noteId, count);
    this.#shown.delete(noteId);
    this.notes.leave(noteId);
  }

  /** Looks again. */
  changed() {
    this.#view = this.#look();
    for (const listener of [...this.#listeners]) listener();
  }

  /** @param {Error} error */
  #failed(error) {
    this.#error = error;
    this.changed();
  }

  /** @returns {View} */
  #look() {
    const { state, attempts, retryAt, error, pendingChanges, isFullSyncUnderWay } = this.client.snapshot;
    return {
      status: state,
      reconnectAttempts: attempts,
      retryAt,
      lastSync: this.#lastSync,
      joinedNotes: this.notes.joined,
      error: this.#error ?? (error === this.#dismissed ? null : error),
      pendingChanges,
      isFullSyncUnderWay,
    };
  }
}
