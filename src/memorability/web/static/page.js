// The page: files come in, are sent two at a time, and one of them is shown at large.

import { get, send } from "./client.js";
import * as reading from "./reading.js";
import * as table from "./table.js";

const AT_ONCE = 2; // requests; a server has places for others too
const $ = (id) => document.getElementById(id);
const state = { entries: [], queue: [], sending: 0, shown: null, sort: ["", false], models: {}, limits: {}, about: new Map() };

const say = (text) => { $("live").textContent = text; };
const isClip = (file) => file.type.startsWith("video/");

function about(name) {
  if (!state.about.has(name)) {
    const asked = get(`/api/models/${encodeURIComponent(name)}`);
    asked.catch(() => state.about.delete(name));
    state.about.set(name, asked);
  }
  return state.about.get(name);
}

async function start() {
  const offered = await get("/api/models");
  state.limits = offered.limits;
  const mib = Math.round(offered.limits.bytes / 2 ** 20);
  $("bounds").textContent = `Up to ${mib} MB, ${Math.round(offered.limits.pixels / 1e6)} megapixels, clips of ${offered.limits.seconds} seconds`;
  const scoring = offered.models.filter((model) => model.gives === "scores");
  const kinds = ["pictures", "clips"].filter((kind) => scoring.some((model) => model.reads === kind));
  for (const kind of kinds) {
    const ofKind = scoring.filter((model) => model.reads === kind);
    const select = document.createElement("select");
    for (const model of ofKind) select.add(new Option(model.name, model.name, model.default, model.default));
    select.onchange = () => { state.models[kind] = select.value; again(); };
    state.models[kind] = select.value;
    const label = document.createElement("label");
    label.append(kinds.length > 1 ? `${kind[0].toUpperCase()}${kind.slice(1)} by` : "Model", select);
    $("models").append(label);
  }
  reading.offerMaps(offered.models.filter((model) => model.gives === "maps"), () => state.models.pictures);
}

function add(files) {
  const listed = [...files];
  if (!listed.length) return;
  document.body.classList.add("used");
  for (const file of listed) {
    const entry = { file, state: "waiting", result: null, error: null, map: null };
    state.entries.push(entry);
    state.queue.push(entry);
    $("rows").append(table.row(entry, show));
    table.fill(entry);
  }
  $("all").hidden = state.entries.length < 2;
  $("all-title").textContent = `${state.entries.length} files`;
  show(state.shown && listed.length > 1 ? state.shown : state.entries[state.entries.length - listed.length]);
  pump();
}

function again() {
  state.queue = [...state.entries];
  for (const entry of state.entries) {
    Object.assign(entry, { state: "waiting", result: null, error: null, map: null });
    table.fill(entry);
  }
  if (state.shown) show(state.shown);
  pump();
}

function pump() {
  while (state.sending < AT_ONCE && state.queue.length) score(state.queue.shift());
}

async function score(entry) {
  state.sending++;
  const models = { ...state.models };
  const update = (text) => { entry.state = text; table.fill(entry); if (entry === state.shown) reading.waiting(entry); };
  try {
    if (entry.file.size > state.limits.bytes) throw new Error(`${entry.file.size.toLocaleString()} bytes; this server takes up to ${state.limits.bytes.toLocaleString()} a file`);
    update("scoring");
    const model = isClip(entry.file) ? models.clips ?? models.pictures : entry.file.type === "image/gif" ? "" : models.pictures;
    const result = await send("/api/score", entry.file, model, { waiting: (seconds) => update(`busy, again in ${seconds} s`) });
    if (state.queue.includes(entry)) return; // another model was chosen meanwhile
    entry.result = result;
    entry.about = await about(result.model);
    say(`${entry.file.name}: score ${table.number(result.score)}`);
  } catch (error) {
    entry.error = error.message;
    say(`${entry.file.name} was refused: ${error.message}`);
  } finally {
    state.sending--;
    if (state.entries.includes(entry)) {
      table.fill(entry);
      order();
      if (entry === state.shown) reading.show(entry);
    }
    pump();
  }
}

function show(entry) {
  state.shown?.row.removeAttribute("aria-current");
  state.shown = entry;
  entry.row.setAttribute("aria-current", "true");
  reading.show(entry);
}

function order() {
  const [key, down] = state.sort;
  if (key) $("rows").append(...table.sorted(state.entries, key, down).map((entry) => entry.row));
}

for (const button of document.querySelectorAll("th button")) {
  button.onclick = () => {
    const key = button.dataset.key;
    const down = state.sort[0] === key ? !state.sort[1] : key !== "name"; // the most memorable first
    state.sort = [key, down];
    for (const head of document.querySelectorAll("th[aria-sort]")) head.setAttribute("aria-sort", "none");
    button.closest("th").setAttribute("aria-sort", down ? "descending" : "ascending");
    order();
  };
}

$("csv").onclick = () => {
  const url = URL.createObjectURL(new Blob([table.csv(state.sort[0] ? table.sorted(state.entries, ...state.sort) : state.entries)], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: url, download: "memorability.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
};

$("clear").onclick = () => {
  Object.assign(state, { entries: [], queue: [], shown: null });
  $("rows").replaceChildren();
  $("all").hidden = true;
  reading.clear();
  document.body.classList.remove("used");
  $("files").focus();
};

for (const input of [$("files"), $("camera")]) input.onchange = () => { add(input.files); input.value = ""; };
addEventListener("paste", (event) => add(event.clipboardData.files));
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("over"); add(event.dataTransfer.files); });
addEventListener("resize", () => { if (state.shown?.result) reading.draw(state.shown); });

start().catch((error) => { $("bounds").textContent = `The server does not answer: ${error.message}`; });
