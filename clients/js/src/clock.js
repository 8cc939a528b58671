// The one place that reads time and chance. Tests pass a clock of their own.

/**
 * @typedef {object} Clock
 * @property {() => number} now Unix milliseconds.
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random From 0 up to 1.
 */

// Read at each call: a page, or a test, may replace the global timers later.
/** @type {Clock} */
export const systemClock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => globalThis.setTimeout(fn, ms),
  clearTimeout: (timer) => globalThis.clearTimeout(timer),
  random: () => Math.random(),
};

/** The longest a browser's timer can wait; a longer one fires at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;
