// The photo timeline of one device: changed by events only, gathered as a photo client does.

import { PendingChanges } from "../client/index.js";

export class Photos {
  /** Photos by id, oldest first. */
  #photos = new Map();

  /**
   * @param {HTMLElement} pane
   * @param {any} client
   * @param {(type: string, data: any) => void} publish What the application would do.
   */
  constructor(pane, client, publish) {
    this.grid = pane.querySelector(".grid");
    this.empty = pane.querySelector(".empty");
    this.publish = publish;
    this.pending = new PendingChanges({
      debounceMs: 250,
      apply: {
        assetUploaded: (photo) => this.#add(photo),
        assetDelete: (id) => this.#remove(id),
        assetHidden: (id) => this.#remove(id),
        assetTrash: (id) => this.#remove(id),
      },
    });
    this.pending.listen(client, "old");
  }

  /** Shows these and no others, as after a full sync. */
  replace(photos) {
    this.pending.clear();
    this.#photos.clear();
    this.grid.replaceChildren();
    for (const photo of photos) this.#add(photo);
    this.#count();
  }

  #add(photo) {
    if (this.#photos.has(photo.id)) return;
    const tile = document.createElement("li");
    tile.className = "tile";
    tile.style.setProperty("--hue", photo.hue);
    const name = document.createElement("span");
    name.textContent = photo.name;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "×";
    button.setAttribute("aria-label", `Delete ${photo.name}`);
    button.addEventListener("click", () => this.publish("on_asset_delete", photo.id));
    tile.append(name, button);
    this.grid.prepend(tile);
    this.#photos.set(photo.id, tile);
    this.#count();
  }

  #remove(id) {
    this.#photos.get(id)?.remove();
    this.#photos.delete(id);
    this.#count();
  }

  #count() {
    this.empty.hidden = this.#photos.size > 0;
  }
}
