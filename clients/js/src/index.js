// The client of the Staffetta hub. See README.md.

import { Client } from "./client.js";
import { canShare, SharedClient } from "./shared.js";

export { Client } from "./client.js";
export { Database, openDatabase } from "./database.js";
export { AuthError, QueueFullError, RefusedError, StaffettaError, UnansweredError } from "./errors.js";
export { LocalKeyValue, MemoryKeyValue } from "./kv.js";
export { Lifecycle } from "./lifecycle.js";
export { Notes } from "./notes.js";
export { PendingChanges } from "./pending-changes.js";
export { CloseCode, dataOf } from "./protocol.js";
export { SharedClient } from "./shared.js";
export { UpdatesClient } from "./updates.js";

/**
 * A client of `/ws`. With `shared`, the tabs of a browser have one connection between them, where
 * the browser can do that.
 * @param {import("./client.js").ClientOptions & { shared?: boolean }} options
 * @returns {Client | SharedClient}
 */
export function createClient({ shared = false, ...options }) {
  return shared && canShare() ? new SharedClient(options) : new Client(options);
}
