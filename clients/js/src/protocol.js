// The words of the wire (docs/protocol of the hub): addresses, close codes, answers. Pure.

/**
 * A JSON object from the hub.
 * @typedef {Record<string, any>} Frame
 */

/**
 * What a close code asks of the client: come back, come back with another token, come back much
 * later, or stay away.
 * @typedef {"reconnect" | "fresh-token" | "later" | "stay"} Advice
 */

/** Why the hub, or this client, ended a connection. */
export const CloseCode = Object.freeze({
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  INVALID_TEXT: 1007,
  TOO_BIG: 1009,
  INTERNAL_ERROR: 1011,
  RESTART: 1012,
  AUTH_FAILED: 4401,
  REVOKED: 4403,
  GAVE_UP: 4408,
  REPLACED: 4409,
  TOO_SLOW: 4413,
  LIMIT: 4429,
  /** Ours: no pong in time. Never on the wire. */
  NO_PONG: 4900,
  /** Ours: the connection did not open in time. Never on the wire. */
  NO_OPEN: 4901,
  /** Ours: `auth` was not answered in time. Never on the wire. */
  NO_AUTH: 4902,
});

/**
 * @param {number} code
 * @returns {Advice}
 */
export function adviceOf(code) {
  switch (code) {
    case CloseCode.AUTH_FAILED:
      return "fresh-token";
    case CloseCode.REVOKED:
    case CloseCode.REPLACED:
      return "stay";
    case CloseCode.LIMIT:
    case CloseCode.PROTOCOL_ERROR:
    case CloseCode.INVALID_TEXT:
    case CloseCode.TOO_BIG:
      return "later";
    default:
      return "reconnect";
  }
}

/**
 * The address of a path of the hub. `base` is where the hub is mounted, with any of the schemes
 * http, https, ws and wss; in a page it may be relative.
 * @param {string} base
 * @param {string} path Starts with a slash.
 * @param {"ws" | "http"} scheme
 * @returns {string}
 */
export function addressOf(base, path, scheme) {
  const page = typeof location === "undefined" ? undefined : location.href;
  const url = new URL(base, page);
  const isSecure = url.protocol === "https:" || url.protocol === "wss:";
  const mount = url.pathname.replace(/\/(ws|updates)?\/*$/, "");
  return `${scheme}${isSecure ? "s" : ""}://${url.host}${mount}${path}`;
}

/**
 * Reads a frame; null when it is not a JSON object.
 * @param {unknown} text
 * @returns {Frame | null}
 */
export function frameOf(text) {
  if (typeof text !== "string") return null;
  try {
    const frame = JSON.parse(text);
    return frame !== null && typeof frame === "object" && !Array.isArray(frame) ? frame : null;
  } catch {
    return null;
  }
}

/** Note messages and folder messages that the hub takes without an answer. */
const UNANSWERED =
  /^(note_created|note_deleted|folder_(created|updated|deleted))$/;

/** Errors after which the same frame may be sent again. */
export const TEMPORARY = new Set(["unavailable", "rate_limited"]);

/** Errors that are about the connection, or that the connection's own code answers. */
const NOT_ABOUT_A_FRAME = new Set(["auth_required", "auth_timeout", "too_many_connections"]);

/**
 * What an incoming frame says about one that was sent: taken, refused, to be sent again, or
 * nothing (null).
 * @param {Frame} sent
 * @param {Frame} incoming
 * @returns {"taken" | "refused" | "again" | null}
 */
export function answerTo(sent, incoming) {
  if (incoming.type === "error") return errorAbout(sent, incoming);
  if (!isSameNote(sent, incoming)) return null;
  switch (sent.type) {
    case "note_update":
      return incoming.type === "note_update_success" ? "taken" : null;
    case "join_note":
      return incoming.type === "note_joined" ? "taken" : null;
    case "leave_note":
      return incoming.type === "note_left" ? "taken" : null;
    default:
      return null;
  }
}

/**
 * Whether the hub takes such a frame in silence. A ping sent behind it is answered after it was
 * taken, as the hub takes a connection's frames in order.
 * @param {Frame} sent
 */
export function isTakenInSilence(sent) {
  return UNANSWERED.test(sent.type) || !ANSWERED.has(sent.type);
}

const ANSWERED = new Set(["note_update", "join_note", "leave_note"]);

/**
 * @param {Frame} sent
 * @param {Frame} error
 * @returns {"refused" | "again" | null}
 */
function errorAbout(sent, error) {
  if (NOT_ABOUT_A_FRAME.has(error.code)) return null;
  if (error.noteId !== undefined && !isSameNote(sent, error)) return null;
  return TEMPORARY.has(error.code) ? "again" : "refused";
}

/** @param {Frame} sent @param {Frame} incoming */
function isSameNote(sent, incoming) {
  const noteId = sent.noteId ?? sent.noteData?.id;
  return noteId !== undefined && String(noteId) === String(incoming.noteId);
}

/**
 * What an event carries, without the hub's own fields.
 * @param {Frame} event
 * @returns {any}
 */
export function dataOf(event) {
  const { type, event_id, seq, ...fields } = event;
  if ("data" in fields && Object.keys(fields).length === 1) return fields.data;
  return Object.keys(fields).length === 0 ? null : fields;
}

/**
 * The conflicts an answer tells of, without those where this device overwrote what it had written
 * itself.
 * @param {Frame | null} answer
 * @param {Record<string, any>} ours
 * @returns {Record<string, { yours: any, theirs: any }>}
 */
export function conflictsOf(answer, ours) {
  const isTheirs = (/** @type {[string, any]} */ [field, { theirs }]) =>
    !(field in ours) || JSON.stringify(ours[field]) !== JSON.stringify(theirs);
  return Object.fromEntries(Object.entries(answer?.conflicts ?? {}).filter(isTheirs));
}
