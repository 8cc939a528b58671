// Which rooms of notes this device is in, and who else is there.

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {{ userId: string, connections: number }} Present */

export class Rooms {
  /** @type {Map<string, { noteId: string, presence: boolean, isAsked: boolean }>} */
  #joined = new Map();
  /** @type {Map<string, number>} How often a room was left without the hub having answered yet. */
  #leaving = new Map();
  /** @type {Map<string, Present[]>} */
  #present = new Map();

  /**
   * @param {(frame: Frame) => boolean} send
   * @param {(noteId: string) => boolean} [isThere] Whether the hub may know the note: there is no room
   *   before there is a note.
   */
  constructor(send, isThere = () => true) {
    this.send = send;
    this.isThere = isThere;
  }

  get joined() {
    return [...this.#joined.keys()];
  }

  /**
   * Who is in a room that was joined with `presence`.
   * @param {string} noteId
   */
  present(noteId) {
    return this.#present.get(String(noteId)) ?? [];
  }

  /** Who is present is not known while offline; the rooms that changes are returned. */
  offline() {
    const changed = [...this.#present.keys()];
    this.#present.clear();
    return changed;
  }

  /** @param {string} noteId @param {boolean} presence */
  join(noteId, presence) {
    this.#joined.set(String(noteId), { noteId, presence, isAsked: false });
    this.enter(noteId);
  }

  /**
   * Asks for a room that was joined before the hub had its note.
   * @param {string} id
   */
  enter(id) {
    const room = this.#joined.get(String(id));
    if (!room || room.isAsked || !this.isThere(String(id))) return;
    const { noteId, presence } = room;
    room.isAsked = this.send({ type: "join_note", noteId, ...(presence && { presence }) });
  }

  /** @param {string} noteId */
  leave(noteId) {
    const id = String(noteId);
    this.#joined.delete(id);
    this.#present.delete(id);
    const isSent = this.send({ type: "leave_note", noteId });
    if (isSent) this.#leaving.set(id, (this.#leaving.get(id) ?? 0) + 1);
  }

  /** Into every room again, on a new connection. */
  rejoin() {
    this.#leaving.clear();
    for (const { noteId, presence } of [...this.#joined.values()]) this.join(noteId, presence);
  }

  /**
   * Takes note of what the hub says.
   * @param {Frame} frame
   * @returns {boolean} Whether somebody else came or went.
   */
  hear(frame) {
    const noteId = String(frame.noteId);
    switch (frame.type) {
      case "note_left":
        this.#left(noteId);
        return false;
      case "presence_state":
        this.#present.set(noteId, frame.users);
        return true;
      case "presence_diff":
        this.#present.set(noteId, merged(this.present(noteId), frame));
        return true;
      default:
        return false;
    }
  }

  /**
   * Out of a room: because it was left, and perhaps joined again since, or because access is gone.
   * @param {string} noteId
   */
  #left(noteId) {
    const times = this.#leaving.get(noteId) ?? 0;
    if (times > 1) this.#leaving.set(noteId, times - 1);
    else this.#leaving.delete(noteId);
    if (times > 0) return;
    this.#joined.delete(noteId);
    this.#present.delete(noteId);
  }
}

/** @param {Present[]} users @param {Frame} diff @returns {Present[]} */
function merged(users, { joins = [], leaves = [] }) {
  const counts = new Map(users.map(({ userId, connections }) => [userId, connections]));
  for (const { userId, connections } of [...joins, ...leaves]) counts.set(userId, connections);
  return [...counts]
    .filter(([, connections]) => connections > 0)
    .map(([userId, connections]) => ({ userId, connections }));
}
