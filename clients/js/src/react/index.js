// React bindings: hooks over a client, and components that show how it stands.

export { StaffettaProvider, useClient } from "./context.js";
export { SyncIndicator, SyncNotification, WebSocketStatus, WebSocketStatusCompact } from "./status.js";
export { useNote, useNotes } from "./use-notes.js";
export { useWebSocket } from "./use-websocket.js";
