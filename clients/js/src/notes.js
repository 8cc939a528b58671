// Notes over a client: rooms that are rejoined, changes shown at once and taken back when the
// hub refuses them, presence and signals.

import { Backoff } from "./backoff.js";
import { systemClock } from "./clock.js";
import { Emitter } from "./emitter.js";
import { asError } from "./errors.js";
import { jsonOf } from "./http.js";
import { conflictsOf, TEMPORARY } from "./protocol.js";
import { Rooms } from "./rooms.js";

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {{ id: string, version?: number, [field: string]: any }} Note */
/** @typedef {import("./rooms.js").Present} Present */

/**
 * What `Notes` needs of a client; `Client` and `SharedClient` both have it.
 * @typedef {object} NotesClient
 * @property {(name: any, listener: (value: any) => void) => () => void} on
 * @property {(type: string, handler: (event: any) => void | Promise<void>) => () => void} onEvent
 * @property {(frame: Frame) => boolean} send
 * @property {(frame: Frame) => Promise<Frame | null>} enqueue
 * @property {(path: string, init?: RequestInit) => Promise<Response>} fetch
 * @property {(handler: () => Promise<void>) => () => void} onFullSync
 * @property {{ state: string, isFullSyncUnderWay: boolean }} snapshot
 * @property {Frame[]} pendingFrames
 * @property {import("./clock.js").Clock} [clock]
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
 * A note as the hub has it, what this device changed since, what it changed last, and the version
 * the hub answered that with.
 * @typedef {{ note: Note | null, pending: Array<Record<string, any>>, ours: Record<string, any>, answered?: number }} Entry
 */

/** @extends {Emitter<NotesEvents>} */
export class Notes extends Emitter {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Array<() => void>} */
  #offs;
  #isLoaded = false;
  #isKept = false;
  #loads = 0;
  /** @type {Set<string>} What was told of while a load is under way: newer than its pages. */
  #told = new Set();
  /** @type {Set<string>} Notes on their way to the hub. */
  #making = new Set();

  /** @param {NotesClient} client */
  constructor(client) {
    super();
    this.client = client;
    this.clock = client.clock ?? systemClock;
    this.backoff = new Backoff({ random: () => this.clock.random() });
    this.rooms = new Rooms((frame) => client.send(frame), (id) => !this.#isMaking(id));
    this.#offs = [
      client.on("authenticated", () => this.rooms.rejoin()),
      client.on("state", ({ state }) => state === "authenticated" || this.#offline()),
      client.on("taken", (taken) => this.#taken(taken)),
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
    return this.rooms.joined;
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
    return this.rooms.present(noteId);
  }

  /**
   * Goes into a note's room, now and after every reconnect.
   * @param {string} noteId
   * @param {{ presence?: boolean }} [options]
   */
  join(noteId, { presence = false } = {}) {
    this.rooms.join(noteId, presence);
  }

  /** @param {string} noteId */
  leave(noteId) {
    this.rooms.leave(noteId);
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
    const change = { ...changes };
    const drop = () => (entry.pending = entry.pending.filter((other) => other !== change));
    entry.pending.push(change);
    this.#show(id, "us");
    const frame = { type: "note_update", noteId, changes };
    if (version !== undefined) Object.assign(frame, { base_version: version });
    try {
      const answer = await this.client.enqueue(frame);
      drop();
      if (answer?.updatedNote) this.#take(id, answer.updatedNote);
      this.#show(id, "hub");
      // Changes that were sent as one have one answer.
      const isNews = answer?.updatedNote?.version !== entry.answered;
      const conflicts = isNews ? conflictsOf(answer, entry.ours) : {};
      entry.answered = answer?.updatedNote?.version;
      Object.assign(entry.ours, changes);
      if (Object.keys(conflicts).length > 0) this.emit("conflict", { noteId: id, conflicts });
      return answer;
    } catch (error) {
      drop();
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
    const entry = this.#entry(id);
    const before = entry.note;
    const made = (entry.note = { ...noteData });
    this.#making.add(id);
    this.#show(id, "us");
    try {
      await this.client.enqueue({ type: "note_created", noteId: noteData.id, noteData });
      this.#made(id);
    } catch (error) {
      // What others did meanwhile stays.
      this.#making.delete(id);
      if (entry.note === made) entry.note = before;
      if (entry.note) this.rooms.enter(id);
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
    const entry = this.#entry(id);
    const before = entry.note;
    entry.note = null;
    this.#show(id, "us");
    try {
      await this.client.enqueue({ type: "note_deleted", noteId });
    } catch (error) {
      entry.note ??= before;
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

  /**
   * Has every note here from now on: fetches them now, or once connected, and at every full sync.
   */
  keepLoaded() {
    if (this.#isKept) return;
    this.#isKept = true;
    this.#offs.push(
      this.client.onFullSync(() => this.load()),
      this.client.on("authenticated", ({ needFullSync }) => void (needFullSync || this.#loadFirst())),
      // A tab that shares another's connection hears of nothing else.
      this.client.on("state", () => void ("isLeader" in this.client && this.#loadFirst())),
    );
    void this.#loadFirst();
  }

  /** Fetches every note from the hub; `keepLoaded` does this when it is due. */
  async load() {
    if (this.#loads++ === 0) this.#told.clear();
    try {
      const notes = await this.#fetchAll();
      const unsent = new Set(this.client.pendingFrames.map((frame) => String(frame.noteId)));
      for (const [id, note] of notes) if (!this.#told.has(id)) this.#take(id, note);
      for (const [id, entry] of this.#entries) {
        // What was made here and is still on its way is not gone.
        if (!notes.has(id) && !unsent.has(id) && !this.#told.has(id)) entry.note = null;
        this.#show(id, "hub");
      }
      this.#isLoaded = true;
      this.backoff.reset();
    } finally {
      this.#loads -= 1;
    }
  }

  async #fetchAll() {
    /** @type {Map<string, Note>} */
    const notes = new Map();
    for (let cursor = ""; ; ) {
      const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
      const page = await jsonOf(await this.client.fetch(`/api/v1/notes${query}`));
      for (const note of page.notes) notes.set(String(note.id), note);
      if (!page.more) return notes;
      cursor = String(page.cursor);
    }
  }

  /** The session may be older than this page: then no full sync is due, and the notes are not here. */
  async #loadFirst() {
    const { state, isFullSyncUnderWay } = this.client.snapshot;
    const isDue = state === "authenticated" && !isFullSyncUnderWay;
    if (!isDue || this.#isLoaded || this.#loads > 0) return;
    try {
      await this.load();
    } catch (error) {
      this.emit("error", asError(error));
      this.clock.setTimeout(() => void this.#loadFirst(), this.backoff.next());
    }
  }

  /** @param {string} id */
  #made(id) {
    this.#making.delete(id);
    this.rooms.enter(id);
  }

  /** @param {string} id Made here, or in an earlier life, and not yet with the hub. */
  #isMaking(id) {
    const isIt = (/** @type {Frame} */ { type, noteId }) => type === "note_created" && String(noteId) === id;
    return this.#making.has(id) || this.client.pendingFrames.some(isIt);
  }

  #offline() {
    for (const noteId of this.rooms.offline()) this.emit("presence", { noteId, users: [] });
  }

  /** @param {Frame} frame */
  #heard(frame) {
    const noteId = String(frame.noteId);
    const isPresence = this.rooms.hear(frame);
    if (isPresence) return this.emit("presence", { noteId, users: this.present(noteId) });
    switch (frame.type) {
      case "note_joined":
        return this.emit("joined", { noteId });
      case "note_left":
        return this.emit("left", { noteId });
      case "note_signal":
        return this.emit("signal", frame);
      case "error":
        // The queue sends it again.
        if (TEMPORARY.has(frame.code) && this.client.pendingFrames.length > 0) return;
        return this.emit("error", asError(frame.message));
    }
  }

  /**
   * A change is with the hub: one of ours, of a tab that shares the connection, or of an earlier life.
   * @param {{ frame: Frame, answer: Frame | null }} taken
   */
  #taken({ frame, answer }) {
    const id = String(frame.noteId);
    switch (frame.type) {
      case "note_update":
        if (!answer?.updatedNote) return;
        this.#take(id, answer.updatedNote);
        break;
      case "note_created":
        this.#entry(id).note ??= frame.noteData;
        this.#made(id);
        break;
      case "note_deleted":
        this.#entry(id).note = null;
        break;
      default:
        return;
    }
    this.#tell(id, "hub");
  }

  /** @param {Frame} event */
  #synced(event) {
    const id = String(event.noteId);
    this.#take(id, event.updatedNote ?? { ...this.#entry(id).note, ...event.changes, id });
    this.#tell(id, "others");
    this.emit("sync", event);
  }

  /** @param {Frame} event */
  #created(event) {
    const id = String(event.noteData?.id ?? event.noteId);
    this.#take(id, event.noteData);
    this.#tell(id, "others");
    this.emit("created", event);
  }

  /** @param {Frame} event */
  #deleted(event) {
    const id = String(event.noteId);
    this.#entry(id).note = null;
    this.#tell(id, "others");
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
    const entry = { note: null, pending: [], ours: {} };
    this.#entries.set(id, entry);
    return entry;
  }

  /** @param {string} noteId @param {"us" | "others" | "hub"} by */
  #tell(noteId, by) {
    if (this.#loads > 0) this.#told.add(noteId);
    this.#show(noteId, by);
  }

  /** @param {string} noteId @param {"us" | "others" | "hub"} by */
  #show(noteId, by) {
    this.emit("change", { noteId, note: this.get(noteId), by });
  }
}
