// Notes over a client: rooms that are rejoined, changes shown at once and taken back when the
// hub refuses them, presence and signals.

import { Emitter } from "./emitter.js";
import { asError } from "./errors.js";
import { jsonOf } from "./http.js";

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {{ id: string, version?: number, [field: string]: any }} Note */
/** @typedef {{ userId: string, connections: number }} Present */

/**
 * What `Notes` needs of a client; `Client` and `SharedClient` both have it.
 * @typedef {object} NotesClient
 * @property {(name: any, listener: (value: any) => void) => () => void} on
 * @property {(type: string, handler: (event: any) => void | Promise<void>) => () => void} onEvent
 * @property {(frame: Frame) => boolean} send
 * @property {(frame: Frame) => Promise<Frame | null>} enqueue
 * @property {(path: string, init?: RequestInit) => Promise<Response>} fetch
 * @property {{ state: string }} snapshot
 * @property {Frame[]} pendingFrames
 */

/**
 * @typedef {object} NotesEvents
 * @property {{ noteId: string, note: Note | null, by: "us" | "others" | "hub" }} change A note as it is to be shown; null: gone.
 * @property {Frame} sync `note_sync`
 * @property {Frame} created `note_created_sync`
 * @property {Frame} deleted `note_deleted_sync`
 * @property {Frame} folder `folder_*_sync`
 * @property {{ noteId: string, users: Present[] }} presence
 * @property {Frame} signal
 * @property {{ noteId: string, conflicts: Record<string, { yours: any, theirs: any }> }} conflict
 * @property {{ noteId: string }} joined
 * @property {{ noteId: string }} left
 * @property {Error} error
 */

/**
 * A note as the hub has it, and what this device changed since.
 * @typedef {{ note: Note | null, pending: Array<Record<string, any>> }} Entry
 */

/** @extends {Emitter<NotesEvents>} */
export class Notes extends Emitter {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Map<string, { presence: boolean }>} */
  #joined = new Map();
  /** @type {Map<string, Present[]>} */
  #present = new Map();
  /** @type {Array<() => void>} */
  #offs;

  /** @param {NotesClient} client */
  constructor(client) {
    super();
    this.client = client;
    this.#offs = [
      client.on("authenticated", () => this.#rejoin()),
      client.on("message", (frame) => this.#heard(frame)),
      client.onEvent("note_sync", (event) => this.#synced(event)),
      client.onEvent("note_created_sync", (event) => this.#created(event)),
      client.onEvent("note_deleted_sync", (event) => this.#deleted(event)),
      ...["created", "updated", "deleted"].map((verb) =>
        client.onEvent(`folder_${verb}_sync`, (event) => this.emit("folder", event)),
      ),
    ];
  }

  /** Stops listening. */
  close() {
    for (const off of this.#offs) off();
  }

  /** The ids of the rooms this device is in. */
  get joined() {
    return [...this.#joined.keys()];
  }

  /** Every note known here, as it is to be shown. */
  get all() {
    return [...this.#entries.keys()].map((noteId) => this.get(noteId)).filter((note) => note !== null);
  }

  /**
   * A note as it is to be shown: as the hub has it, with this device's changes on top.
   * @param {string} noteId
   * @returns {Note | null}
   */
  get(noteId) {
    const entry = this.#entries.get(String(noteId));
    if (!entry?.note) return null;
    return Object.assign({}, entry.note, ...entry.pending);
  }

  /**
   * Who is in a room that was joined with `presence`.
   * @param {string} noteId
   */
  present(noteId) {
    return this.#present.get(String(noteId)) ?? [];
  }

  /**
   * Goes into a note's room, now and after every reconnect.
   * @param {string} noteId
   * @param {{ presence?: boolean }} [options]
   */
  join(noteId, { presence = false } = {}) {
    this.#joined.set(String(noteId), { presence });
    this.client.send({ type: "join_note", noteId, ...(presence && { presence }) });
  }

  /** @param {string} noteId */
  leave(noteId) {
    this.#joined.delete(String(noteId));
    this.#present.delete(String(noteId));
    this.client.send({ type: "leave_note", noteId });
  }

  /**
   * Changes fields of a note. Shown at once; taken back, and rejected, when the hub refuses.
   * @param {string} noteId
   * @param {Record<string, any>} changes
   * @returns {Promise<Frame | null>} The hub's `note_update_success`.
   */
  async update(noteId, changes) {
    const id = String(noteId);
    const entry = this.#entry(id);
    const version = entry.note?.version;
    entry.pending.push(changes);
    this.#show(id, "us");
    const frame = { type: "note_update", noteId, changes };
    if (version !== undefined) Object.assign(frame, { base_version: version });
    try {
      const answer = await this.client.enqueue(frame);
      drop(entry.pending, changes);
      if (answer?.updatedNote) this.#take(id, answer.updatedNote);
      this.#show(id, "hub");
      if (answer?.conflicts) this.emit("conflict", { noteId: id, conflicts: answer.conflicts });
      return answer;
    } catch (error) {
      drop(entry.pending, changes);
      this.#show(id, "hub");
      throw error;
    }
  }

  /**
   * Makes a note. Shown at once; taken back, and rejected, when the hub refuses.
   * @param {Note} noteData Its `id` is the caller's choice, such as a UUID.
   */
  async create(noteData) {
    const id = String(noteData.id);
    const before = this.#entry(id).note;
    this.#entry(id).note = { ...noteData };
    this.#show(id, "us");
    try {
      await this.client.enqueue({ type: "note_created", noteId: noteData.id, noteData });
    } catch (error) {
      this.#entry(id).note = before;
      this.#show(id, "hub");
      throw error;
    }
  }

  /**
   * Deletes a note, in the same way.
   * @param {string} noteId
   */
  async delete(noteId) {
    const id = String(noteId);
    const before = this.#entry(id).note;
    this.#entry(id).note = null;
    this.#show(id, "us");
    try {
      await this.client.enqueue({ type: "note_deleted", noteId });
    } catch (error) {
      this.#entry(id).note = before;
      this.#show(id, "hub");
      throw error;
    }
  }

  /**
   * Tells the room something of the moment, such as a cursor. Not kept, not sent again.
   * @param {string} noteId
   * @param {any} data
   */
  signal(noteId, data) {
    return this.client.send({ type: "note_signal", noteId, data });
  }

  /**
   * Tells of folders: `folder_created`, `folder_updated` or `folder_deleted`.
   * @param {"created" | "updated" | "deleted"} verb
   * @param {{ folderId: string, folderData?: any, changes?: any, updatedFolder?: any }} folder
   */
  folder(verb, folder) {
    return this.client.enqueue({ type: `folder_${verb}`, ...folder });
  }

  /** Fetches every note from the hub; made for `onFullSync`. */
  async load() {
    /** @type {Map<string, Note>} */
    const notes = new Map();
    for (let cursor = ""; ; ) {
      const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const page = await jsonOf(await this.client.fetch(`/api/v1/notes${query}`));
      for (const note of page.notes) notes.set(String(note.id), note);
      if (!page.more) break;
      cursor = String(page.cursor);
    }
    for (const [id, note] of notes) this.#take(id, note);
    const unsent = new Set(this.client.pendingFrames.map((frame) => String(frame.noteId)));
    for (const [id, entry] of this.#entries) {
      // What was made here and is still on its way is not gone.
      if (!notes.has(id) && !unsent.has(id)) entry.note = null;
      this.#show(id, "hub");
    }
  }

  #rejoin() {
    for (const [noteId, { presence }] of this.#joined) {
      this.client.send({ type: "join_note", noteId, ...(presence && { presence }) });
    }
  }

  /** @param {Frame} frame */
  #heard(frame) {
    const noteId = String(frame.noteId);
    switch (frame.type) {
      case "note_joined":
        return this.emit("joined", { noteId });
      case "note_left":
        this.#joined.delete(noteId);
        this.#present.delete(noteId);
        return this.emit("left", { noteId });
      case "presence_state":
        return this.#showPresence(noteId, frame.users);
      case "presence_diff":
        return this.#showPresence(noteId, merged(this.present(noteId), frame));
      case "note_signal":
        return this.emit("signal", frame);
      case "error":
        return this.emit("error", asError(frame.message));
    }
  }

  /** @param {string} noteId @param {Present[]} users */
  #showPresence(noteId, users) {
    this.#present.set(noteId, users);
    this.emit("presence", { noteId, users });
  }

  /** @param {Frame} event */
  #synced(event) {
    const id = String(event.noteId);
    this.#take(id, event.updatedNote ?? { ...this.#entry(id).note, ...event.changes, id });
    this.#show(id, "others");
    this.emit("sync", event);
  }

  /** @param {Frame} event */
  #created(event) {
    const id = String(event.noteData?.id ?? event.noteId);
    this.#take(id, event.noteData);
    this.#show(id, "others");
    this.emit("created", event);
  }

  /** @param {Frame} event */
  #deleted(event) {
    const id = String(event.noteId);
    this.#entry(id).note = null;
    this.#show(id, "others");
    this.emit("deleted", event);
  }

  /** @param {string} id @param {Note} note */
  #take(id, note) {
    const entry = this.#entry(id);
    // An answer and an event may cross; the higher version is the newer.
    if ((entry.note?.version ?? 0) > (note.version ?? Infinity)) return;
    entry.note = note;
  }

  /** @param {string} id @returns {Entry} */
  #entry(id) {
    const found = this.#entries.get(id);
    if (found) return found;
    const entry = { note: null, pending: [] };
    this.#entries.set(id, entry);
    return entry;
  }

  /** @param {string} noteId @param {"us" | "others" | "hub"} by */
  #show(noteId, by) {
    this.emit("change", { noteId, note: this.get(noteId), by });
  }
}

/**
 * @template T
 * @param {T[]} list
 * @param {T} item
 */
function drop(list, item) {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}

/** @param {Present[]} users @param {Frame} diff @returns {Present[]} */
function merged(users, { joins = [], leaves = [] }) {
  const counts = new Map(users.map(({ userId, connections }) => [userId, connections]));
  for (const { userId, connections } of [...joins, ...leaves]) counts.set(userId, connections);
  return [...counts]
    .filter(([, connections]) => connections > 0)
    .map(([userId, connections]) => ({ userId, connections }));
}
