// One socket, from its opening to its end: frames in and out, and a deadline for every silence.
//
// It never comes back; `Link` opens the next one.

import { systemClock } from "./clock.js";
import { Emitter } from "./emitter.js";
import { logOf } from "./log.js";
import { CloseCode, frameOf } from "./protocol.js";

const log = logOf("connection");

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {{ code: number, reason: string, wasAsked: boolean }} Closed */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url
 * @property {() => Frame} ping What to send to be answered by a pong.
 * @property {(frame: Frame) => boolean} isPong
 * @property {new (url: string, protocols?: string | string[]) => WebSocket} [WebSocket]
 * @property {import("./clock.js").Clock} [clock]
 * @property {number} [openMsMax] How long opening may take.
 * @property {number} [silenceMsMax] After so much silence a ping is sent.
 * @property {number} [pongMsMax] And this long is waited for any answer.
 */

/** @extends {Emitter<{ open: void, frame: Frame, closed: Closed }>} */
export class Connection extends Emitter {
  /** @type {WebSocket | null} */
  #socket = null;
  #timer = /** @type {any} */ (null);
  #heardAt = 0;
  #isOpen = false;
  /** @type {Array<() => void>} */
  #pongs = [];

  /** @param {ConnectionOptions} options */
  constructor(options) {
    super();
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.silenceMsMax = options.silenceMsMax ?? 25_000;
    this.pongMsMax = options.pongMsMax ?? 15_000;
  }

  /** Opens the socket. Once only. */
  open() {
    const WebSocket = this.options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new Error("there is no WebSocket here: pass one as an option");
    const socket = new WebSocket(this.options.url);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (message) => this.#heard(message.data);
    socket.onclose = (close) => this.#end(close.code, close.reason, false);
    // An error is always followed by a close, which says all there is to say.
    socket.onerror = () => log("socket error");
    const openMsMax = this.options.openMsMax ?? 15_000;
    this.#timer = this.clock.setTimeout(() => this.fail(CloseCode.NO_OPEN), openMsMax);
  }

  get isOpen() {
    return this.#isOpen;
  }

  /**
   * Sends a frame; false when the socket is not open.
   * @param {Frame} frame
   */
  send(frame) {
    if (!this.#isOpen || this.#socket?.readyState !== 1) return false;
    log(">", frame);
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /**
   * Sends a ping; `then` is called by its own pong, never by an earlier one.
   * @param {() => void} [then]
   */
  ping(then = () => {}) {
    if (!this.send(this.options.ping())) return false;
    this.#pongs.push(then);
    return true;
  }

  /** Ends it on purpose. `closed` is told at once, with `wasAsked`. */
  close() {
    this.#end(1000, "", true);
  }

  /**
   * Ends it because something did not happen in time.
   * @param {number} code
   */
  fail(code) {
    this.#end(code, "no answer in time", false);
  }

  /**
   * Asks for a sign of life now, as after a sleep, and waits no longer than `ms` for it.
   * @param {number} [ms]
   */
  check(ms = 5_000) {
    if (this.#isOpen) this.#demandPong(ms);
  }

  #opened() {
    this.#isOpen = true;
    this.#heardAt = this.clock.now();
    this.#watch(this.silenceMsMax);
    this.emit("open", undefined);
  }

  /** @param {unknown} text */
  #heard(text) {
    this.#heardAt = this.clock.now();
    const frame = frameOf(text);
    if (!frame) return log("not a frame", typeof text);
    log("<", frame);
    if (this.options.isPong(frame)) this.#pongs.shift()?.();
    this.emit("frame", frame);
  }

  /** @param {number} ms */
  #watch(ms) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => this.#checkSilence(), ms);
  }

  #checkSilence() {
    const quiet = this.clock.now() - this.#heardAt;
    if (quiet < this.silenceMsMax) return this.#watch(this.silenceMsMax - quiet);
    this.#demandPong(this.pongMsMax);
  }

  /** @param {number} ms */
  #demandPong(ms) {
    let isHeard = false;
    this.ping(() => (isHeard = true));
    const askedAt = this.clock.now();
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => {
      if (!isHeard && this.#heardAt <= askedAt) return this.fail(CloseCode.NO_PONG);
      this.#checkSilence();
    }, ms);
  }

  /** @param {number} code @param {string} reason @param {boolean} wasAsked */
  #end(code, reason, wasAsked) {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    this.#isOpen = false;
    this.#pongs = [];
    this.clock.clearTimeout(this.#timer);
    // A half-open socket may take minutes to close: nobody listens to it any more.
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    // Closing a socket that is still opening may report an error nobody else would hear.
    socket.onerror = () => {};
    try {
      socket.close(1000);
    } catch (error) {
      log("close failed", error);
    }
    this.emit("closed", { code, reason, wasAsked });
  }
}
