// Notes as a component shows them: kept current by events, fetched whole when the hub says so.

import { useEffect, useMemo, useSyncExternalStore } from "react";

import { useClient } from "./context.js";
import { storeOf } from "./store.js";
import { useWebSocket } from "./use-websocket.js";

/** @typedef {import("../notes.js").Note} Note */

/** @type {WeakMap<import("../notes.js").Notes, { notes: Note[] }>} */
const views = new WeakMap();

/**
 * Every note of the user, and everything `useWebSocket` gives.
 * @param {import("./use-websocket.js").UseWebSocketProps} [props]
 */
export function useNotes(props = {}) {
  const client = useClient(props.client);
  const { notes } = storeOf(client);
  // Before `useWebSocket` connects: the first `auth_ok` asks for a full sync.
  useEffect(() => client.onFullSync(() => notes.load()), [client, notes]);
  const source = useMemo(() => {
    const look = () => {
      const view = views.get(notes) ?? { notes: notes.all };
      views.set(notes, view);
      return view;
    };
    /** @param {() => void} listener */
    const subscribe = (listener) =>
      notes.on("change", () => {
        views.set(notes, { notes: notes.all });
        listener();
      });
    return { look, subscribe };
  }, [notes]);
  const view = useSyncExternalStore(source.subscribe, source.look, source.look);
  const socket = useWebSocket(props);
  return {
    ...socket,
    notes: view.notes,
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
  const { notes } = storeOf(client);
  useEffect(() => {
    notes.join(noteId, { presence: true });
    return () => notes.leave(noteId);
  }, [notes, noteId]);
  const source = useMemo(() => {
    let view = { note: notes.get(noteId), present: notes.present(noteId) };
    const renew = () => (view = { note: notes.get(noteId), present: notes.present(noteId) });
    /** @param {() => void} listener */
    const subscribe = (listener) => {
      const offs = [notes.on("change", heard), notes.on("presence", heard)];
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
