// Gathers changes of assets and applies them together, so that a thousand uploads are one
// refresh of the timeline.

import { systemClock } from "./clock.js";
import { asError } from "./errors.js";
import { logOf } from "./log.js";
import { dataOf } from "./protocol.js";

const log = logOf("pending-changes");

/** @typedef {"assetUploaded" | "assetDelete" | "assetHidden" | "assetTrash"} PendingAction */
/** @typedef {{ action: PendingAction, value: any, at: number }} PendingChange */

/** In this order they are applied: an asset must be there before it is deleted or hidden. */
const ORDER = /** @type {const} */ (["assetUploaded", "assetDelete", "assetHidden", "assetTrash"]);

/** Which events become which change, in the first set of events. */
const OLD_EVENTS = /** @type {const} */ ({
  on_upload_success: "assetUploaded",
  on_asset_delete: "assetDelete",
  on_asset_hidden: "assetHidden",
  on_asset_trash: "assetTrash",
});

/** Events of the first set after which the application refreshes. */
const REFRESH_EVENTS = ["on_asset_update", "on_asset_restore", "on_asset_stack_update"];

const UPLOAD_READY = ["AssetUploadReadyV1", "AssetUploadReadyV2"];
const EDIT_READY = ["AssetEditReadyV1", "AssetEditReadyV2"];

/**
 * Where events come from: a `Client`, or a Socket.IO socket wrapped the same way.
 * @typedef {{ onEvent: (type: string, handler: (event: any) => void | Promise<void>) => () => void }} EventSource
 */

/**
 * @typedef {object} PendingOptions
 * @property {Partial<Record<PendingAction, (value: any) => void | Promise<void>>>} apply
 * @property {(uploads: any[]) => void | Promise<void>} [applyUploads] A batch of ready uploads.
 * @property {(edit: any) => void | Promise<void>} [applyEdit] An edit that is ready.
 * @property {(type: string, value: any) => void | Promise<void>} [refresh]
 * @property {(error: Error, change: { action: string, value: any }) => void} [onError] Instead of the console.
 * @property {import("./clock.js").Clock} [clock]
 * @property {number} [debounceMs] After the last change; 500.
 * @property {number} [uploadsMs] After the last ready upload; 5000.
 * @property {number} [uploadsMsMax] After the first one; 10000.
 * @property {number} [staleMs] Older changes are not worth applying on foreground; 60000.
 */

export class PendingChanges {
  /** @type {PendingChange[]} */
  #changes = [];
  /** @type {Array<{ value: any, at: number }>} */
  #uploads = [];
  #timer = /** @type {any} */ (null);
  #uploadsTimer = /** @type {any} */ (null);
  /** @type {Promise<void>} */
  #work = Promise.resolve();
  /** @type {Array<() => void>} */
  #offs = [];
  #life = 0;

  /** @param {PendingOptions} options */
  constructor(options) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
  }

  /** What waits, oldest first. */
  get changes() {
    return this.#changes.map(({ action, value }) => ({ action, value }));
  }

  /** How much waits, ready uploads included. */
  get length() {
    return this.#changes.length + this.#uploads.length;
  }

  /**
   * Takes a change; all are applied together once none has come for half a second.
   * @param {PendingAction} action
   * @param {any} value
   */
  add(action, value) {
    this.#changes.push({ action, value, at: this.clock.now() });
    this.clock.clearTimeout(this.#timer);
    const fire = () => void this.flush();
    this.#timer = this.clock.setTimeout(fire, this.options.debounceMs ?? 500);
  }

  /**
   * Takes a ready upload; they are applied five seconds after the last, at most ten after the
   * first.
   * @param {any} value
   */
  addUpload(value) {
    const now = this.clock.now();
    this.#uploads.push({ value, at: now });
    const first = /** @type {{ at: number }} */ (this.#uploads[0]).at;
    const { uploadsMs = 5_000, uploadsMsMax = 10_000 } = this.options;
    this.clock.clearTimeout(this.#uploadsTimer);
    const wait = Math.max(0, Math.min(uploadsMs, first + uploadsMsMax - now));
    this.#uploadsTimer = this.clock.setTimeout(() => void this.flushUploads(), wait);
  }

  /** Applies what waits, now. One that fails is reported, and the rest go on. */
  flush() {
    this.clock.clearTimeout(this.#timer);
    const changes = this.#changes;
    this.#changes = [];
    const life = this.#life;
    return this.#then(async () => {
      for (const wanted of ORDER) {
        for (const { action, value } of changes) {
          if (life !== this.#life) return;
          if (action === wanted) await this.#try(action, value, this.options.apply[action]);
        }
      }
    });
  }

  /** Applies the ready uploads, now. */
  flushUploads() {
    this.clock.clearTimeout(this.#uploadsTimer);
    const uploads = this.#uploads.map(({ value }) => value);
    this.#uploads = [];
    if (uploads.length === 0) return this.#work;
    const life = this.#life;
    return this.#then(async () => {
      if (life === this.#life) await this.#try("uploads", uploads, this.options.applyUploads);
    });
  }

  /** Forgets what waits, as at logout. */
  clear() {
    this.#life += 1;
    this.#changes = [];
    this.#uploads = [];
    this.clock.clearTimeout(this.#timer);
    this.clock.clearTimeout(this.#uploadsTimer);
  }

  /** Forgets what has waited so long, as during a sleep, that the application will refresh. */
  clearIfStale() {
    const oldest = this.#changes[0]?.at ?? this.#uploads[0]?.at;
    if (oldest === undefined) return false;
    if (this.clock.now() - oldest <= (this.options.staleMs ?? 60_000)) return false;
    this.clear();
    return true;
  }

  /**
   * Listens to one set of events instead of another: "old" are on_upload_success and its kin,
   * "ready" are AssetUploadReadyV1 and AssetEditReadyV1; "none" ends it.
   * @param {EventSource} source
   * @param {"old" | "ready" | "none"} set
   */
  listen(source, set) {
    for (const off of this.#offs) off();
    this.#offs = [];
    if (set === "old") {
      for (const [type, action] of Object.entries(OLD_EVENTS)) {
        this.#on(source, type, (value) => this.#addEach(action, value));
      }
      for (const type of REFRESH_EVENTS) {
        this.#on(source, type, (value) => this.options.refresh?.(type, value));
      }
    }
    if (set === "ready") {
      for (const type of UPLOAD_READY) this.#on(source, type, (value) => this.addUpload(value));
      for (const type of EDIT_READY) {
        this.#on(source, type, (value) => this.#try(type, value, this.options.applyEdit));
      }
    }
  }

  /** @param {EventSource} source @param {string} type @param {(value: any) => any} take */
  #on(source, type, take) {
    this.#offs.push(source.onEvent(type, (event) => take(dataOf(event))));
  }

  /** @param {PendingAction} action @param {any} value One, or for the trash a list. */
  #addEach(action, value) {
    for (const one of Array.isArray(value) ? value : [value]) this.add(action, one);
  }

  /** @param {string} action @param {any} value @param {((value: any) => void | Promise<void>) | undefined} apply */
  async #try(action, value, apply) {
    try {
      await apply?.(value);
    } catch (error) {
      log(action, "failed", error);
      if (this.options.onError) return this.options.onError(asError(error), { action, value });
      console.error(`staffetta: ${action} was not applied`, error);
    }
  }

  /** @param {() => Promise<void>} work */
  #then(work) {
    this.#work = this.#work.then(work);
    return this.#work;
  }
}
