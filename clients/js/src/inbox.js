// Applies events: one at a time, in order, each once; acks them in groups when it is kept that
// they are applied.
//
// Order of things: the handlers, then the store, then the ack. What dies in between comes again.

import { systemClock } from "./clock.js";
import { asError } from "./errors.js";
import { logOf } from "./log.js";

const log = logOf("inbox");

/**
 * @typedef {object} Arrival
 * @property {string} id
 * @property {number | null} seq Null: nobody waits for an ack.
 * @property {any} value What the handlers get.
 */

/**
 * @typedef {object} InboxOptions
 * @property {(value: any) => void | Promise<void>} apply
 * @property {(ids: string[], cursor: number) => Promise<void>} keep
 * @property {(ids: string[]) => boolean} ack
 * @property {(error: Error, value: any) => void} [onError]
 * @property {import("./clock.js").Clock} [clock]
 * @property {number} [ackMs] How long acks are gathered; 50.
 * @property {number} [ackIdsMax] And how many; 100.
 * @property {number} [heldMax] Events held during a full sync; beyond, the hub sends again.
 * @property {number} [knownMax] Events remembered in memory; 2000.
 */

export class Inbox {
  /** @type {Set<string>} */
  #known = new Set();
  /** @type {Set<string>} */
  #underWay = new Set();
  /** @type {Map<string, number>} */
  #unsettled = new Map();
  #seqMax = 0;
  /** @type {Arrival[] | null} */
  #held = null;
  /** @type {Promise<void>} */
  #work = Promise.resolve();
  /** @type {string[]} */
  #toAck = [];
  #isUnkept = false;
  #timer = /** @type {any} */ (null);
  #life = 0;

  /** @param {InboxOptions} options */
  constructor(options) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  /**
   * Begins with what an earlier life applied.
   * @param {{ cursor: number, processed: string[] }} record
   */
  remember({ cursor, processed }) {
    for (const id of processed) this.#know(id);
    this.#seqMax = Math.max(this.#seqMax, cursor);
  }

  /** Forgets everything, as at logout. What is being applied is not acked any more. */
  forget() {
    this.#life += 1;
    this.#known.clear();
    this.#underWay.clear();
    this.#unsettled.clear();
    this.#seqMax = 0;
    this.#held = null;
    this.#toAck = [];
    this.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Everything at or below is applied. */
  get cursor() {
    const open = [...this.#unsettled.values()];
    return open.length === 0 ? this.#seqMax : Math.min(this.#seqMax, Math.min(...open) - 1);
  }

  /**
   * What the hub says is settled, in `auth_ok`.
   * @param {number} floor
   */
  settledUpTo(floor) {
    this.#seqMax = Math.max(this.#seqMax, floor);
    for (const [id, seq] of this.#unsettled) if (seq <= floor) this.#unsettled.delete(id);
  }

  /** @param {Arrival} arrival */
  receive(arrival) {
    if (arrival.seq === null) return void this.#then(() => this.#try(arrival));
    if (this.#known.has(arrival.id)) return this.#ackLater(arrival.id);
    if (this.#underWay.has(arrival.id)) return;
    if (this.#held) return this.#hold(arrival);
    this.#take(arrival);
  }

  /**
   * Applies one event now and says whether it is applied. Not acked: the caller settles it.
   * @param {Arrival} arrival
   * @returns {Promise<boolean>}
   */
  async applyNow(arrival) {
    if (this.#underWay.has(arrival.id)) await this.#work;
    if (this.#known.has(arrival.id)) return true;
    this.#underWay.add(arrival.id);
    const isApplied = await this.#then(() => this.#try(arrival));
    this.#underWay.delete(arrival.id);
    if (isApplied) {
      this.#know(arrival.id);
      this.#seqMax = Math.max(this.#seqMax, arrival.seq ?? 0);
      await this.options.keep([arrival.id], this.cursor);
    }
    return isApplied;
  }

  /**
   * From now on events wait, because a full sync would overwrite what they change. They are
   * acked all the same: until the full sync is confirmed, the hub knows that one is needed.
   */
  hold() {
    this.#held ??= [];
  }

  /**
   * Applies what waited, and says whether all of it was. What was not is done by the next full
   * sync.
   * @returns {Promise<boolean>}
   */
  async release() {
    const held = this.#held ?? [];
    this.#held = null;
    const life = this.#life;
    let isAll = true;
    // All take their turn at once, so that nothing newer comes between.
    const tries = held.map((arrival) =>
      // A catch-up may have applied it meanwhile.
      this.#then(async () => this.#known.has(arrival.id) || this.#try(arrival)),
    );
    for (const [index, arrival] of held.entries()) {
      const isApplied = await /** @type {Promise<boolean>} */ (tries[index]);
      if (life !== this.#life) return false;
      this.#underWay.delete(arrival.id);
      isAll &&= isApplied;
      if (isApplied) this.#settle(arrival);
    }
    return isAll;
  }

  /** Resolves when everything received so far was tried and is kept. */
  async idle() {
    await this.#work;
    await this.flush();
  }

  /** Keeps and acks what is applied, now. */
  async flush() {
    this.clock.clearTimeout(this.#timer);
    this.#timer = null;
    const ids = this.#toAck;
    if (ids.length === 0) return;
    this.#toAck = [];
    const life = this.#life;
    try {
      if (this.#isUnkept) {
        this.#isUnkept = false;
        await this.options.keep(ids, this.cursor);
      }
    } catch (error) {
      // Known in memory all the same: the hub sends it again, and then it is acked.
      this.#isUnkept = true;
      this.options.onError?.(asError(error), null);
      return;
    }
    if (life === this.#life) this.options.ack(ids);
  }

  /** @param {Arrival} arrival */
  #hold(arrival) {
    const held = /** @type {Arrival[]} */ (this.#held);
    if (held.length >= (this.options.heldMax ?? 10_000)) return;
    this.#underWay.add(arrival.id);
    held.push(arrival);
    this.options.ack([arrival.id]);
  }

  /** @param {Arrival} arrival */
  #take(arrival) {
    const life = this.#life;
    this.#underWay.add(arrival.id);
    this.#unsettled.set(arrival.id, arrival.seq ?? 0);
    void this.#then(async () => {
      if (life !== this.#life) return false;
      const isApplied = await this.#try(arrival);
      if (life !== this.#life) return false;
      this.#underWay.delete(arrival.id);
      // Not applied: stays unsettled, unacked, and is tried again when the hub sends it again.
      if (isApplied) this.#settle(arrival);
      return isApplied;
    });
  }

  /** @param {Arrival} arrival */
  #settle({ id, seq }) {
    this.#know(id);
    this.#unsettled.delete(id);
    this.#seqMax = Math.max(this.#seqMax, seq ?? 0);
    this.#isUnkept = true;
    this.#ackLater(id);
  }

  /** @param {string} id */
  #know(id) {
    this.#known.add(id);
    if (this.#known.size > (this.options.knownMax ?? 2_000)) {
      this.#known.delete(/** @type {string} */ (this.#known.values().next().value));
    }
  }

  /** @param {string} id */
  #ackLater(id) {
    this.#toAck.push(id);
    if (this.#toAck.length >= (this.options.ackIdsMax ?? 100)) return void this.flush();
    this.#timer ??= this.clock.setTimeout(() => void this.flush(), this.options.ackMs ?? 50);
  }

  /** @param {Arrival} arrival @returns {Promise<boolean>} */
  async #try(arrival) {
    try {
      await this.options.apply(arrival.value);
      return true;
    } catch (error) {
      log("not applied", arrival.id, error);
      this.options.onError?.(asError(error), arrival.value);
      return false;
    }
  }

  /**
   * @param {() => Promise<boolean>} work
   * @returns {Promise<boolean>}
   */
  #then(work) {
    const next = this.#work.then(work);
    this.#work = next.then(
      () => {},
      () => {},
    );
    return next;
  }
}
