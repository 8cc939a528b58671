// How the connection stands, for people: a mark, words, and what to do about it.
//
// Looks are in status.css: every colour is a custom property, and no state is told by colour alone.

import { createElement as h, useEffect, useState } from "react";

import { useWebSocket } from "./use-websocket.js";

/** @typedef {import("../link.js").State} State */

/** @type {Record<State, { mark: string, text: string }>} */
const WORDS = {
  disconnected: { mark: "○", text: "Offline" },
  connecting: { mark: "◌", text: "Connecting" },
  connected: { mark: "◑", text: "Signing in" },
  authenticated: { mark: "●", text: "Live" },
  reconnecting: { mark: "↻", text: "Reconnecting" },
  error: { mark: "!", text: "Cannot connect" },
};

/**
 * @typedef {object} StatusProps
 * @property {import("./store.js").AnyClient} [client]
 * @property {boolean} [autoConnect]
 * @property {string} [className]
 * @property {Partial<Record<State, string>>} [labels] Other words for the states.
 */

/**
 * The state in words, with details if they are asked for.
 * @param {StatusProps & { showDetails?: boolean }} props
 */
export function WebSocketStatus({ showDetails = false, className = "", labels, ...props }) {
  const socket = useWebSocket({ autoConnect: false, ...props });
  const { status, error, reconnect, clearError } = socket;
  const canRetry = status === "reconnecting" || status === "error" || status === "disconnected";
  return h(
    "div",
    { className: `staffetta-status ${className}`.trim(), "data-status": status },
    h(
      "span",
      { className: "staffetta-status-line", role: "status", "aria-live": "polite" },
      h(Mark, { status }),
      h("span", null, labels?.[status] ?? WORDS[status].text),
    ),
    canRetry &&
      h("button", { type: "button", className: "staffetta-button", onClick: reconnect }, "Try now"),
    showDetails && h(Details, { socket }),
    error &&
      h(
        "p",
        { className: "staffetta-error", role: "alert" },
        h("span", null, error.message),
        h(
          "button",
          { type: "button", className: "staffetta-button", onClick: clearError, "aria-label": "Dismiss the error" },
          "×",
        ),
      ),
  );
}

/**
 * The state as a mark with a name.
 * @param {StatusProps} props
 */
export function WebSocketStatusCompact({ className = "", labels, ...props }) {
  const { status } = useWebSocket({ autoConnect: false, ...props });
  const label = labels?.[status] ?? WORDS[status].text;
  return h(
    "span",
    { className: `staffetta-compact ${className}`.trim(), "data-status": status, role: "img", "aria-label": label, title: label },
    h(Mark, { status }),
  );
}

/**
 * Whether changes of this device are on their way.
 * @param {StatusProps} props
 */
export function SyncIndicator({ className = "", ...props }) {
  const socket = useWebSocket({ autoConnect: false, ...props });
  const { pendingChanges, isFullSyncUnderWay, isAuthenticated } = socket;
  const isBusy = pendingChanges > 0 || isFullSyncUnderWay;
  return h(
    "span",
    { className: `staffetta-sync ${className}`.trim(), "data-busy": isBusy, role: "status", "aria-live": "polite" },
    h("span", { className: "staffetta-sync-mark", "aria-hidden": true }, isBusy ? "⇅" : isAuthenticated ? "✓" : "○"),
    h("span", null, syncText(socket)),
  );
}

/**
 * Says for a few seconds that something came from another device.
 * @param {StatusProps & { durationMs?: number, textOf?: (frame: any) => string }} props
 */
export function SyncNotification({ className = "", durationMs = 4_000, textOf = textOfSync, ...props }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const show = (/** @type {any} */ frame) => setText(textOf(frame));
  useWebSocket({
    autoConnect: false,
    ...props,
    onNoteSync: show,
    onNoteCreatedSync: show,
    onNoteDeletedSync: show,
  });
  useEffect(() => {
    if (text === null) return;
    const timer = setTimeout(() => setText(null), durationMs);
    return () => clearTimeout(timer);
  }, [text, durationMs]);
  return h(
    "div",
    { className: `staffetta-notification ${className}`.trim(), role: "status", "aria-live": "polite", "data-shown": text !== null },
    text,
  );
}

/** @param {{ status: State }} props */
function Mark({ status }) {
  return h("span", { className: "staffetta-mark", "aria-hidden": true }, WORDS[status].mark);
}

/** @param {{ socket: ReturnType<typeof useWebSocket> }} props */
function Details({ socket }) {
  const { reconnectAttempts, retryAt, lastSync, joinedNotes, pendingChanges } = socket;
  const rows = [
    ["Attempts", reconnectAttempts],
    ["Next attempt", retryAt === null ? "–" : timeOf(new Date(retryAt))],
    ["Last sync", lastSync === null ? "–" : timeOf(lastSync)],
    ["Notes joined", joinedNotes.length],
    ["Waiting to be sent", pendingChanges],
  ];
  return h(
    "dl",
    { className: "staffetta-details" },
    rows.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))),
  );
}

/** @param {Date} date */
function timeOf(date) {
  return date.toLocaleTimeString();
}

/** @param {import("./store.js").View} view */
function syncText({ status, pendingChanges, isFullSyncUnderWay, lastSync }) {
  if (isFullSyncUnderWay) return "Fetching everything";
  if (pendingChanges > 0) return `${pendingChanges} ${pendingChanges === 1 ? "change" : "changes"} to send`;
  // Without a connection nobody knows what others did since.
  if (status !== "authenticated") return lastSync === null ? "Not synced yet" : `Last synced ${timeOf(lastSync)}`;
  return lastSync === null ? "Up to date" : `Up to date, ${timeOf(lastSync)}`;
}

/** @param {any} frame */
function textOfSync(frame) {
  const title = frame.updatedNote?.title ?? frame.noteData?.title;
  const what = title ? `“${title}”` : "A note";
  if (frame.type === "note_created_sync") return `${what} was added on another device`;
  if (frame.type === "note_deleted_sync") return `${what} was deleted on another device`;
  return `${what} was changed on another device`;
}
