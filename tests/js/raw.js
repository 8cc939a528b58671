// Raw sockets: what a client without a library sees.

import { WebSocket } from "ws";

/** A WebSocket whose messages wait to be taken. */
export class Raw {
  constructor(url, options) {
    this.socket = new WebSocket(url, options);
    this.waiting = [];
    this.takers = [];
    this.closed = new Promise((done) => this.socket.on("close", (code) => done(code)));
    this.opened = new Promise((done, fail) => {
      this.socket.on("open", done);
      this.socket.on("error", fail);
    });
    this.opened.catch(() => {});
    this.socket.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      const taker = this.takers.shift();
      if (taker) taker(message);
      else this.waiting.push(message);
    });
  }

  take() {
    if (this.waiting.length > 0) return Promise.resolve(this.waiting.shift());
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error("no message in time")), 2_000);
      this.takers.push((message) => {
        clearTimeout(timer);
        done(message);
      });
    });
  }

  /** The next message that is no ping; pings are answered. */
  async next() {
    for (;;) {
      const message = await this.take();
      if (message !== "2") return message;
      this.socket.send("3");
    }
  }

  send(...messages) {
    for (const message of messages) this.socket.send(message);
  }

  close() {
    this.socket.terminate();
  }
}

/** Waits for a close, with a deadline; says the code. */
export function closing(raw, ms = 2_000) {
  return Promise.race([
    raw.closed,
    new Promise((_, fail) => setTimeout(() => fail(new Error("not closed in time")), ms)),
  ]);
}
