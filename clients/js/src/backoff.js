// How long to wait before the next attempt: exponential, with full jitter, so that a thousand
// clients of a restarted hub do not come back in step.

export class Backoff {
  #exponent = 0;

  /**
   * @param {object} [options]
   * @param {number} [options.msMin] The longest first pause.
   * @param {number} [options.msMax] The longest pause of all.
   * @param {() => number} [options.random] From 0 up to 1.
   */
  constructor({ msMin = 1_000, msMax = 30_000, random = Math.random } = {}) {
    this.msMin = msMin;
    this.msMax = msMax;
    this.random = random;
  }

  /** The next pause, in milliseconds: evenly from 0 to a ceiling that doubles each time. */
  next() {
    const pause = Math.round(this.random() * this.ceiling());
    this.#exponent += 1;
    return pause;
  }

  /** The longest the next pause may be. */
  ceiling() {
    return Math.min(this.msMax, this.msMin * 2 ** this.#exponent);
  }

  /** Starts over, after a success that lasted. */
  reset() {
    this.#exponent = 0;
  }

  /** Goes straight to the longest pauses, when the other side asks for patience. */
  exhaust() {
    this.#exponent = Math.max(0, Math.ceil(Math.log2(this.msMax / this.msMin)));
  }
}
