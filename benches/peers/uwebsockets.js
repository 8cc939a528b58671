// A uWebSockets server the hub is measured beside: topics that `sub` follows and `pub` publishes to.

import uWS from "uwebsockets";

import { isGood, start, words } from "./shared.js";

function obey(app, ws, message) {
  const { verb, topic, rest } = words(Buffer.from(message));
  if (verb === "pub") {
    app.publish(topic, rest, false);
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
