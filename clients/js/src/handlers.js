// Who applies which events: handlers of the page, and handlers inside a transaction.

/** @typedef {import("./client.js").HubEvent} HubEvent */
/** @typedef {import("./database.js").ApplyInTransaction} ApplyInTransaction */
/** @typedef {(event: HubEvent) => void | Promise<void>} EventHandler */
/** @typedef {(stores: string[], applies: ApplyInTransaction[]) => Promise<void>} InTransaction */

export class Handlers {
  /** @type {Array<{ type: string, handler: EventHandler }>} */
  #plain = [];
  /** @type {Array<{ type: string, stores: string[], apply: ApplyInTransaction }>} */
  #inTransaction = [];
  /** @type {import("./full-sync.js").FullSyncHandler[]} */
  #fullSyncs = [];

  /** @param {string} type @param {EventHandler} handler */
  add(type, handler) {
    const entry = { type, handler };
    this.#plain.push(entry);
    return () => void (this.#plain = this.#plain.filter((other) => other !== entry));
  }

  /** @param {string} type @param {string[]} stores @param {ApplyInTransaction} apply */
  addInTransaction(type, stores, apply) {
    const entry = { type, stores, apply };
    this.#inTransaction.push(entry);
    return () => {
      this.#inTransaction = this.#inTransaction.filter((other) => other !== entry);
    };
  }

  /** @param {import("./full-sync.js").FullSyncHandler} handler */
  addFullSync(handler) {
    this.#fullSyncs.push(handler);
    return () => void (this.#fullSyncs = this.#fullSyncs.filter((other) => other !== handler));
  }

  get fullSyncs() {
    return [...this.#fullSyncs];
  }

  /**
   * Runs every handler of an event: first those in the transaction, so that the page's handlers
   * may read what they wrote. Throws what a handler throws.
   * @param {HubEvent} event
   * @param {InTransaction} inTransaction
   */
  async apply(event, inTransaction) {
    const wanted = (/** @type {{ type: string }} */ { type }) => type === event.type || type === "*";
    const transactional = this.#inTransaction.filter(wanted);
    if (transactional.length > 0) {
      const stores = transactional.flatMap((entry) => entry.stores);
      await inTransaction(stores, transactional.map((entry) => entry.apply));
    }
    for (const { handler } of this.#plain.filter(wanted)) await handler(event);
  }
}
