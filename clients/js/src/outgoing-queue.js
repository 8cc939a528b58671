// Changes on their way to the hub: kept across reloads, sent in order, one at a time, each until
// the hub has taken or refused it.

import { systemClock } from "./clock.js";
import { QueueFullError, RefusedError, UnansweredError } from "./errors.js";
import { logOf } from "./log.js";
import { answerTo, isTakenInSilence } from "./protocol.js";

const log = logOf("outgoing-queue");

/** @typedef {import("./protocol.js").Frame} Frame */
/**
 * `also` are the names of later changes that became part of it.
 * @typedef {{ id: string, user: string | null, frame: Frame, also?: string[] }} Item
 */
/** @typedef {{ resolve: (answer: Frame | null) => void, reject: (error: Error) => void }} Waiting */

/**
 * @typedef {object} OutgoingOptions
 * @property {(frame: Frame) => boolean} send
 * @property {(then: () => void) => boolean} ping
 * @property {import("./kv.js").KeyValue} storage
 * @property {string} slot
 * @property {(taken: { id: string, frame: Frame, answer: Frame | null }) => void} [onTaken]
 * @property {(refused: { id: string, frame: Frame, error: RefusedError }) => void} [onRefused]
 * @property {import("./clock.js").Clock} [clock]
 * @property {string | null} [user] Whose changes these are, until `online` says so.
 * @property {number} [itemsMax] 1000.
 * @property {number} [answerMsMax] After this the item is sent again; 30000.
 * @property {number} [againMs] Pause after "try again"; 1000.
 */

const BESIDE_MAX = 256;

export class OutgoingQueue {
  /** @type {Item[]} */
  #items = [];
  /** @type {Map<string, Waiting[]>} */
  #waiting = new Map();
  /** @type {Item | null} */
  #sent = null;
  /** @type {Frame[]} Sent on this connection and not known to be answered, in order. */
  #unanswered = [];
  #isOnline = false;
  #timer = /** @type {any} */ (null);
  #counter = 0;
  /** @type {string | null} */
  #user = null;

  /** @param {OutgoingOptions} options */
  constructor(options) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.#user = options.user ?? null;
  }

  /** How many wait, the one that was sent included. */
  get length() {
    return this.#items.length;
  }

  /** What waits, oldest first. */
  get frames() {
    return this.#items.map((item) => item.frame);
  }

  /** Takes up what an earlier life of this tab, or a tab that is gone, left. */
  async load(slot = this.options.slot) {
    const { storage } = this.options;
    const found = await storage.entries(prefixOf(slot));
    const known = new Set(this.#items.map((item) => item.id));
    const items = found.filter(([, item]) => item?.frame?.type && !known.has(item.id));
    if (slot !== this.options.slot) {
      for (const [key, item] of items) {
        await storage.set(this.#key(item.id), item);
        await storage.remove(key);
      }
    }
    // What came in while this was read is newer.
    this.#items.unshift(...items.map(([, item]) => item));
    this.#next();
  }

  /**
   * Sends a frame when its turn comes. Resolves with the hub's answer, or null when the hub
   * takes such a frame in silence; rejects with `RefusedError`. Changes of one note that wait one
   * behind the other are sent as one.
   * @param {Frame} frame
   * @param {string} [id] A name, so that the same item asked for twice is one.
   * @returns {Promise<Frame | null>}
   */
  enqueue(frame, id = this.#newId()) {
    const known = this.#items.find((item) => item.id === id || item.also?.includes(id));
    if (known) return this.#answerOf(known);
    const last = this.#items.at(-1);
    if (last && last !== this.#sent && last.user === this.#user && areOne(last.frame, frame)) {
      last.frame = { ...last.frame, changes: { ...last.frame.changes, ...frame.changes } };
      last.also = [...(last.also ?? []), id];
      void this.#keep(last);
      return this.#answerOf(last);
    }
    const itemsMax = this.options.itemsMax ?? 1_000;
    if (this.#items.length >= itemsMax) return Promise.reject(new QueueFullError(itemsMax));
    const item = { id, user: this.#user, frame };
    const answered = this.#answerOf(item);
    void this.#add(item);
    return answered;
  }

  /** @param {Item} item @returns {Promise<Frame | null>} */
  #answerOf({ id }) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), { resolve, reject }]);
    });
  }

  /**
   * May send from now on. What another user left is dropped.
   * @param {string} user
   */
  async online(user) {
    this.#user = user;
    this.#isOnline = true;
    for (const item of this.#items.filter((item) => item.user !== null && item.user !== user)) {
      await this.#remove(item);
      this.#reject(item, new UnansweredError("closed", "another user signed in"));
    }
    this.#next();
  }

  /** May not send; what was sent without an answer is sent again later. */
  offline() {
    this.#isOnline = false;
    this.#sent = null;
    this.#unanswered = [];
    this.clock.clearTimeout(this.#timer);
  }

  /**
   * Takes note of a frame that was sent past the queue, such as a `join_note`: an error about
   * its note is then not taken for an answer to the change behind it.
   * @param {Frame} frame
   */
  sentBeside(frame) {
    if (frame.noteId === undefined) return;
    this.#unanswered.push(frame);
    // Signals are never answered when all is well.
    if (this.#unanswered.length > BESIDE_MAX) this.#unanswered.shift();
  }

  /**
   * Looks whether a frame answers what was sent. The hub answers a connection's frames in order.
   * @param {Frame} frame
   */
  hear(frame) {
    const index = this.#unanswered.findIndex((sent) => answerTo(sent, frame) !== null);
    if (index < 0) return;
    const [answered] = this.#unanswered.splice(0, index + 1).slice(-1);
    const sent = this.#sent;
    if (!sent || answered !== sent.frame) return;
    const answer = answerTo(sent.frame, frame);
    this.clock.clearTimeout(this.#timer);
    this.#sent = null;
    if (answer === "again") {
      this.#timer = this.clock.setTimeout(() => this.#next(), this.options.againMs ?? 1_000);
      return;
    }
    if (answer === "taken") return void this.#taken(sent, frame);
    const error = new RefusedError(frame.code ?? "refused", frame.message ?? "refused", frame.noteId);
    void this.#refused(sent, error);
  }

  /** Drops everything, as at logout. */
  async clear() {
    this.offline();
    const items = this.#items;
    this.#items = [];
    this.#user = null;
    for (const item of items) {
      await this.options.storage.remove(this.#key(item.id));
      this.#reject(item, new UnansweredError("closed", "signed out before it was sent"));
    }
  }

  /** @param {Item} item */
  async #add(item) {
    this.#items.push(item);
    await this.#keep(item);
    this.#next();
  }

  /** @param {Item} item */
  async #keep(item) {
    try {
      await this.options.storage.set(this.#key(item.id), item);
    } catch (error) {
      log("not kept across a reload", item.id, error);
    }
  }

  #next() {
    const [item] = this.#items;
    if (!this.#isOnline || this.#sent || !item) return;
    if (!this.options.send(item.frame)) return;
    this.#sent = item;
    this.#unanswered.push(item.frame);
    if (isTakenInSilence(item.frame)) {
      this.options.ping(() => {
        this.#unanswered.splice(0, this.#unanswered.indexOf(item.frame) + 1);
        if (this.#sent === item) void this.#taken(item, null);
      });
    }
    const again = () => {
      this.#sent = null;
      this.#next();
    };
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(again, this.options.answerMsMax ?? 30_000);
  }

  /** @param {Item} item @param {Frame | null} answer */
  async #taken(item, answer) {
    await this.#remove(item);
    for (const { resolve } of this.#waiting.get(item.id) ?? []) resolve(answer);
    this.#waiting.delete(item.id);
    this.options.onTaken?.({ id: item.id, frame: item.frame, answer });
    this.#next();
  }

  /** @param {Item} item @param {RefusedError} error */
  async #refused(item, error) {
    await this.#remove(item);
    this.#reject(item, error);
    this.options.onRefused?.({ id: item.id, frame: item.frame, error });
    this.#next();
  }

  /** @param {Item} item */
  async #remove(item) {
    if (this.#sent === item) this.#sent = null;
    this.clock.clearTimeout(this.#timer);
    this.#items = this.#items.filter((other) => other !== item);
    try {
      await this.options.storage.remove(this.#key(item.id));
    } catch (error) {
      log("still kept, and sent again after a reload", item.id, error);
    }
  }

  /** @param {Item} item @param {Error} error */
  #reject(item, error) {
    for (const { reject } of this.#waiting.get(item.id) ?? []) reject(error);
    this.#waiting.delete(item.id);
  }

  /** Rises with time, so that the order of the keys is the order of the items. */
  #newId() {
    const now = String(this.clock.now()).padStart(15, "0");
    const count = String(this.#counter++).padStart(8, "0");
    const chance = Math.floor(this.clock.random() * 2 ** 32).toString(36);
    return `${now}-${count}-${chance}`;
  }

  /** @param {string} id */
  #key(id) {
    return prefixOf(this.options.slot) + id;
  }
}

/**
 * Whether a change may become part of the one it waits behind. The version that was seen is the
 * older one's: what others changed since is a conflict for both.
 * @param {Frame} earlier
 * @param {Frame} later
 */
function areOne(earlier, later) {
  const isEdit = (/** @type {Frame} */ { type, noteId, changes, base_version, ...more }) =>
    type === "note_update" && typeof changes === "object" && Object.keys(more).length === 0;
  return isEdit(earlier) && isEdit(later) && String(earlier.noteId) === String(later.noteId);
}

/** @param {string} slot */
export function prefixOf(slot) {
  return `queue:${slot}:`;
}
