// Stays connected and authenticated: opens one `Connection` after another, as the close codes
// advise, and renews the token on the live one.
//
// Knows no events: what a frame means is its owner's and its dialect's.

import { Backoff } from "./backoff.js";
import { systemClock, TIMER_MS_MAX } from "./clock.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { asError, AuthError, StaffettaError } from "./errors.js";
import { logOf } from "./log.js";
import { addressOf, adviceOf, CloseCode } from "./protocol.js";
import { askForToken, renewalDelay } from "./token.js";

const log = logOf("link");

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./token.js").TokenReason} TokenReason */
/** @typedef {"disconnected" | "connecting" | "connected" | "authenticated" | "reconnecting" | "error"} State */

/**
 * What the hub says to a good `auth`.
 * @typedef {{ user: string, sessionId: string, needFullSync: boolean, cursor: number }} Auth
 */

/**
 * How one of the hub's endpoints spells what every connection needs.
 * @typedef {object} Dialect
 * @property {string} path
 * @property {() => Frame} ping
 * @property {(frame: Frame) => boolean} isPong
 * @property {(token: string, session: { sessionId: string | null, offline?: string }) => Frame} auth
 * @property {(frame: Frame) => Auth | { refusal: string, message: string } | null} readAuth
 * @property {(frame: Frame) => number | null} readReconnect Milliseconds to wait.
 */

/**
 * How things stand.
 * @typedef {object} Snapshot
 * @property {State} state
 * @property {number} attempts Attempts since the last success.
 * @property {number | null} retryAt When the next attempt is, in Unix milliseconds.
 * @property {string | null} user
 * @property {string | null} sessionId
 * @property {StaffettaError | null} error Why it is not authenticated, if that is known.
 */

/**
 * @typedef {object} LinkOptions
 * @property {string} url Where the hub is mounted; in a page it may be relative ("/").
 * @property {import("./token.js").GetToken} getToken
 * @property {number} [attemptsMax] Attempts before it stops trying; never by default.
 * @property {number} [attemptsBeforeError] Attempts before the state says "error"; 10.
 * @property {number} [backoffMsMin] 1000.
 * @property {number} [backoffMsMax] 30000.
 * @property {number} [silenceMsMax] Silence before a ping; 25000.
 * @property {number} [pongMsMax] How long its answer may take; 15000.
 * @property {number} [openMsMax] How long opening, and then `auth`, may take; 15000.
 * @property {"replay" | "full_sync"} [offline] What is to happen to events while away.
 * @property {any} [WebSocket] Where there is no global one.
 * @property {import("./clock.js").Clock} [clock]
 */

/** A connection that lasted this long after `auth` counts as a success. */
const STABLE_MS = 5_000;
const RENEWAL_RETRY_MS = 10_000;

/** @extends {Emitter<{ state: Snapshot, authenticated: Auth, renewed: Auth, frame: Frame, stopped: number, signedout: void }>} */
export class Link extends Emitter {
  /** @type {Connection | null} */
  #connection = null;
  /** @type {State} */
  #state = "disconnected";
  #isWanted = false;
  #life = 0;
  #attempts = 0;
  /** @type {number | null} */
  #retryAt = null;
  #retryTimer = /** @type {any} */ (null);
  #authTimer = /** @type {any} */ (null);
  #renewTimer = /** @type {any} */ (null);
  /** @type {number | null} */
  #authenticatedAt = null;
  /** @type {number | null} */
  #hintMs = null;
  /** @type {TokenReason} */
  #tokenReason = "connect";
  #freshTokens = 0;
  /** @type {Auth | null} */
  #auth = null;
  #isSyncDue = false;
  #token = "";
  /** @type {StaffettaError | null} */
  #error = null;

  /**
   * @param {Dialect} dialect
   * @param {LinkOptions} options
   * @param {() => Promise<string | null>} sessionId The session to come back as.
   */
  constructor(dialect, options, sessionId) {
    super();
    this.dialect = dialect;
    this.options = options;
    this.sessionId = sessionId;
    this.clock = options.clock ?? systemClock;
    this.backoff = new Backoff({
      msMin: options.backoffMsMin,
      msMax: options.backoffMsMax,
      random: () => this.clock.random(),
    });
  }

  /** @returns {Snapshot} */
  get snapshot() {
    return {
      state: this.#state,
      attempts: this.#attempts,
      retryAt: this.#retryAt,
      user: this.#auth?.user ?? null,
      sessionId: this.#auth?.sessionId ?? null,
      error: this.#error,
    };
  }

  get isAuthenticated() {
    return this.#state === "authenticated";
  }

  /** Whether the hub waits for a full sync: from the first word of `auth_ok` until `synced`. */
  get isSyncDue() {
    return this.isAuthenticated && this.#isSyncDue;
  }

  /** The hub is told that the full sync is done. */
  synced() {
    this.#isSyncDue = false;
  }

  /** The token of the live connection; empty before the first. */
  get token() {
    return this.#token;
  }

  /** Connects, and stays connected until `disconnect`. */
  connect() {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#attempts = 0;
    this.#freshTokens = 0;
    this.#tokenReason = "connect";
    this.backoff.reset();
    this.#attempt();
  }

  /** Ends the connection and stays away. */
  disconnect() {
    this.#isWanted = false;
    this.#error = null;
    this.#attempts = 0;
    this.#abandon();
    this.#become("disconnected");
  }

  /** Tries at once instead of later; a live connection has to show that it lives. */
  reconnectNow() {
    if (!this.#isWanted) return this.connect();
    if (this.#connection) return this.#connection.check();
    if (this.#retryTimer !== null) this.#attempt();
  }

  /**
   * Sends a frame; false unless authenticated.
   * @param {Frame} frame
   */
  send(frame) {
    return this.isAuthenticated && (this.#connection?.send(frame) ?? false);
  }

  /**
   * Sends a ping; `then` is called when the hub has taken everything sent before it.
   * @param {() => void} then
   */
  ping(then) {
    return this.isAuthenticated && (this.#connection?.ping(then) ?? false);
  }

  #abandon() {
    this.#life += 1;
    for (const timer of [this.#retryTimer, this.#authTimer, this.#renewTimer]) {
      this.clock.clearTimeout(timer);
    }
    this.#retryTimer = this.#authTimer = this.#renewTimer = null;
    this.#retryAt = null;
    this.#authenticatedAt = null;
    const connection = this.#connection;
    this.#connection = null;
    connection?.close();
  }

  async #attempt() {
    this.#abandon();
    const life = this.#life;
    if (this.#attempts === 0) this.#become("connecting");
    else if (this.#state !== "error") this.#become("reconnecting");
    let token, sessionId;
    try {
      token = await askForToken(this.options.getToken, this.#tokenReason, this.clock);
      sessionId = await this.sessionId();
    } catch (error) {
      if (life === this.#life) this.#retry(errorOf(error), "reconnect");
      return;
    }
    if (life !== this.#life) return;
    if (token === null) return this.#signOut();
    this.#token = token;
    this.#open(life, token, sessionId);
  }

  /** @param {number} life @param {string} token @param {string | null} sessionId */
  #open(life, token, sessionId) {
    const { url, WebSocket, silenceMsMax, pongMsMax, openMsMax, offline } = this.options;
    const { path, ping, isPong } = this.dialect;
    const connection = new Connection({
      url: addressOf(url, path, "ws"),
      ping,
      isPong,
      WebSocket,
      clock: this.clock,
      silenceMsMax,
      pongMsMax,
      openMsMax,
    });
    this.#connection = connection;
    connection.on("open", () => {
      this.#become("connected");
      connection.send(this.dialect.auth(token, { sessionId, offline }));
      const late = () => connection.fail(CloseCode.NO_AUTH);
      this.#authTimer = this.clock.setTimeout(late, openMsMax ?? 15_000);
    });
    connection.on("frame", (frame) => {
      if (life === this.#life) this.#heard(frame);
    });
    connection.on("closed", ({ code, reason }) => {
      if (life === this.#life) this.#closed(code, reason);
    });
    try {
      connection.open();
    } catch (error) {
      this.#connection = null;
      this.#retry(errorOf(error), "reconnect");
    }
  }

  /** @param {Frame} frame */
  #heard(frame) {
    // An event may be of any type, one of the hub's own words too: its name tells that it is one.
    if (typeof frame.event_id === "string") return this.emit("frame", frame);
    const retryMs = this.dialect.readReconnect(frame);
    if (retryMs !== null) this.#hintMs = retryMs;
    const auth = this.dialect.readAuth(frame);
    if (!auth) return this.emit("frame", frame);
    this.clock.clearTimeout(this.#authTimer);
    if ("refusal" in auth) {
      // The close with 4401 that follows decides what to do.
      this.#tokenReason = auth.refusal === "token-expired" ? "token-expired" : "auth-failed";
      this.#error = new AuthError(auth.refusal, auth.message);
      return;
    }
    const isRenewal = this.isAuthenticated;
    this.#auth = auth;
    this.#isSyncDue = auth.needFullSync;
    this.#scheduleRenewal();
    if (isRenewal) return this.emit("renewed", auth);
    this.#authenticatedAt = this.clock.now();
    this.#attempts = 0;
    this.#freshTokens = 0;
    this.#hintMs = null;
    this.#tokenReason = "connect";
    this.#error = null;
    this.#become("authenticated");
    this.emit("authenticated", auth);
  }

  #scheduleRenewal() {
    const delay = renewalDelay(this.#token, this.clock.now());
    if (delay !== null) this.#renewIn(delay);
  }

  /** @param {number} ms */
  #renewIn(ms) {
    this.clock.clearTimeout(this.#renewTimer);
    const wait = Math.min(ms, TIMER_MS_MAX);
    const next = () => (wait < ms ? this.#renewIn(ms - wait) : this.#renew());
    this.#renewTimer = this.clock.setTimeout(next, wait);
  }

  async #renew() {
    const life = this.#life;
    try {
      const token = await askForToken(this.options.getToken, "renewal", this.clock);
      if (life !== this.#life) return;
      if (token === null) return this.#signOut();
      if (token === this.#token) return this.#renewIn(RENEWAL_RETRY_MS);
      this.#token = token;
      const { offline } = this.options;
      const sessionId = this.#auth?.sessionId ?? null;
      this.#connection?.send(this.dialect.auth(token, { sessionId, offline }));
    } catch (error) {
      log("the token was not renewed", error);
      if (life === this.#life) this.#renewIn(RENEWAL_RETRY_MS);
    }
  }

  #signOut() {
    log("nobody is signed in");
    this.disconnect();
    this.emit("signedout", undefined);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    log("closed", code, reason);
    const lived = this.#authenticatedAt === null ? 0 : this.clock.now() - this.#authenticatedAt;
    if (lived >= STABLE_MS) this.backoff.reset();
    const isRefused = this.#error instanceof AuthError && code === CloseCode.AUTH_FAILED;
    const error = isRefused ? this.#error : new StaffettaError(nameOf(code), messageOf(code, reason));
    this.#retry(error, adviceOf(code), code);
  }

  /**
   * @param {StaffettaError | null} error
   * @param {import("./protocol.js").Advice} advice
   * @param {number} [code]
   */
  #retry(error, advice, code = 0) {
    this.#abandon();
    this.#error = error;
    if (advice === "stay") {
      this.#isWanted = false;
      this.#become("disconnected");
      this.emit("stopped", code);
      return;
    }
    this.#attempts += 1;
    if (this.#attempts >= (this.options.attemptsMax ?? Infinity)) {
      this.#isWanted = false;
      this.#become("error");
      this.emit("stopped", code);
      return;
    }
    const delay = this.#delay(advice);
    this.#retryAt = this.clock.now() + delay;
    this.#retryTimer = this.clock.setTimeout(() => this.#attempt(), delay);
    const isError =
      this.#attempts >= (this.options.attemptsBeforeError ?? 10) || this.#freshTokens > 1;
    this.#become(isError ? "error" : "reconnecting");
  }

  /** @param {import("./protocol.js").Advice} advice */
  #delay(advice) {
    const hint = this.#hintMs;
    this.#hintMs = null;
    if (hint !== null) return hint;
    if (advice === "later") this.backoff.exhaust();
    if (advice === "fresh-token") {
      if (this.#tokenReason === "connect") this.#tokenReason = "token-expired";
      this.#freshTokens += 1;
      if (this.#freshTokens === 1) return 0;
      // A fresh token was refused as well: asking often will not help.
      this.backoff.exhaust();
    }
    return this.backoff.next();
  }

  /** @param {State} state */
  #become(state) {
    this.#state = state;
    this.emit("state", this.snapshot);
  }
}

/** @param {unknown} thrown @returns {StaffettaError} */
function errorOf(thrown) {
  if (thrown instanceof StaffettaError) return thrown;
  return new StaffettaError("failed", asError(thrown).message, { cause: thrown });
}

/** @param {number} code */
function nameOf(code) {
  const name = Object.entries(CloseCode).find(([, number]) => number === code)?.[0];
  return name ? name.toLowerCase().replaceAll("_", "-") : "connection-lost";
}

/** @param {number} code @param {string} reason */
function messageOf(code, reason) {
  return reason ? `the connection ended (${code}: ${reason})` : `the connection ended (${code})`;
}
