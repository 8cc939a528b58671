// Where small values are kept: in memory, in localStorage, or (database.js) in IndexedDB.

/**
 * Keys and JSON values.
 * @typedef {object} KeyValue
 * @property {(key: string) => Promise<any>} get Undefined when there is none.
 * @property {(key: string, value: any) => Promise<void>} set
 * @property {(key: string) => Promise<void>} remove
 * @property {(prefix: string) => Promise<Array<[string, any]>>} entries In the order of the keys.
 */

/** @implements {KeyValue} */
export class MemoryKeyValue {
  /** @type {Map<string, string>} */
  #values = new Map();

  /** @param {string} key */
  async get(key) {
    const text = this.#values.get(key);
    return text === undefined ? undefined : JSON.parse(text);
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    this.#values.set(key, JSON.stringify(value));
  }

  /** @param {string} key */
  async remove(key) {
    this.#values.delete(key);
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async entries(prefix) {
    const keys = [...this.#values.keys()].filter((key) => key.startsWith(prefix)).sort();
    return Promise.all(keys.map(async (key) => [key, await this.get(key)]));
  }
}

/** @implements {KeyValue} */
export class LocalKeyValue {
  /** @param {string} name Goes before every key. @param {Storage} [storage] */
  constructor(name, storage = globalThis.localStorage) {
    this.prefix = `${name}:`;
    this.storage = storage;
  }

  /** @param {string} key */
  async get(key) {
    const text = this.storage.getItem(this.prefix + key);
    if (text === null) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      // Somebody else wrote there; what cannot be read is not ours.
      return undefined;
    }
  }

  /** @param {string} key @param {any} value */
  async set(key, value) {
    this.storage.setItem(this.prefix + key, JSON.stringify(value));
  }

  /** @param {string} key */
  async remove(key) {
    this.storage.removeItem(this.prefix + key);
  }

  /** @param {string} prefix @returns {Promise<Array<[string, any]>>} */
  async entries(prefix) {
    const whole = this.prefix + prefix;
    const keys = Object.keys(this.storage).filter((key) => key.startsWith(whole)).sort();
    return Promise.all(
      keys.map(async (key) => {
        const short = key.slice(this.prefix.length);
        return [short, await this.get(short)];
      }),
    );
  }
}
