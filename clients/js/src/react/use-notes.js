// Notes as a component shows them: kept current by events, fetched whole when the hub says so.

import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";

import { useClient } from "./context.js";
import { storeOf } from "./store.js";
import { useWebSocket } from "./use-websocket.js";

/**
 * Every note of the user, and everything `useWebSocket` gives.
 * @param {import("./use-websocket.js").UseWebSocketProps} [props]
 */
export function useNotes(props = {}) {
  const client = useClient(props.client);
  const store = storeOf(client);
  // Before `useWebSocket` connects: the first `auth_ok` asks for a full sync.
  useEffect(() => store.notes.keepLoaded(), [store]);
  const subscribe = useCallback(
    (/** @type {() => void} */ listener) => store.notes.on("change", listener),
    [store],
  );
  const notes = useSyncExternalStore(subscribe, store.allNotes, store.allNotes);
  const socket = useWebSocket(props);
  return {
    ...socket,
    notes,
    createNote: socket.sendNoteCreated,
    updateNote: socket.sendNoteUpdate,
    deleteNote: socket.sendNoteDeleted,
  };
}

/**
 * One note with who is in its room. Joins while the component is there.
 * @param {string} noteId
 * @param {{ client?: import("./store.js").AnyClient }} [props]
 */
export function useNote(noteId, props = {}) {
  const client = useClient(props.client);
  const store = storeOf(client);
  const { notes } = store;
  useEffect(() => store.enter(noteId), [store, noteId]);
  const source = useMemo(() => {
    let view = { note: notes.get(noteId), present: notes.present(noteId) };
    const renew = () => (view = { note: notes.get(noteId), present: notes.present(noteId) });
    /** @param {() => void} listener */
    const subscribe = (listener) => {
      const offs = [notes.on("change", heard), notes.on("presence", heard)];
      // It may have changed since it was first looked at.
      renew();
      /** @param {{ noteId: string }} about */
      function heard(about) {
        if (about.noteId !== String(noteId)) return;
        renew();
        listener();
      }
      return () => offs.forEach((off) => off());
    };
    return { subscribe, look: () => view };
  }, [notes, noteId]);
  return useSyncExternalStore(source.subscribe, source.look, source.look);
}
