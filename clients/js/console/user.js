// One user: sessions, how their connections ended, and what can be done about them.

import { clockTime, element, find, render, showProblem, terms } from "./dom.js";

export class UserView {
  #api;
  #confirm;
  #done;
  #user = "";
  #shown = "";

  /**
   * @param {import("./api.js").Api} api
   * @param {{ confirm: (words: string, yes: string) => Promise<boolean>, done: (words: string) => void }} page
   */
  constructor(api, { confirm, done }) {
    this.#api = api;
    this.#confirm = confirm;
    this.#done = done;
  }

  get user() {
    return this.#user;
  }

  /** Shows a user, and keeps it up to date. @param {string} user */
  async open(user) {
    this.#user = user;
    this.#shown = "";
    find("user").value = user;
    await this.refresh();
  }

  close() {
    this.#user = "";
    find("user-found").hidden = true;
  }

  async refresh() {
    const user = this.#user;
    if (user === "") return;
    try {
      const [sessions, closes] = await Promise.all([this.#api.sessions(user), this.#api.closes(user)]);
      if (user !== this.#user) return;
      showProblem("user-problem", null);
      find("user-found").hidden = false;
      this.#show(sessions, closes);
    } catch (error) {
      if (user === this.#user) showProblem("user-problem", error);
    }
  }

  #show(sessions, closes) {
    const shown = JSON.stringify([sessions, closes]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const none = (/** @type {string} */ textContent) => [element("li", { className: "empty", textContent })];
    render(find("sessions"), sessions.length > 0 ? sessions.map((session) => this.#session(session)) : none("No sessions."));
    render(find("closes"), closes.length > 0 ? closes.map(closeOf) : none("None that is remembered."));
  }

  #session({ session_id: id, connection, offline, need_full_sync: needsSync, cursor, pending, in_flight: inFlight, last_ack_at: acked }) {
    const isLive = connection !== null;
    const state = isLive ? "live" : "away";
    const facts = id === null
      ? [["Speaks", connection?.dialect ?? "–"]]
      : [
          ["Floor", String(cursor)],
          ["Owed", String(pending)],
          ["In flight", String(inFlight)],
          ["Last ack", clockTime(acked)],
          ["Speaks", connection?.dialect ?? "–"],
          ["When away", offline === "replay" ? "replay" : "full sync"],
        ];
    return element(
      "li",
      { data: { state } },
      element(
        "h4",
        {},
        element("span", { className: "name", textContent: id ?? "plain connection" }),
        element("span", { className: "badge", textContent: state }),
        needsSync ? element("span", { className: "badge warn", textContent: "needs full sync" }) : null,
      ),
      terms(/** @type {any} */ (facts)),
      id === null ? null : this.#buttons(id),
    );
  }

  #buttons(/** @type {string} */ id) {
    const button = (words, key, act) => {
      const made = element("button", { type: "button", textContent: words, data: { key: `${key}:${id}` } });
      made.setAttribute("aria-label", `${words}: ${id}`);
      made.addEventListener("click", act);
      return made;
    };
    return element(
      "div",
      { className: "row" },
      button("Force full sync", "sync", () => this.#orderFullSync(id)),
      button("Revoke", "revoke", () => this.#revoke(id)),
    );
  }

  async #orderFullSync(/** @type {string} */ id) {
    const user = this.#user;
    if (!(await this.#confirm(`Make ${id} of ${user} fetch its whole state?`, "Force full sync"))) return;
    await this.#act(() => this.#api.orderFullSync(user, id), `${id} does a full sync at its next connection.`);
  }

  async #revoke(/** @type {string} */ id) {
    const user = this.#user;
    if (!(await this.#confirm(`Close and forget ${id} of ${user}?`, "Revoke"))) return;
    await this.#act(() => this.#api.revoke(user, id), `${id} is revoked.`);
  }

  async #act(act, words) {
    try {
      await act();
      this.#done(words);
      await this.refresh();
    } catch (error) {
      showProblem("user-problem", error);
    }
  }
}

function closeOf({ at, session_id: id, code, reason }) {
  return element(
    "li",
    { data: { step: code === null ? "left" : "closed" } },
    element("span", { className: "when", textContent: clockTime(at) }),
    element("span", { className: "what", textContent: code === null ? reason : `${code} ${reason}` }),
    element("span", { className: "later", textContent: id ?? "plain" }),
  );
}
