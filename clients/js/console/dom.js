// Small helpers for the page: elements, texts of times, and rendering that keeps the focus.

/** @param {string} id @returns {any} */
export const find = (id) => document.getElementById(id);

/**
 * An element. `data` holds data-… attributes; other names are properties.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null)} children
 */
export function element(tag, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * Replaces what is in `container`. What had the focus there has it again, by its `data-key`.
 * @param {HTMLElement} container
 * @param {Node[]} children
 */
export function render(container, children) {
  const active = /** @type {any} */ (document.activeElement);
  const key = container.contains(active) ? active.dataset.key : undefined;
  container.replaceChildren(...children);
  if (key === undefined) return;
  for (const candidate of /** @type {any} */ (container.querySelectorAll("[data-key]"))) {
    if (candidate.dataset.key === key) candidate.focus();
  }
}

/** A list of terms and what they are, for a session or a figure. @param {Array<[string, string]>} pairs */
export function terms(pairs) {
  return element("dl", {}, ...pairs.map(([term, value]) =>
    element("div", {}, element("dt", { textContent: term }), element("dd", { textContent: value }))));
}

/** Shows or hides what went wrong. @param {string} id @param {unknown} error */
export function showProblem(id, error) {
  const place = find(id);
  place.hidden = error === null;
  place.textContent = error instanceof Error ? error.message : "";
}

/** @param {number | null} at Unix milliseconds. */
export function clockTime(at) {
  if (at === null) return "never";
  const date = new Date(at);
  const time = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString()} ${time}`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}

/** @param {number} value */
export const count = (value) => (value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString());
