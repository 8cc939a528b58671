// How `/ws` and `/updates` spell what every connection needs. Pure.

/** @typedef {import("./link.js").Dialect} Dialect */

/** @type {Dialect} */
export const nativeDialect = {
  path: "/ws",
  ping: () => ({ type: "ping" }),
  isPong: (frame) => frame.type === "pong",
  auth: (token, { sessionId, offline }) => ({
    type: "auth",
    token,
    session_id: sessionId,
    confirm_sync: true,
    ...(offline && { offline }),
  }),
  readAuth(frame) {
    if (frame.type === "auth_ok") return taken(frame);
    if (frame.type !== "auth_failed") return null;
    return { refusal: frame.reason ?? "auth-failed", message: frame.message ?? "refused" };
  },
  readReconnect: (frame) => (frame.type === "reconnect" ? (frame.retry_after_ms ?? 0) : null),
};

const AUTH_REF = "staffetta-auth";
const PING_REF = "staffetta-ping";

/** @param {string} name @param {string} ref @param {any} [data] */
function command(name, ref, data) {
  return { account: "personal", type: "command", payload: { name, ref, data } };
}

/** @type {Dialect} */
export const updatesDialect = {
  path: "/updates",
  ping: () => command("ping", PING_REF),
  isPong: (frame) => frame.type === "reply" && frame.payload?.ref === PING_REF,
  auth: (token, { sessionId, offline }) =>
    command("auth", AUTH_REF, {
      token,
      session_id: sessionId,
      confirm_sync: true,
      ...(offline && { offline }),
    }),
  readAuth(frame) {
    const { payload } = frame;
    if (frame.type !== "reply" || payload?.ref !== AUTH_REF) return null;
    if (payload.ok) return taken(payload.data);
    const { code = "auth-failed", message = "refused" } = payload.error ?? {};
    return { refusal: code, message };
  },
  readReconnect: (frame) =>
    frame.type === "reconnect" ? (frame.payload?.retry_after_ms ?? frame.retry_after_ms ?? 0) : null,
};

/** @param {any} answer */
function taken({ user, session_id, need_full_sync, cursor }) {
  return { user, sessionId: session_id, needFullSync: need_full_sync === true, cursor: cursor ?? 0 };
}
