// A clock that moves when told, and a WebSocket that says what the test says.

/** A clock whose timers fire inside `advance`. */
export class FakeClock {
  constructor(now = 1_700_000_000_000) {
    this.time = now;
    this.timers = new Map();
    this.count = 0;
    this.chance = 1;
  }

  now = () => this.time;
  random = () => this.chance;

  setTimeout = (fn, ms) => {
    const id = ++this.count;
    this.timers.set(id, { fn, at: this.time + Math.max(0, ms) });
    return id;
  };

  clearTimeout = (id) => {
    this.timers.delete(id);
  };

  /** Moves on, firing what is due in order, and lets promises settle in between. */
  async advance(ms) {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= end);
      if (due.length === 0) break;
      const [id, timer] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.timers.delete(id);
      this.time = Math.max(this.time, timer.at);
      timer.fn();
      await settle();
    }
    this.time = end;
    await settle();
  }

  /** Jumps without firing anything on the way, as a machine that sleeps. */
  async sleep(ms) {
    this.time += ms;
    await this.advance(0);
  }
}

/** Lets every promise that can settle do so. */
export async function settle() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A class of sockets, and the sockets it made. */
export function fakeSockets() {
  const sockets = [];
  class FakeWebSocket {
    constructor(url) {
      this.url = url;
      this.readyState = 0;
      this.sent = [];
      this.isClosed = false;
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.readyState = 3;
      this.isClosed = true;
      this.closedWith = code;
    }

    // What the test, as the hub, does.
    open() {
      this.readyState = 1;
      this.onopen?.();
    }

    say(frame) {
      this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
    }

    drop(code = 1006, reason = "") {
      this.readyState = 3;
      this.onclose?.({ code, reason });
    }

    /** Frames of a type that were sent. */
    of(type) {
      return this.sent.filter((frame) => frame.type === type);
    }
  }
  return { WebSocket: FakeWebSocket, sockets, last: () => sockets[sockets.length - 1] };
}

/** What the hub answers to a good `auth`. */
export function authOk(more = {}) {
  return { type: "auth_ok", user: "alice", session_id: "s1", need_full_sync: false, cursor: 0, ...more };
}

/** A token that ends at `exp` (Unix seconds); its signature is nobody's. */
export function tokenUntil(exp, sub = "alice") {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part({ sub, exp })}.c2lnbmF0dXJl`;
}

/** The locks of a browser, for tabs that are objects of one test. */
export class FakeLocks {
  constructor() {
    this.held = new Map();
    this.queues = new Map();
  }

  async request(name, options, callback) {
    const run = callback ?? options;
    const { ifAvailable = false, signal } = callback ? options : {};
    if (this.held.has(name)) {
      if (ifAvailable) return run(null);
      await new Promise((resolve, reject) => {
        const queue = this.queues.get(name) ?? [];
        queue.push(resolve);
        this.queues.set(name, queue);
        signal?.addEventListener("abort", () => {
          queue.splice(queue.indexOf(resolve), 1);
          reject(signal.reason);
        });
      });
    }
    this.held.set(name, true);
    try {
      return await run({ name });
    } finally {
      this.held.delete(name);
      this.queues.get(name)?.shift()?.();
    }
  }
}

/** A channel between the tabs of one test; messages are copied, as between real tabs. */
export function channels() {
  const open = new Set();
  return class {
    constructor() {
      open.add(this);
    }
    postMessage(message) {
      const copy = structuredClone(message);
      for (const other of open) if (other !== this) setImmediate(() => other.onmessage?.({ data: copy }));
    }
    close() {
      open.delete(this);
    }
  };
}
