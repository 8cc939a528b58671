// A socket.io server the hub is measured beside: takes anybody in, and what is posted to `/emit`
// goes to everyone as the event `added`. Its argument is its port; `--versions` says what it is made of.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import { Server } from "socket.io";

function version(name) {
  const file = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(readFileSync(file, "utf8")).version}`;
}

function serve(port) {
  const http = createServer();
  // Nothing is compressed by default. With a native `bufferutil` there, `ws` takes that.
  const io = new Server(http, { transports: ["websocket"], serveClient: false });
  // What is no request of Socket.IO's comes here.
  http.on("request", (request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      io.emit("added", JSON.parse(Buffer.concat(parts).toString()));
      response.writeHead(201, { "content-length": 0 }).end();
    });
  });
  http.listen(port, "127.0.0.1");
}

const [argument] = process.argv.slice(2);
if (argument === "--versions") {
  console.log([...["socket.io", "ws", "bufferutil"].map(version), `Node ${process.versions.node}`].join(", "));
} else {
  serve(Number(argument));
}
