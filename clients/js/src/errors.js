// What can go wrong, by name: every error of this package has a `code` to decide by.

/** An error with a code. */
export class StaffettaError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ noteId?: string, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = "StaffettaError";
    /** What went wrong, for programs. */
    this.code = code;
    /** The note it is about, if it is about one. */
    this.noteId = more.noteId;
  }
}

/** The hub does not take the token, or there is none. */
export class AuthError extends StaffettaError {
  /** @param {string} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(code, message, { cause });
    this.name = "AuthError";
  }
}

/** The hub refused what was sent. */
export class RefusedError extends StaffettaError {
  /** @param {string} code @param {string} message @param {string} [noteId] */
  constructor(code, message, noteId) {
    super(code, message, { noteId });
    this.name = "RefusedError";
  }
}

/** What was asked for was not answered: the connection ended, or time did. */
export class UnansweredError extends StaffettaError {
  /** @param {"connection-lost" | "timeout" | "closed"} code @param {string} message */
  constructor(code, message) {
    super(code, message);
    this.name = "UnansweredError";
  }
}

/** The queue of what waits to be sent is full. */
export class QueueFullError extends StaffettaError {
  /** @param {number} itemsMax */
  constructor(itemsMax) {
    super("queue-full", `${itemsMax} changes already wait to be sent`);
    this.name = "QueueFullError";
  }
}

/**
 * Any thrown value as an error.
 * @param {unknown} thrown
 * @returns {Error}
 */
export function asError(thrown) {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
