// A uWebSockets server the hub is measured beside: topics that `sub` follows and `pub` publishes to.

import uWS from "uwebsockets";

import { isGood, start, words } from "./shared.js";

// Published after the turn they came in: within a message's handler its own connection holds the one
// buffer there is for coalescing, and every frame would be a write of its own.
const waiting = [];

function publishAll(app) {
  for (const [topic, data] of waiting) app.publish(topic, data, false);
  waiting.length = 0;
}

function obey(app, ws, message) {
  const { verb, topic, rest } = words(Buffer.from(message));
  if (verb === "pub") {
    // The message's bytes are gone once this returns.
    if (waiting.push([topic, Buffer.from(rest)]) === 1) setImmediate(publishAll, app);
  } else if (verb === "sub") {
    if (!isGood(rest.toString())) return ws.end(4401, "auth");
    ws.subscribe(topic);
    ws.send("ok", false);
  } else {
    ws.send("pong", false);
  }
}

start(["uwebsockets"], (port) => {
  const app = uWS.App();
  app.ws("/*", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxBackpressure: 64 * 1024 * 1024,
    message: (ws, message) => obey(app, ws, message),
  });
  app.listen("127.0.0.1", port, (socket) => {
    if (!socket) process.exit(1);
  });
});
