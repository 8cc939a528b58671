// Where tokens come from, and when the next one is due. A token is only ever held in memory.

import { systemClock } from "./clock.js";
import { AuthError } from "./errors.js";

/**
 * Why a token is asked for: to connect, because it ends soon, or because the hub refused the last.
 * @typedef {"connect" | "renewal" | "token-expired" | "auth-failed"} TokenReason
 */

/**
 * Supplies a token, or null when nobody is signed in.
 * @typedef {(reason: TokenReason) => string | null | undefined | Promise<string | null | undefined>} GetToken
 */

/** A token is renewed this long before it ends. */
const RENEW_BEFORE_MS = 60_000;
/** A token that ended less than this ago may have been taken all the same, and is renewed soon. */
const LEEWAY_MS = 60_000;
const ENDED_MS = 10_000;
/** A `getToken` that takes longer is given up: its request may have gone with the network. */
const TOKEN_MS_MAX = 30_000;

/**
 * Asks for a token.
 * @param {GetToken} getToken
 * @param {TokenReason} reason
 * @param {import("./clock.js").Clock} [clock]
 * @returns {Promise<string | null>} Null when nobody is signed in.
 */
export async function askForToken(getToken, reason, clock = systemClock) {
  let token, timer;
  try {
    const late = new Promise((_, reject) => {
      timer = clock.setTimeout(() => reject(new Error("it took too long")), TOKEN_MS_MAX);
    });
    token = await Promise.race([getToken(reason), late]);
  } catch (error) {
    throw new AuthError("no-token", "getToken failed", error);
  } finally {
    clock.clearTimeout(timer);
  }
  if (token === null || token === undefined || token === "") return null;
  if (typeof token !== "string") throw new AuthError("no-token", "getToken gave no text");
  return token;
}

/**
 * When a token ends, in Unix milliseconds; null if it does not say so here. Nothing is verified.
 * @param {string} token
 * @returns {number | null}
 */
export function endOf(token) {
  return timesOf(token).end;
}

/**
 * @param {string} token
 * @returns {{ start: number | null, end: number | null }}
 */
function timesOf(token) {
  const ms = (/** @type {any} */ seconds) => (Number.isFinite(seconds) ? seconds * 1_000 : null);
  try {
    const [, payload = ""] = token.split(".");
    const { iat, exp } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return { start: ms(iat), end: ms(exp) };
  } catch {
    return { start: null, end: null };
  }
}

/**
 * How long from `now` until a token is to be renewed; null if never.
 * @param {string} token
 * @param {number} now
 * @returns {number | null}
 */
export function renewalDelay(token, now) {
  const { start, end } = timesOf(token);
  if (end === null) return null;
  let left = end - now;
  // The hub allows for a few seconds.
  if (left <= 0 && left > -LEEWAY_MS) return ENDED_MS;
  if (left <= 0) {
    // The hub took it, so this clock is wrong: what is known is how long it is good for.
    if (start === null || end <= start) return null;
    left = end - start;
  }
  // A token that lives for less than two minutes is renewed half way.
  return Math.max(1_000, left - Math.min(RENEW_BEFORE_MS, left / 2));
}
