// What became of each event, per device: published, sent, sent again, acked.

const ROWS_MAX = 30;
const DEVICES = ["Phone", "Laptop"];

const NAMES = {
  on_upload_success: ({ name }) => `${name} uploaded`,
  on_asset_delete: () => "Photo deleted",
  note_sync: ({ updatedNote }) => `“${updatedNote?.title || "Untitled"}” edited`,
  note_created_sync: ({ noteData }) => `“${noteData?.title || "Untitled"}” created`,
  note_deleted_sync: () => "Note deleted",
};

export class Trail {
  #rows = new Map();

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
    const name = NAMES[frame.type]?.(frame) ?? frame.type;
    const row = this.#row(frame.event_id, name);
    const cell = row.cells[device];
    cell.sent += 1;
    // What one device does to a note is no event for that device.
    if (frame.type.startsWith("note_")) row.isNote = true;
    this.#show(row);
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
    this.body.replaceChildren();
  }

  #row(eventId, name) {
    const found = this.#rows.get(eventId);
    if (found) return found;
    const element = document.createElement("tr");
    const title = document.createElement("th");
    title.scope = "row";
    title.textContent = name;
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString([], { hour12: false });
    const published = document.createElement("span");
    published.className = "step";
    published.textContent = "published";
    title.append(time, published);
    element.append(title);
    const cells = {};
    for (const device of DEVICES) {
      const cell = element.insertCell();
      cell.dataset.label = device;
      cells[device] = { cell, sent: 0, isAcked: false };
    }
    const row = { element, cells, isNote: false };
    this.#rows.set(eventId, row);
    this.body.prepend(element);
    if (this.#rows.size > ROWS_MAX) {
      const [oldest, last] = this.#rows.entries().next().value;
      last.element.remove();
      this.#rows.delete(oldest);
    }
    this.#show(row);
    return row;
  }

  #show({ cells, isNote }) {
    for (const { cell, sent, isAcked } of Object.values(cells)) {
      const steps = isNote && sent === 0 ? [["made", "made here"]] : stepsOf(sent, isAcked);
      const shown = steps.map(([kind, text]) => {
        const step = document.createElement("span");
        step.className = `step ${kind}`;
        step.textContent = text;
        return step;
      });
      cell.replaceChildren(...shown);
    }
  }
}

function stepsOf(sent, isAcked) {
  const steps = [];
  if (sent === 0) steps.push(["waiting", "waits in the hub"]);
  if (sent > 0) steps.push(["sent", "sent"]);
  if (sent > 1) steps.push(["retried", `retried ×${sent - 1}`]);
  if (isAcked) steps.push(["acked", "acked ✓"]);
  return steps;
}
