// What the servers in JavaScript share: their arguments, their versions, and a look at tokens.
//
// Arguments: a port, the file with the key tokens are checked with (a secret, or a public key as
// PEM; none takes anybody in), and a word of the server's own. `--versions` says what it is made of.

import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const [first, keyFile, mode] = process.argv.slice(2);

function version(name) {
  const file = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${JSON.parse(readFileSync(file, "utf8")).version}`;
}

export function start(packages, serve) {
  if (first === "--versions") {
    console.log([...packages.map(version), `Node ${process.versions.node}`].join(", "));
    process.exit();
  }
  serve(Number(first), mode ?? "");
}

const key = keyFile ? readFileSync(keyFile, "utf8").trim() : "";
const publicKey = key.startsWith("-----BEGIN") ? createPublicKey(key) : null;

// Whether a token is signed with the key and not over; the algorithm is the key's.
export function isGood(token) {
  if (!key) return true;
  const [head, claims, signature] = token.split(".");
  if (!signature) return false;
  const signed = Buffer.from(`${head}.${claims}`);
  const given = Buffer.from(signature, "base64url");
  const isSigned = publicKey
    ? verify("RSA-SHA256", signed, publicKey, given)
    : timingSafeEqual(createHmac("sha256", key).update(signed).digest(), given);
  return isSigned && JSON.parse(Buffer.from(claims, "base64url")).exp > Date.now() / 1000;
}

// The words of a text in bytes: `sub TOPIC TOKEN`, `pub TOPIC DATA`, `ping`.
export function words(bytes) {
  const end = bytes.indexOf(32, 4);
  return {
    verb: bytes.toString("latin1", 0, 3),
    topic: bytes.toString("utf8", 4, end < 0 ? bytes.length : end),
    rest: end < 0 ? Buffer.alloc(0) : bytes.subarray(end + 1),
  };
}
