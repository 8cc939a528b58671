// One event: what became of it on each device.

import { clockTime, duration, element, find, render, showProblem } from "./dom.js";

const STATES = {
  owed: "owed",
  in_flight: "in flight",
  acked: "acked",
  settled: "settled",
  dropped: "dropped",
  full_sync: "full sync",
};
const STEPS = {
  published: "published",
  durable: "durable",
  sent: "sent",
  retried: "retried",
  acked: "acked",
  dropped: "dropped",
};
/** Retries shown of a delivery; the others are counted. */
const RETRIES_SHOWN = 3;

const words = (/** @type {string} */ name) => name.replaceAll("_", " ");

export class EventView {
  #api;
  #onUser;
  #event = "";
  #shown = "";
  #isDone = true;

  /** @param {import("./api.js").Api} api @param {(user: string) => void} onUser */
  constructor(api, onUser) {
    this.#api = api;
    this.#onUser = onUser;
  }

  /** Shows an event, and keeps it up to date. @param {string} event */
  async open(event) {
    this.#event = event;
    this.#shown = "";
    this.#isDone = false;
    find("event").value = event;
    render(find("deliveries"), []);
    await this.refresh();
  }

  close() {
    this.#event = "";
    this.#isDone = true;
  }

  /** Asks again, while a delivery may still change. */
  async refresh() {
    if (this.#event === "" || this.#isDone) return;
    const event = this.#event;
    try {
      const { deliveries } = await this.#api.trace(event);
      if (event !== this.#event) return;
      showProblem("event-problem", null);
      this.#isDone = deliveries.length > 0 && deliveries.every(({ state }) => !["owed", "in_flight"].includes(state));
      this.#show(deliveries);
    } catch (error) {
      if (event !== this.#event) return;
      this.#isDone = true;
      showProblem("event-problem", error);
    }
  }

  #show(deliveries) {
    const shown = JSON.stringify(deliveries);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const items = deliveries.map((delivery) => this.#delivery(delivery));
    const none = element("li", { className: "empty", textContent: "No session was owed it." });
    render(find("deliveries"), items.length > 0 ? items : [none]);
  }

  #delivery({ user, session_id: session, seq, state, timeline, published }) {
    const owner = element("button", { type: "button", className: "link", textContent: user, data: { key: `${user}/${session}` } });
    owner.addEventListener("click", () => this.#onUser(user));
    return element(
      "li",
      { data: { state } },
      element(
        "h3",
        {},
        element("span", { className: "name", textContent: session ?? "plain connection" }),
        element("span", { className: "badge", textContent: STATES[state] ?? state }),
      ),
      element("p", { className: "hint" }, "of ", owner, seq === null ? "" : `, place ${seq}`),
      element("ol", { className: "steps" }, ...stepsOf(timeline, published)),
    );
  }
}

function stepsOf(timeline, published) {
  const retries = timeline.filter(({ step }) => step === "retried");
  const hidden = new Set(retries.slice(0, -RETRIES_SHOWN));
  const items = [];
  for (const step of timeline) {
    if (hidden.has(step)) continue;
    const before = step === retries.at(-RETRIES_SHOWN) && hidden.size > 0 ? ` (and ${hidden.size} before)` : "";
    const why = step.reason ? `: ${words(step.reason)}` : "";
    const later = step.at > published ? `+${duration(step.at - published)}` : "";
    items.push(
      element(
        "li",
        { data: { step: step.step } },
        element("span", { className: "when", textContent: clockTime(step.at) }),
        element("span", { className: "what", textContent: `${STEPS[step.step] ?? step.step}${why}${before}` }),
        element("span", { className: "later", textContent: later }),
      ),
    );
  }
  return items;
}
