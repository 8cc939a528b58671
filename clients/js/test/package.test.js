import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = (command, ...args) =>
  execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

test("the types hold, and are made for the package", () => {
  run(process.execPath, "node_modules/typescript/bin/tsc", "--noEmit");
  run("npm", "run", "--silent", "types");
  for (const path of ["types/index.d.ts", "types/react/index.d.ts"]) assert.match(read(path), /export/);
});

test("the types hold for who installs it, whoever checks them", () => {
  const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--types", "node", "--module", "nodenext", "--lib", "es2022,dom"];
  run(process.execPath, "node_modules/typescript/bin/tsc", ...options, "types/index.d.ts", "types/react/index.d.ts");
});

test("the package holds the client, its types and its papers, and nothing else", () => {
  const [{ files }] = JSON.parse(run("npm", "pack", "--dry-run", "--json", "--ignore-scripts"));
  const strange = files.map(({ path }) => path).filter((path) =>
    !/^(src\/(react\/)?[\w-]+\.(js|css)|types\/(react\/)?[\w-]+\.d\.ts|README\.md|LICENSE-(MIT|APACHE)|package\.json)$/.test(path));
  assert.deepEqual(strange, []);
  const sources = readdirSync(`${root}/src`, { recursive: true }).filter((path) => /\.(js|css)$/.test(path));
  for (const source of sources) assert.ok(files.some(({ path }) => path === `src/${source}`), source);
});

test("it depends on nothing, and the lockfile names no registry", () => {
  const { dependencies, devDependencies } = JSON.parse(read("package.json"));
  assert.equal(dependencies, undefined);
  for (const [name, version] of Object.entries(devDependencies)) assert.match(version, /^\d/, `${name} is pinned`);
  assert.doesNotMatch(read("package-lock.json"), /"resolved"|registry/);
});

test("every file is short and says first what it is for", () => {
  const folders = ["src", "src/react", "demo"];
  for (const folder of folders) {
    for (const name of readdirSync(`${root}/${folder}`).filter((name) => name.endsWith(".js"))) {
      const text = read(`${folder}/${name}`);
      assert.match(text, /^\/\/ [A-Z`]/, `${folder}/${name}`);
      assert.ok(text.split("\n").length <= 400, `${folder}/${name} is too long`);
    }
  }
});
