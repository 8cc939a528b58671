// Locks between the tabs of an origin that is not served securely, where browsers have no Web Locks:
// a tab asks the others over a channel, and has the lock when nobody says that it is theirs.
//
// As sure as the others are quick: a tab that is stuck for longer than the answer may take is not heard.

import { systemClock } from "./clock.js";

const ANSWER_MS = 150;

export class TabLocks {
  /** @type {Set<string>} */
  #held = new Set();
  /** @type {Map<string, (isOurs: boolean) => void>} */
  #wanted = new Map();

  /** @param {{ BroadcastChannel?: any, clock?: import("./clock.js").Clock }} [options] */
  constructor({ BroadcastChannel = globalThis.BroadcastChannel, clock = systemClock } = {}) {
    this.clock = clock;
    this.tab = `${clock.now()}-${clock.random()}`;
    this.channel = new BroadcastChannel("staffetta:locks");
    // In Node, as under a test of an application, it keeps nothing running.
    this.channel.unref?.();
    this.channel.onmessage = (/** @type {MessageEvent} */ { data }) => this.#told(data);
  }

  /**
   * As of Web Locks with `ifAvailable`, which is all that is needed.
   * @template T
   * @param {string} name
   * @param {{ ifAvailable: true }} _options
   * @param {(lock: { name: string } | null) => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async request(name, _options, work) {
    if (!(await this.#take(name))) return work(null);
    try {
      return await work({ name });
    } finally {
      this.#held.delete(name);
    }
  }

  /** @param {string} name @returns {Promise<boolean>} */
  #take(name) {
    if (this.#held.has(name) || this.#wanted.has(name)) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = this.clock.setTimeout(() => decide(true), ANSWER_MS);
      const decide = (/** @type {boolean} */ isOurs) => {
        this.clock.clearTimeout(timer);
        this.#wanted.delete(name);
        if (isOurs) this.#held.add(name);
        resolve(isOurs);
      };
      this.#wanted.set(name, decide);
      this.channel.postMessage({ kind: "want", name, tab: this.tab });
    });
  }

  /** @param {{ kind: "want" | "taken", name: string, tab: string }} message */
  #told({ kind, name, tab }) {
    const isAnswer = kind === "taken";
    if (isAnswer && tab !== this.tab) return;
    // Of two that ask at once, the elder has it.
    const isOurs = this.#held.has(name) || (this.#wanted.has(name) && this.tab < tab);
    if (isAnswer || !isOurs) return this.#wanted.get(name)?.(false);
    this.channel.postMessage({ kind: "taken", name, tab });
  }
}

/** @type {TabLocks | null} */
let ofThisPage = null;

/**
 * The locks of this browser: its own, or those between tabs; null where there are no tabs.
 * @returns {LockManager | null}
 */
export function locksHere() {
  const { navigator, document, BroadcastChannel } = globalThis;
  if (navigator?.locks) return navigator.locks;
  if (!document || !BroadcastChannel) return null;
  return /** @type {any} */ (ofThisPage ??= new TabLocks());
}
