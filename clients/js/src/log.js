// Debug output, off until `localStorage.debug` (in Node: `DEBUG`) names it: "staffetta:*".
//
// Tokens never show: what looks like one is replaced before anything is written.

const TOKEN = /\b[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g;
const SECRET_NAMES = /^(token|authorization|sessionSecret|signature|password)$/i;

/** @typedef {(...parts: unknown[]) => void} Log */

/**
 * A log of one part of the client, such as "connection".
 * @param {string} part
 * @param {{ debug?: string | null, write?: (...parts: unknown[]) => void }} [options]
 * @returns {Log}
 */
export function logOf(part, options = {}) {
  const name = `staffetta:${part}`;
  const write = options.write ?? ((...parts) => console.debug(...parts));
  return (...parts) => {
    const debug = options.debug === undefined ? setting() : options.debug;
    if (isOn(name, debug ?? "")) write(name, ...parts.map(redact));
  };
}

/**
 * A copy without tokens.
 * @param {unknown} value
 * @returns {unknown}
 */
export function redact(value) {
  if (typeof value === "string") return value.replace(TOKEN, "[token]");
  if (value instanceof Error) return `${value.name}: ${value.message}`.replace(TOKEN, "[token]");
  if (Array.isArray(value)) return value.map(redact);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      SECRET_NAMES.test(key) && inner ? "[token]" : redact(inner),
    ]),
  );
}

/** @param {string} name @param {string} debug */
function isOn(name, debug) {
  let on = false;
  for (const pattern of debug.split(/[\s,]+/)) {
    if (!pattern) continue;
    const isOff = pattern.startsWith("-");
    const glob = isOff ? pattern.slice(1) : pattern;
    const matches = glob.endsWith("*") ? name.startsWith(glob.slice(0, -1)) : name === glob;
    if (matches && isOff) return false;
    on ||= matches;
  }
  return on;
}

/** @returns {string | null | undefined} */
function setting() {
  try {
    if (typeof localStorage !== "undefined") return localStorage.getItem("debug");
  } catch {
    // A page may be denied its storage; then there is no setting.
  }
  return typeof process === "undefined" ? null : process.env?.DEBUG;
}
