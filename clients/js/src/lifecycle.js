// Connects and disconnects with the page: gone for a while when it is hidden, back at once when
// it is seen again.

import { systemClock } from "./clock.js";
import { logOf } from "./log.js";

const log = logOf("lifecycle");

/**
 * @typedef {object} LifecycleOptions
 * @property {{ connect(): void, disconnect(): void, reconnect(): void, logout(): Promise<void> }} client
 * @property {() => boolean | Promise<boolean>} [isSignedIn] Whether there is a token; yes.
 * @property {import("./pending-changes.js").PendingChanges} [pendingChanges]
 * @property {number} [hiddenMsMax] How long a hidden page stays connected; 30000.
 * @property {import("./clock.js").Clock} [clock]
 * @property {EventTarget & { visibilityState: string }} [document]
 * @property {EventTarget} [window]
 */

export class Lifecycle {
  #isRunning = false;
  #isAway = false;
  #timer = /** @type {any} */ (null);
  #hiddenAt = 0;

  /** @param {LifecycleOptions} options */
  constructor(options) {
    this.options = options;
    this.client = options.client;
    this.clock = options.clock ?? systemClock;
    this.document = options.document ?? globalThis.document;
    this.window = options.window ?? globalThis.window;
    this.hiddenMsMax = options.hiddenMsMax ?? 30_000;
  }

  /** Begins, as the application starts or somebody signs in. */
  async start() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.document?.addEventListener("visibilitychange", this.#onVisibility);
    this.window?.addEventListener("online", this.#onBack);
    this.window?.addEventListener("pageshow", this.#onBack);
    const isSignedIn = await this.#isSignedIn();
    if (!this.#isRunning || !isSignedIn) return;
    this.client.connect();
    if (this.#isHidden()) this.#hide();
  }

  /** Ends, and leaves the client as it is. */
  stop() {
    this.#isRunning = false;
    this.clock.clearTimeout(this.#timer);
    this.document?.removeEventListener("visibilitychange", this.#onVisibility);
    this.window?.removeEventListener("online", this.#onBack);
    this.window?.removeEventListener("pageshow", this.#onBack);
  }

  /** Signs out: the connection ends, and session, queue and pending changes are forgotten. */
  async logout() {
    this.stop();
    this.options.pendingChanges?.clear();
    await this.client.logout();
  }

  async #isSignedIn() {
    try {
      return (await this.options.isSignedIn?.()) ?? true;
    } catch (error) {
      log("nobody knows whether somebody is signed in", error);
      return true;
    }
  }

  #isHidden() {
    return this.document?.visibilityState === "hidden";
  }

  #onVisibility = () => (this.#isHidden() ? this.#hide() : this.#onBack());

  #hide() {
    this.#hiddenAt = this.clock.now();
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => {
      log("hidden for too long");
      this.#isAway = true;
      this.client.disconnect();
    }, this.hiddenMsMax);
  }

  #onBack = async () => {
    this.clock.clearTimeout(this.#timer);
    // "online" may come while the page is hidden: then the clock starts anew.
    if (this.#isHidden()) {
      if (!this.#isAway) this.#hide();
      return;
    }
    if (this.options.pendingChanges?.clearIfStale()) log("pending changes were stale");
    const isSignedIn = await this.#isSignedIn();
    if (!this.#isRunning || !isSignedIn) return;
    log("back after", this.clock.now() - this.#hiddenAt);
    this.#isAway = false;
    this.client.reconnect();
  };
}
