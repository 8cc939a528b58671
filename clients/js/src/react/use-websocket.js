// The connection of a client, for a component: its state, and what one does with it.

import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";

import { useClient } from "./context.js";
import { storeOf } from "./store.js";

/** @typedef {import("../protocol.js").Frame} Frame */

/**
 * @typedef {object} UseWebSocketProps
 * @property {import("./store.js").AnyClient} [client] Instead of the provider's.
 * @property {boolean} [autoConnect] Whether to connect when the component is there; yes.
 * @property {(frame: Frame) => void} [onNoteSync]
 * @property {(frame: Frame) => void} [onNoteCreatedSync]
 * @property {(frame: Frame) => void} [onNoteDeletedSync]
 * @property {(frame: Frame) => void} [onFolderSync]
 * @property {(error: Error) => void} [onError]
 * @property {(auth: import("../link.js").Auth) => void} [onAuthenticated]
 */

/** @param {UseWebSocketProps} [props] */
export function useWebSocket(props = {}) {
  const client = useClient(props.client);
  const store = storeOf(client);
  const view = useSyncExternalStore(store.subscribe, store.get, store.get);
  const { autoConnect = true } = props;

  useEffect(() => {
    if (autoConnect) client.connect();
  }, [client, autoConnect]);

  // The callbacks of the last render, so that a new function is no new subscription.
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  useEffect(() => {
    const { notes } = store;
    let told = client.snapshot.error;
    const offs = [
      notes.on("sync", (frame) => latest.current.onNoteSync?.(frame)),
      notes.on("created", (frame) => latest.current.onNoteCreatedSync?.(frame)),
      notes.on("deleted", (frame) => latest.current.onNoteDeletedSync?.(frame)),
      notes.on("folder", (frame) => latest.current.onFolderSync?.(frame)),
      notes.on("error", (error) => latest.current.onError?.(error)),
      client.on("error", (error) => latest.current.onError?.(error)),
      client.on("state", ({ error }) => {
        if (error && error !== told) latest.current.onError?.(error);
        told = error;
      }),
      client.on("authenticated", (auth) => latest.current.onAuthenticated?.(auth)),
    ];
    return () => offs.forEach((off) => off());
  }, [client, store]);

  const actions = useMemo(() => actionsOf(client, store), [client, store]);
  const { status } = view;
  return {
    ...view,
    ...actions,
    isConnected: status === "connected" || status === "authenticated",
    isAuthenticated: status === "authenticated",
    clearError: useCallback(() => store.clearError(), [store]),
  };
}

/**
 * @param {import("./store.js").AnyClient} client
 * @param {import("./store.js").ClientStore} store
 */
function actionsOf(client, store) {
  const { notes } = store;
  // A change is shown as pending at once, and again when it is done.
  /** @template T @param {Promise<T>} promise */
  const shown = (promise) => {
    queueMicrotask(() => store.changed());
    promise.then(() => store.changed(), () => store.changed());
    return promise;
  };
  return {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    reconnect: () => client.reconnect(),
    /** @param {string} noteId @param {{ presence?: boolean }} [options] */
    joinNote(noteId, options) {
      notes.join(noteId, options);
      store.changed();
    },
    /** @param {string} noteId */
    leaveNote(noteId) {
      notes.leave(noteId);
      store.changed();
    },
    /** @param {string} noteId @param {Record<string, any>} changes */
    sendNoteUpdate: (noteId, changes) => shown(notes.update(noteId, changes)),
    /** @param {import("../notes.js").Note} noteData */
    sendNoteCreated: (noteData) => shown(notes.create(noteData)),
    /** @param {string} noteId */
    sendNoteDeleted: (noteId) => shown(notes.delete(noteId)),
    /** @param {string} noteId @param {any} data */
    sendSignal: (noteId, data) => notes.signal(noteId, data),
    /** @param {Record<string, any>} folderData */
    sendFolderCreated: (folderData) =>
      shown(notes.folder("created", { folderId: folderData.id, folderData })),
    /** @param {string} folderId @param {Record<string, any>} changes */
    sendFolderUpdated: (folderId, changes) => shown(notes.folder("updated", { folderId, changes })),
    /** @param {string} folderId */
    sendFolderDeleted: (folderId) => shown(notes.folder("deleted", { folderId })),
  };
}
