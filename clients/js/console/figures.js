// The figures of now: what the hub tells each second, and what changed since the second before.

import { count, duration, element, find } from "./dom.js";

/**
 * One second's figures, as shown.
 * @typedef {object} Figures
 * @property {number} at
 * @property {number} connections
 * @property {number} published Per second, as the next four.
 * @property {number} delivered
 * @property {number} acked
 * @property {number} redelivered
 * @property {number} trouble Full syncs and sessions given up.
 * @property {number | null} p50
 * @property {number | null} p99
 * @property {number} inFlight
 * @property {number} owed
 * @property {number} sessions
 */

/** @type {Array<[string, (figures: Figures) => string]>} */
const SHOWN = [
  ["Connections", ({ connections }) => count(connections)],
  ["Sessions live", ({ sessions }) => count(sessions)],
  ["Published / s", ({ published }) => count(published)],
  ["Acked / s", ({ acked }) => count(acked)],
  ["Publish → acked p50", ({ p50 }) => (p50 === null ? "–" : duration(p50))],
  ["Publish → acked p99", ({ p99 }) => (p99 === null ? "–" : duration(p99))],
  ["In flight", ({ inFlight }) => count(inFlight)],
  ["Owed", ({ owed }) => count(owed)],
  ["Redelivered / s", ({ redelivered }) => count(redelivered)],
  ["Full syncs, give-ups / s", ({ trouble }) => count(trouble)],
];

const connectionsOf = (stats) => stats.connections_native + stats.connections_updates + stats.connections_socketio;

export class FigureTiles {
  #before = /** @type {any} */ (null);
  #values;

  constructor() {
    this.#values = SHOWN.map(() => element("dd", { textContent: "–" }));
    find("figures").replaceChildren(
      ...SHOWN.map(([name], index) => element("div", {}, element("dt", { textContent: name }), this.#values[index])),
    );
  }

  /**
   * Shows what the hub tells.
   * @param {any} stats
   * @returns {Figures | null} Null for the first of a series: there is nothing to compare it with.
   */
  show(stats) {
    const before = this.#before;
    this.#before = stats;
    // A hub that was started again begins at zero.
    if (before === null || stats.at <= before.at || stats.acked < before.acked) return null;
    const seconds = (stats.at - before.at) / 1_000;
    const perSecond = (/** @type {string} */ name) => Math.max(0, stats[name] - before[name]) / seconds;
    const figures = {
      at: stats.at,
      connections: connectionsOf(stats),
      sessions: stats.sessions_live,
      published: perSecond("published"),
      delivered: perSecond("delivered"),
      acked: perSecond("acked"),
      redelivered: perSecond("redelivered"),
      trouble: perSecond("full_syncs") + perSecond("gave_up"),
      p50: stats.acked_p50_ms,
      p99: stats.acked_p99_ms,
      inFlight: stats.in_flight,
      owed: stats.owed,
    };
    for (const [index, [, text]] of SHOWN.entries()) this.#values[index].textContent = text(figures);
    return figures;
  }
}
