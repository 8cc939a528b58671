// One device: a client of its own on a network of its own, with a pane that shows it.

import { Client, MemoryKeyValue } from "../client/index.js";
import { Network } from "./network.js";
import { NotesPane } from "./notes.js";
import { Photos } from "./photos.js";

const WORDS = {
  disconnected: "Offline",
  connecting: "Connecting",
  connected: "Signing in",
  authenticated: "Live",
  reconnecting: "Reconnecting",
  error: "No connection",
};

export class Device {
  /**
   * @param {string} name
   * @param {{ getToken: () => Promise<string | null>, trail: any, publish: any, photosOf: () => any[] }} world
   */
  constructor(name, { getToken, trail, publish, photosOf }) {
    this.name = name;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("device"));
    this.pane = /** @type {any} */ (template.content.cloneNode(true)).firstElementChild;
    this.pane.querySelector("h2").textContent = name;
    this.pane.dataset.device = name;
    this.pane.setAttribute("aria-label", name);
    this.network = new Network({
      onEvent: (frame) => trail.sent(name, frame),
      onAcks: (ids) => trail.acked(name, ids),
    });
    this.client = new Client({
      url: new URL("..", location.href).href,
      getToken,
      name: `demo-${name}`,
      // A visitor's devices are new with each visit.
      storage: new MemoryKeyValue(),
      locks: null,
      offline: "replay",
      backoffMsMax: 5_000,
      WebSocket: this.network.WebSocket,
    });
    this.photos = new Photos(this.pane, this.client, publish);
    this.notes = new NotesPane(this.pane, this.client, name);
    this.client.onFullSync(async () => {
      this.photos.replace(photosOf());
      await this.notes.load();
    });
    this.client.on("state", () => this.#showState());
    this.client.on("taken", ({ frame, answer }) => {
      trail.made(name, { ...frame, ...answer, type: `${frame.type.replace("_update", "")}_sync` });
      this.#showState();
    });
    this.client.on("fullsync", ({ isUnderWay }) => {
      if (!isUnderWay && this.client.snapshot.state === "authenticated") trail.synced(name);
    });
    this.#wire();
    this.client.connect();
  }

  close() {
    this.client.close();
    this.pane.remove();
  }

  #wire() {
    const network = this.pane.querySelector(".network");
    network.addEventListener("change", () => {
      this.network.turn(network.checked);
      this.client.reconnect();
      this.#showState();
    });
    const acks = this.pane.querySelector(".acks");
    acks.addEventListener("change", () => {
      this.network.letsAcksPass = acks.checked;
      this.pane.classList.toggle("no-acks", !acks.checked);
    });
    for (const field of this.pane.querySelectorAll(".title, .content")) {
      field.addEventListener("input", () => setTimeout(() => this.#showState(), 500));
    }
  }

  #showState() {
    const { state, pendingChanges } = this.client.snapshot;
    const shown = this.network.isOn ? state : "disconnected";
    this.pane.dataset.status = shown;
    const waiting = pendingChanges > 0 && state !== "authenticated";
    const changes = pendingChanges === 1 ? "1 change waits" : `${pendingChanges} changes wait`;
    this.pane.querySelector(".words").textContent = waiting ? `${WORDS[shown]}, ${changes}` : WORDS[shown];
  }
}
