// How a client stands, as one tab tells it to another.

import { StaffettaError } from "./errors.js";

/** @typedef {import("./client.js").Client["snapshot"]} Snapshot */

/** @type {Snapshot} */
export const NOTHING = {
  state: "disconnected",
  attempts: 0,
  retryAt: null,
  user: null,
  sessionId: null,
  error: null,
  pendingChanges: 0,
  isFullSyncUnderWay: false,
  cursor: 0,
};

/** A snapshot that can be cloned to other tabs. @param {Snapshot} snapshot @returns {any} */
export function plain(snapshot) {
  const { error } = snapshot;
  return { ...snapshot, error: error && { code: error.code, message: error.message } };
}

/**
 * A snapshot that was told. What is still the same error is the same object, so that it is told of,
 * and dismissed, once.
 * @param {any} told
 * @param {Snapshot} before
 * @returns {Snapshot}
 */
export function revived(told, before) {
  if (!told.error) return told;
  const { code, message } = told.error;
  const { error, attempts } = before;
  const isSame = error?.code === code && error?.message === message && attempts === told.attempts;
  return { ...told, error: isSame ? error : new StaffettaError(code, message) };
}
