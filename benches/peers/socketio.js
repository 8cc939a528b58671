// A socket.io server the hub is measured beside: `sub` joins a room, `pub` sends the event `added` to
// one, `pub_acked` the same and answers when everybody there has acked it.

import { createServer } from "node:http";

import { Server } from "socket.io";

import { isGood, start } from "./shared.js";

const ACKED_IN = 30_000;
const RECOVERY = { maxDisconnectionDuration: 120_000, skipMiddlewares: true };

function attach(io) {
  // Kept otherwise, for middlewares that nobody has here.
  io.engine.on("connection", (socket) => {
    socket.request = null;
  });
  io.use((socket, next) => {
    next(isGood(socket.handshake.auth.token ?? "") ? undefined : new Error("unauthorized"));
  });
  io.on("connection", (socket) => {
    socket.on("sub", (topic, done) => {
      socket.join(topic);
      done();
    });
    socket.on("pub", (topic, data) => io.to(topic).emit("added", data));
    socket.on("pub_acked", async (topic, data, done) => {
      await io.to(topic).timeout(ACKED_IN).emitWithAck("added", data);
      done();
    });
  });
}

start(["socket.io", "ws", "bufferutil"], (port, mode) => {
  const http = createServer();
  // Nothing is compressed by default. With a native `bufferutil` there, `ws` takes that.
  const options = { transports: ["websocket"], serveClient: false };
  if (mode === "recovery") options.connectionStateRecovery = RECOVERY;
  attach(new Server(http, options));
  http.listen(port, "127.0.0.1", 4096);
});
