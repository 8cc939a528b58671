// Which client the hooks below it use.

import { createContext, createElement, useContext } from "react";

import { StaffettaError } from "../errors.js";

/** @typedef {import("./store.js").AnyClient} AnyClient */

const Context = createContext(/** @type {AnyClient | null} */ (null));

/**
 * Gives its children a client.
 * @param {{ client: AnyClient, children?: import("react").ReactNode }} props
 */
export function StaffettaProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children);
}

/**
 * The client of the nearest provider, or the one given.
 * @param {AnyClient} [given]
 * @returns {AnyClient}
 */
export function useClient(given) {
  const client = useContext(Context);
  const used = given ?? client;
  if (!used) {
    throw new StaffettaError("no-client", "pass a client, or wrap the component in <StaffettaProvider>");
  }
  return used;
}
