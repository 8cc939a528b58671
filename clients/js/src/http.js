// The hub's HTTP API, as far as a device uses it.

import { StaffettaError } from "./errors.js";
import { addressOf } from "./protocol.js";

/**
 * Asks as the user of `token`.
 * @param {{ url: string, fetch?: typeof fetch }} options
 * @param {string} token
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export function fetchFrom({ url, fetch = globalThis.fetch }, token, path, init = {}) {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${token}`);
  return fetch(addressOf(url, path, "http"), { ...init, headers });
}

/**
 * The pages of `GET /sync` after a cursor. `events` is null when the log no longer reaches back.
 * @param {(path: string) => Promise<Response>} ask
 * @param {number} after
 * @returns {AsyncGenerator<{ events: any[] | null, cursor: number }>}
 */
export async function* pagesOf(ask, after) {
  let cursor = after;
  for (;;) {
    const response = await ask(`/api/v1/sync?cursor=${cursor}&limit=500`);
    if (response.status === 410) {
      yield { events: null, cursor };
      return;
    }
    const page = await jsonOf(response);
    cursor = page.cursor;
    yield { events: page.events, cursor };
    if (!page.more) return;
  }
}

/**
 * The body of a good answer; throws what a bad one says.
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function jsonOf(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const code = body?.code ?? `http-${response.status}`;
  throw new StaffettaError(code, body?.detail ?? `the hub answered ${response.status}`);
}
