// The notes of one device: a list, one open note, who else is in it and where they type.

import { Notes } from "../client/index.js";

/** A connection may send 300 frames a minute: changes and cursors stay below. */
const CHANGE_MS = 400;
const CURSOR_MS = 600;

export class NotesPane {
  #open = null;
  #changes = null;
  #changeTimer = null;
  #cursorAt = 0;
  #cursorTimer = null;
  #others = new Map();

  /** @param {HTMLElement} pane @param {any} client @param {string} device */
  constructor(pane, client, device) {
    const find = (name) => pane.querySelector(`.${name}`);
    this.device = device;
    this.notes = new Notes(client);
    this.list = find("list");
    this.title = find("title");
    this.content = find("content");
    this.mirror = find("mirror");
    this.presence = find("presence");
    this.editor = find("editor");
    this.editor.hidden = true;
    find("new").addEventListener("click", () => this.create());
    this.title.addEventListener("input", () => this.#edit({ title: this.title.value }));
    this.content.addEventListener("input", () => this.#edit({ content: this.content.value }));
    for (const type of ["input", "keyup", "click"]) {
      this.content.addEventListener(type, () => this.#tellCursor());
    }
    this.content.addEventListener("scroll", () => (this.mirror.scrollTop = this.content.scrollTop));
    this.notes.on("change", ({ noteId }) => this.#changed(noteId));
    this.notes.on("presence", ({ noteId, users }) => noteId === this.#open && this.#cameOrWent(users));
    this.notes.on("signal", (signal) => this.#heardCursor(signal));
  }

  /** Fetches every note, and makes the first if there is none. */
  async load() {
    await this.notes.load();
    this.#showList();
    if (!this.#open && this.notes.all[0]) this.open(this.notes.all[0].id);
  }

  create(title = "New note", content = "") {
    const id = crypto.randomUUID();
    this.notes.create({ id, title, content }).catch(() => {});
    this.open(id);
  }

  open(id) {
    if (this.#open && this.#open !== id) this.notes.leave(this.#open);
    this.#flush();
    this.#open = id;
    this.#others.clear();
    this.editor.hidden = false;
    this.notes.join(id, { presence: true });
    this.#show();
    this.#showList();
    this.#showPresence();
  }

  #edit(changes) {
    this.#changes = { ...this.#changes, ...changes };
    this.#changeTimer ??= setTimeout(() => this.#flush(), CHANGE_MS);
  }

  #flush() {
    clearTimeout(this.#changeTimer);
    this.#changeTimer = null;
    const changes = this.#changes;
    this.#changes = null;
    if (changes && this.#open) this.notes.update(this.#open, changes).catch(() => {});
  }

  #tellCursor() {
    const wait = this.#cursorAt + CURSOR_MS - Date.now();
    clearTimeout(this.#cursorTimer);
    if (wait > 0) {
      this.#cursorTimer = setTimeout(() => this.#tellCursor(), wait);
      return;
    }
    this.#cursorAt = Date.now();
    if (this.#open) this.notes.signal(this.#open, { device: this.device, at: this.content.selectionStart });
  }

  #heardCursor({ noteId, data }) {
    if (noteId !== this.#open || typeof data?.at !== "number") return;
    this.#others.set(data.device, { at: data.at, seenAt: Date.now() });
    this.#showCursors();
    this.#showPresence();
    setTimeout(() => this.#forget(data.device), 5_000);
  }

  #cameOrWent(users) {
    // Offline: nobody knows where the others are.
    if (users.length === 0) this.#others.clear();
    this.#showCursors();
    this.#showPresence();
  }

  #forget(device) {
    const other = this.#others.get(device);
    if (!other || Date.now() - other.seenAt < 4_900) return;
    this.#others.delete(device);
    this.#showCursors();
    this.#showPresence();
  }

  #changed(noteId) {
    this.#showList();
    if (!this.#open && this.notes.get(noteId)) return this.open(noteId);
    if (noteId === this.#open) this.#show();
  }

  #show() {
    const note = this.notes.get(this.#open);
    if (!note) {
      this.#open = null;
      this.editor.hidden = true;
      return;
    }
    // What is being typed here and not yet sent stays.
    if (this.#changes?.title === undefined) place(this.title, note.title ?? "");
    if (this.#changes?.content === undefined) place(this.content, note.content ?? "");
    this.#showCursors();
  }

  #showList() {
    const chips = this.notes.all.map((note) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "chip";
      chip.textContent = note.title || "Untitled";
      chip.setAttribute("aria-pressed", String(note.id === this.#open));
      chip.addEventListener("click", () => this.open(note.id));
      return chip;
    });
    this.list.replaceChildren(...chips);
  }

  #showCursors() {
    const text = this.content.value;
    const parts = [];
    let from = 0;
    for (const [device, { at }] of [...this.#others].sort(([, a], [, b]) => a.at - b.at)) {
      const caret = document.createElement("span");
      caret.className = "caret";
      caret.dataset.name = device;
      parts.push(text.slice(from, at), caret);
      from = Math.min(at, text.length);
    }
    this.mirror.replaceChildren(...parts, text.slice(from));
    this.mirror.scrollTop = this.content.scrollTop;
  }

  #showPresence() {
    const open = this.notes.present(this.#open).reduce((sum, { connections }) => sum + connections, 0);
    const typing = [...this.#others.keys()].map((device) => `${device} is typing`).join(", ");
    const devices = open === 1 ? "Only this device is here" : `${open} devices are here`;
    this.presence.textContent = open === 0 ? "" : typing ? `${devices}. ${typing}.` : `${devices}.`;
  }
}

/** Changes a field without moving its caret. */
function place(field, value) {
  if (field.value === value) return;
  const { selectionStart, selectionEnd } = field;
  field.value = value;
  if (field === document.activeElement) field.setSelectionRange(selectionStart, selectionEnd);
}
