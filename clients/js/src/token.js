// Where tokens come from, and when the next one is due. A token is only ever held in memory.

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

/**
 * Asks for a token.
 * @param {GetToken} getToken
 * @param {TokenReason} reason
 * @returns {Promise<string | null>} Null when nobody is signed in.
 */
export async function askForToken(getToken, reason) {
  let token;
  try {
    token = await getToken(reason);
  } catch (error) {
    throw new AuthError("no-token", "getToken failed", error);
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
  const [, payload] = token.split(".");
  if (!payload) return null;
  try {
    const base64 = payload.replaceAll("-", "+").replaceAll("_", "/");
    const { exp } = JSON.parse(atob(base64));
    return Number.isFinite(exp) ? exp * 1_000 : null;
  } catch {
    return null;
  }
}

/**
 * How long from `now` until a token is to be renewed; null if never.
 * @param {string} token
 * @param {number} now
 * @returns {number | null}
 */
export function renewalDelay(token, now) {
  const end = endOf(token);
  if (end === null) return null;
  const left = end - now;
  // A token that lives for less than two minutes is renewed half way.
  return Math.max(1_000, left - Math.min(RENEW_BEFORE_MS, left / 2));
}
