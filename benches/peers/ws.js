// A `ws` server the hub is measured beside: topics that `sub` follows and `pub` publishes to. With a
// native `bufferutil` there, `ws` takes that.

import { WebSocketServer } from "ws";

import { isGood, start, words } from "./shared.js";

const topics = new Map();

function follow(topic, socket) {
  if (!topics.has(topic)) topics.set(topic, new Set());
  topics.get(topic).add(socket);
  socket.on("close", () => topics.get(topic).delete(socket));
}

function obey(socket, bytes) {
  const { verb, topic, rest } = words(bytes);
  if (verb === "pub") {
    for (const other of topics.get(topic) ?? []) other.send(rest, { binary: false });
  } else if (verb === "sub") {
    if (!isGood(rest.toString())) return socket.close(4401, "auth");
    follow(topic, socket);
    socket.send("ok");
  } else {
    socket.send("pong");
  }
}

start(["ws", "bufferutil"], (port) => {
  const server = new WebSocketServer({
    host: "127.0.0.1", port, backlog: 4096, perMessageDeflate: false, clientTracking: false,
  });
  server.on("connection", (socket) => socket.on("message", (bytes) => obey(socket, bytes)));
});
