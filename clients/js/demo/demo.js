// The stage: signs a visitor in, plays the application, and sets up two devices.

import { Device } from "./device.js";
import { Trail } from "./trail.js";

const find = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const NAMES = ["Sunrise", "Harbour", "Olive grove", "Piazza", "Lighthouse", "Old bridge", "Market", "Vineyard"];

const trail = new Trail(find("trail"));
let name = "";
/** @type {Device[]} */
let devices = [];
/** What the application keeps: the photos there are. */
let photos = [];
let uploads = 0;

async function ask(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail ?? `the hub answered ${response.status}`);
  return answer;
}

async function signIn(visitor) {
  await ask("token", { name: visitor });
  name = visitor;
  photos = JSON.parse(localStorage.getItem(`staffetta-demo:${name}`) ?? "[]");
  find("welcome").hidden = true;
  find("stage").hidden = false;
  find("sign-out").hidden = false;
  const world = {
    getToken: async () => (await ask("token", { name })).token,
    trail,
    publish,
    photosOf: () => photos,
  };
  devices = ["Phone", "Laptop"].map((device) => new Device(device, world));
  find("devices").replaceChildren(...devices.map(({ pane }) => pane));
  find(`tab-${document.body.dataset.tab}`).focus();
  const [phone] = devices;
  phone.client.on("fullsync", ({ isUnderWay }) => {
    if (isUnderWay || phone.client.snapshot.state !== "authenticated" || phone.notes.notes.all.length > 0) return;
    phone.notes.create("Shopping list", "Bread\nOlives\n");
  });
}

/** Publishes to the visitor's devices, as an application's server does. */
async function publish(type, data) {
  const failure = find("failure");
  let eventId;
  try {
    ({ event_id: eventId } = await ask("photos", { name, type, data }));
    failure.hidden = true;
  } catch {
    failure.hidden = false;
    return;
  }
  if (type === "on_upload_success") photos.push(data);
  if (type === "on_asset_delete") photos = photos.filter(({ id }) => id !== data);
  localStorage.setItem(`staffetta-demo:${name}`, JSON.stringify(photos.slice(-60)));
  trail.published(eventId, type === "on_upload_success" ? `${data.name} uploaded` : "Photo deleted");
}

function show(what) {
  document.body.dataset.tab = what;
  for (const tab of ["photos", "notes"]) {
    const button = find(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === what));
    button.tabIndex = tab === what ? 0 : -1;
  }
  find("devices").setAttribute("aria-labelledby", `tab-${what}`);
}

find("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = find("problem");
  problem.hidden = true;
  try {
    await signIn(find("name").value.trim());
  } catch (error) {
    problem.textContent = `No sign-in: ${/** @type {Error} */ (error).message}.`;
    problem.hidden = false;
  }
});

find("sign-out").addEventListener("click", () => {
  for (const device of devices) device.close();
  devices = [];
  trail.clear();
  find("stage").hidden = true;
  find("sign-out").hidden = true;
  find("welcome").hidden = false;
  find("name").focus();
});

find("upload").addEventListener("click", () => {
  const name = NAMES[uploads++ % NAMES.length];
  const photo = { id: crypto.randomUUID(), name, hue: Math.floor(Math.random() * 360) };
  void publish("on_upload_success", photo);
});

for (const what of ["photos", "notes"]) {
  const tab = find(`tab-${what}`);
  tab.addEventListener("click", () => show(what));
  tab.addEventListener("keydown", (/** @type {KeyboardEvent} */ { key }) => {
    if (key !== "ArrowLeft" && key !== "ArrowRight") return;
    const other = what === "photos" ? "notes" : "photos";
    show(other);
    find(`tab-${other}`).focus();
  });
}

show("photos");
