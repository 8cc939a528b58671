// What became of each event, per device: published, sent, sent again, acked. It tells what was seen
// to happen on each device, and nothing else.

const ROWS_MAX = 30;
const DEVICES = ["Phone", "Laptop"];

const NAMES = {
  on_upload_success: ({ name }) => `${name} uploaded`,
  on_asset_delete: () => "Photo deleted",
  note_sync: ({ updatedNote }) => `“${updatedNote?.title || "Untitled"}” edited`,
  note_created_sync: ({ noteData }) => `“${noteData?.title || "Untitled"}” created`,
  note_deleted_sync: () => "Note deleted",
};

/** A change of a note, by what its device and the others know of it. */
export function changeOf({ type, noteId, noteData, updatedNote }) {
  if (type.startsWith("note_created")) return `${noteData.id} created`;
  if (type.startsWith("note_deleted")) return `${noteId} deleted`;
  return `${noteId} ${updatedNote?.version}`;
}

export class Trail {
  /** By event, and for changes of notes also by change. */
  #rows = new Map();
  #shown = [];

  /** @param {HTMLElement} body */
  constructor(body) {
    this.body = body;
  }

  /** The hub has it on disk. */
  published(eventId, name) {
    this.#row(eventId, name);
  }

  /** A device was sent it. */
  sent(device, frame) {
    const row = this.#rows.get(frame.event_id) ?? this.#changed(frame, frame.event_id);
    row.cells[device].sent += 1;
    this.#show(row);
  }

  /** The hub has taken a note's change of a device: an event for the others. */
  made(device, frame) {
    const row = this.#changed(frame);
    row.cells[device].isMade = true;
    this.#show(row);
  }

  /** A device has everything by a full sync; what it had not acked the hub no longer owes it. */
  synced(device) {
    for (const row of this.#shown) {
      const cell = row.cells[device];
      cell.isSynced ||= !cell.isAcked && !cell.isMade;
      this.#show(row);
    }
  }

  /** A device acked these. */
  acked(device, ids) {
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (!row) continue;
      row.cells[device].isAcked = true;
      this.#show(row);
    }
  }

  clear() {
    this.#rows.clear();
    this.#shown = [];
    this.body.replaceChildren();
  }

  #changed(frame, eventId = null) {
    const name = NAMES[frame.type]?.(frame) ?? frame.type;
    if (!frame.type.startsWith("note_")) return this.#row(eventId, name);
    const row = this.#row(changeOf(frame), name, frame.timestamp);
    if (eventId) this.#rows.set(eventId, row);
    return row;
  }

  #row(key, name, at = Date.now()) {
    const found = this.#rows.get(key);
    if (found) return found;
    const element = document.createElement("tr");
    const title = document.createElement("th");
    title.scope = "row";
    title.textContent = name;
    const time = document.createElement("time");
    time.textContent = new Date(at).toLocaleTimeString([], { hour12: false });
    const published = document.createElement("span");
    published.className = "step";
    published.textContent = "published";
    title.append(time, published);
    element.append(title);
    const cells = {};
    for (const device of DEVICES) {
      const cell = element.insertCell();
      cell.dataset.label = device;
      cells[device] = { cell, sent: 0, isAcked: false, isMade: false, isSynced: false };
    }
    const row = { element, cells };
    this.#rows.set(key, row);
    this.#shown.push(row);
    this.body.prepend(element);
    if (this.#shown.length > ROWS_MAX) this.#drop(this.#shown.shift());
    this.#show(row);
    return row;
  }

  #drop(oldest) {
    oldest.element.remove();
    for (const [key, row] of this.#rows) if (row === oldest) this.#rows.delete(key);
  }

  #show({ cells }) {
    for (const { cell, ...became } of Object.values(cells)) {
      const shown = stepsOf(became).map(([kind, text]) => {
        const step = document.createElement("span");
        step.className = `step ${kind}`;
        step.textContent = text;
        return step;
      });
      cell.replaceChildren(...shown);
    }
  }
}

function stepsOf({ sent, isAcked, isMade, isSynced }) {
  if (isMade && sent === 0) return [["made", "made here"]];
  const steps = [];
  if (sent === 0 && !isSynced) steps.push(["waiting", "waits in the hub"]);
  if (sent > 0) steps.push(["sent", "sent"]);
  if (sent > 1) steps.push(["retried", `retried ×${sent - 1}`]);
  if (isAcked) steps.push(["acked", "acked ✓"]);
  if (isSynced && !isAcked) steps.push(["acked", "full sync ✓"]);
  return steps;
}
