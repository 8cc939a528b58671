// A device's network, which a visitor may cut, and whose acks a visitor may kill. It also sees
// what passes: that is where the trail comes from.

export class Network {
  #sockets = new Set();
  isOn = true;
  letsAcksPass = true;

  /** @param {{ onEvent(frame: any): void, onAcks(ids: string[]): void }} watcher */
  constructor(watcher) {
    const network = this;
    this.watcher = watcher;
    /** A WebSocket of this network. */
    this.WebSocket = class {
      #socket = null;
      #timer = null;
      onopen = null;
      onmessage = null;
      onclose = null;
      onerror = null;

      constructor(url) {
        network.#sockets.add(this);
        if (!network.isOn) {
          this.#timer = setTimeout(() => this.cut(), 200);
          return;
        }
        const socket = new WebSocket(url);
        this.#socket = socket;
        socket.onopen = () => this.onopen?.();
        socket.onmessage = (message) => {
          network.#sees(message.data);
          this.onmessage?.(message);
        };
        socket.onclose = ({ code, reason }) => {
          network.#sockets.delete(this);
          this.onclose?.({ code, reason });
        };
        socket.onerror = () => this.onerror?.();
      }

      get readyState() {
        return this.#socket?.readyState ?? WebSocket.CONNECTING;
      }

      send(text) {
        const frame = JSON.parse(text);
        if (frame.type === "ack") {
          if (!network.letsAcksPass) return;
          network.watcher.onAcks(frame.event_ids);
        }
        this.#socket?.send(text);
      }

      close(code) {
        clearTimeout(this.#timer);
        network.#sockets.delete(this);
        this.#socket?.close(code);
      }

      /** Ends as a cut cable does. */
      cut() {
        const told = this.onclose;
        if (this.#socket) this.#socket.onmessage = this.#socket.onclose = null;
        this.close();
        told?.({ code: 1006, reason: "" });
      }
    };
  }

  /** @param {boolean} isOn */
  turn(isOn) {
    this.isOn = isOn;
    if (!isOn) for (const socket of [...this.#sockets]) socket.cut();
  }

  #sees(text) {
    const frame = JSON.parse(text);
    if (frame.event_id && frame.seq) this.watcher.onEvent(frame);
  }
}
