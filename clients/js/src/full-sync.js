// The full sync: the application fetches its whole state, then the hub is told it is done.

import { Backoff } from "./backoff.js";
import { systemClock } from "./clock.js";
import { asError } from "./errors.js";
import { logOf } from "./log.js";

const log = logOf("full-sync");

/**
 * Why a full sync is due, and how often it was tried.
 * @typedef {{ attempt: number, cursor: number }} FullSyncRequest
 */

/** @typedef {(request: FullSyncRequest) => void | Promise<void>} FullSyncHandler */

/**
 * @typedef {object} FullSyncOptions
 * @property {() => FullSyncHandler[]} handlers
 * @property {() => void} hold Events wait from here on.
 * @property {() => Promise<boolean>} release They are applied; false when one was not.
 * @property {(cursor: number, isCurrent: () => boolean) => Promise<void>} complete Everything is here; the hub
 *   is told if it still is current after what is awaited.
 * @property {(error: Error) => void} [onError]
 * @property {import("./clock.js").Clock} [clock]
 */

export class FullSync {
  #run = 0;
  #cursor = 0;
  #isUnderWay = false;
  #timer = /** @type {any} */ (null);

  /** @param {FullSyncOptions} options */
  constructor(options) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.backoff = new Backoff({ random: () => this.clock.random() });
  }

  get isUnderWay() {
    return this.#isUnderWay;
  }

  /**
   * A full sync is due. One that is under way goes on, and covers it.
   * @param {number} cursor The floor the hub named with it.
   */
  start(cursor) {
    this.#cursor = Math.max(this.#cursor, cursor);
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    this.backoff.reset();
    this.options.hold();
    void this.#try(++this.#run, 1);
  }

  /** Nothing more is tried; the next `auth_ok` says again what is due. */
  stop() {
    this.#run += 1;
    this.#isUnderWay = false;
    this.#cursor = 0;
    this.clock.clearTimeout(this.#timer);
  }

  /** @param {number} run @param {number} attempt */
  async #try(run, attempt) {
    const cursor = this.#cursor;
    try {
      for (const handler of this.options.handlers()) await handler({ attempt, cursor });
      if (run !== this.#run) return;
      if (!(await this.options.release())) throw new Error("an event that waited was not applied");
      if (run !== this.#run) return;
      await this.options.complete(this.#cursor, () => run === this.#run);
      if (run === this.#run) this.stop();
    } catch (error) {
      if (run !== this.#run) return;
      log("attempt", attempt, "failed", error);
      this.options.onError?.(asError(error));
      this.options.hold();
      const again = () => void this.#try(run, attempt + 1);
      this.#timer = this.clock.setTimeout(again, this.backoff.next());
    }
  }
}
