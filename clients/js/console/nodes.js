// The nodes of a cluster: one row each, and how many of them answered.

import { count, duration, element, find } from "./dom.js";

const HEADINGS = ["Node", "Slots", "Connections", "Published / s", "Lag"];

export class NodeTable {
  /** What each node had published by the beat before, and when. */
  #before = new Map();

  /** Shows the rows; nothing where there is one node. @param {any} stats */
  show({ at, nodes = [], nodes_known: known = nodes.length }) {
    find("nodes-card").hidden = nodes.length === 0;
    if (nodes.length === 0) return;
    const missing = known - nodes.length;
    find("nodes-answered").textContent = `${nodes.length} of ${known} answered`;
    find("nodes-answered").classList.toggle("problem", missing > 0);
    find("nodes").replaceChildren(
      element("thead", {}, element("tr", {}, ...HEADINGS.map((textContent) => element("th", { scope: "col", textContent })))),
      element("tbody", {}, ...nodes.map((node) => this.#row(at, node))),
    );
    this.#before = new Map(nodes.map(({ name, published }) => [name, { at, published }]));
  }

  #row(at, node) {
    const before = this.#before.get(node.name);
    // A node that was started again begins at zero.
    const known = before !== undefined && at > before.at && node.published >= before.published;
    const rate = known ? count(((node.published - before.published) * 1_000) / (at - before.at)) : "–";
    const connections = node.connections_native + node.connections_updates + node.connections_socketio;
    const cells = [count(node.slots), count(connections), rate, duration(node.lag_ms)];
    return element(
      "tr",
      {},
      element("th", { scope: "row", textContent: node.name }),
      ...cells.map((textContent, index) => element("td", { textContent, data: { heading: HEADINGS[index + 1] } })),
    );
  }
}
