// The hub's HTTP API, as the console asks it: with the key or token of an administrator.

const HUB = new URL("..", location.href);

/** An answer that is no success; the message is the hub's own. */
export class Refusal extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Api {
  #key;

  /** @param {string} key Held in memory, and by whoever made this. */
  constructor(key) {
    this.#key = key;
  }

  /** A token for `/ws`, by which the figures are heard. */
  async ticket() {
    return (await this.#ask("POST", "console/ticket")).token;
  }

  /** @param {string} user */
  sessions(user) {
    return this.#ask("GET", `users/${encodeURIComponent(user)}/sessions`);
  }

  /** @param {string} user */
  closes(user) {
    return this.#ask("GET", `users/${encodeURIComponent(user)}/closes`);
  }

  /** @param {string} user @param {string} session */
  revoke(user, session) {
    return this.#ask("DELETE", `users/${encodeURIComponent(user)}/sessions/${encodeURIComponent(session)}`);
  }

  /** @param {string} user @param {string} session */
  orderFullSync(user, session) {
    return this.#ask("POST", `users/${encodeURIComponent(user)}/sessions/${encodeURIComponent(session)}/full-sync`);
  }

  /** @param {string} user @param {object} event */
  publish(user, event) {
    return this.#ask("POST", `users/${encodeURIComponent(user)}/events`, event);
  }

  /** @param {string} event */
  trace(event) {
    return this.#ask("GET", `events/${encodeURIComponent(event)}/trace`);
  }

  async #ask(method, path, body) {
    const headers = { Authorization: `Bearer ${this.#key}`, "Content-Type": "application/json" };
    const request = { method, headers, body: body && JSON.stringify(body) };
    const response = await fetch(new URL(`api/v1/${path}`, HUB), request).catch(() => {
      throw new Refusal(0, "The hub does not answer.");
    });
    const text = await response.text();
    const answer = text === "" ? null : JSON.parse(text);
    if (!response.ok) throw new Refusal(response.status, answer?.detail ?? `The hub answered ${response.status}.`);
    return answer;
  }
}
