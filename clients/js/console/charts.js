// The charts: the last minutes, drawn by uPlot, which is loaded before this.

import { clockTime, count, duration, element, find } from "./dom.js";

const SECONDS_SHOWN = 300;
const HEIGHT = 170;

const rate = (value) => (value === null ? "–" : count(value));
const time = (value) => (value === null ? "–" : duration(value));

/** @type {Array<{ title: string, text: (value: any) => string, lines: Array<[string, string, string]> }>} */
const CHARTS = [
  {
    title: "Events per second",
    text: rate,
    lines: [["published", "Published", "--one"], ["acked", "Acked", "--two"], ["redelivered", "Redelivered", "--three"]],
  },
  { title: "Publish → acked", text: time, lines: [["p50", "p50", "--two"], ["p99", "p99", "--three"]] },
  { title: "Pending deliveries", text: rate, lines: [["inFlight", "In flight", "--one"], ["owed", "Owed", "--three"]] },
  { title: "Connections", text: rate, lines: [["connections", "Connections", "--one"], ["sessions", "Sessions", "--two"]] },
];

/** A colour of the style sheet, as it is in this scheme. @param {string} name */
function colour(name) {
  const probe = element("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

class Chart {
  #plot = /** @type {any} */ (null);

  /** @param {(typeof CHARTS)[number]} description */
  constructor({ title, text, lines }) {
    this.title = title;
    this.text = text;
    this.lines = lines;
    this.canvas = element("div", { className: "canvas" });
    this.canvas.setAttribute("role", "img");
    this.figure = element("figure", { className: "card" }, element("figcaption", { textContent: title }), this.canvas);
  }

  draw(data) {
    this.#plot?.destroy();
    const { uPlot } = /** @type {any} */ (window);
    const [line, quiet] = [colour("--line"), colour("--quiet")];
    const axis = { stroke: quiet, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const options = {
      width: this.width,
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      axes: [
        { ...axis, space: 90, values: (_, seconds) => seconds.map((at) => clockTime(at * 1_000)) },
        { ...axis, size: 56, values: (_, values) => values.map((value) => this.text(value)) },
      ],
      scales: { y: { range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.1)] } },
      series: [
        { label: "Time", value: (_, at) => (at === null ? "–" : clockTime(at * 1_000)) },
        ...this.lines.map(([, label, name]) => ({
          label, stroke: colour(name), width: 2, spanGaps: true, points: { show: false }, value: (_, value) => this.text(value ?? null),
        })),
      ],
    };
    this.#plot = new uPlot(options, data, this.canvas);
  }

  get width() {
    return Math.max(200, this.canvas.clientWidth);
  }

  resize() {
    this.#plot?.setSize({ width: this.width, height: HEIGHT });
  }

  show(data) {
    this.#plot?.setData(data);
    // While nothing is pointed at, the legend tells the latest.
    if (!(this.#plot?.cursor.left >= 0)) this.#plot?.setLegend({ idx: data[0].length - 1 });
    const latest = this.lines.map(([, label], index) => `${label} ${this.text(data[index + 1].at(-1) ?? null)}`);
    this.canvas.setAttribute("aria-label", `${this.title}. Now: ${latest.join(", ")}.`);
  }
}

export class Charts {
  /** @type {import("./figures.js").Figures[]} */
  #figures = [];
  #charts = CHARTS.map((description) => new Chart(description));

  constructor() {
    find("charts").replaceChildren(...this.#charts.map(({ figure }) => figure));
    this.#draw();
    new ResizeObserver(() => this.#charts.forEach((chart) => chart.resize())).observe(find("charts"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** @param {import("./figures.js").Figures} figures */
  add(figures) {
    this.#figures.push(figures);
    if (this.#figures.length > SECONDS_SHOWN) this.#figures.shift();
    for (const chart of this.#charts) chart.show(this.#data(chart));
  }

  #draw() {
    for (const chart of this.#charts) chart.draw(this.#data(chart));
  }

  #data({ lines }) {
    const column = (/** @type {string} */ name) => this.#figures.map((figures) => figures[name]);
    return [this.#figures.map(({ at }) => at / 1_000), ...lines.map(([name]) => column(name))];
  }
}
