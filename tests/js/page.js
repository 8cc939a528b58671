// What the pages of chromium.test.js share: sockets that note what they are told, and waiting with
// a deadline.

const DEADLINE_MS = 20_000;

/** A socket with `told`, what it heard, and `began`, the transport it was opened by. */
function client(url, options) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, ...options });
  socket.told = [];
  socket.onAny((...args) => socket.told.push(args.filter((arg) => typeof arg !== "function")));
  socket.io.once("open", () => {
    socket.began = socket.io.engine.transport.name;
  });
  return socket;
}

async function connected(url, options) {
  const socket = client(url, options);
  await next(socket, "connect");
  return socket;
}

/** The arguments of the next `event`. */
function next(socket, event) {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`not in time: ${event}`)), DEADLINE_MS);
    socket.once(event, (...args) => {
      clearTimeout(timer);
      done(args);
    });
  });
}

async function until(what, condition) {
  const deadline = performance.now() + DEADLINE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
