// One file at large: the picture or clip with its map, the score, and where it lies among others.

import { distribution, heat, trace } from "./charts.js";
import { send } from "./client.js";
import { number } from "./table.js";

const OCCLUSION = ""; // in place of a model of maps
const $ = (id) => document.getElementById(id);
let shown = null, url = null, medium = null, pictureModel = () => "";

export function offerMaps(models, ofPictures) {
  pictureModel = ofPictures;
  $("which").add(new Option("what the score rests on", OCCLUSION));
  for (const model of models) $("which").add(new Option(`what is remembered (${model.name})`, model.name));
  $("which-label").hidden = !models.length;
}

export function show(entry) {
  if (entry !== shown) place(entry);
  $("reading").hidden = false;
  $("name").textContent = entry.file.name;
  if (!entry.result) return entry.error ? refused(entry) : waiting(entry);
  const { result, about } = entry;
  $("score").className = "";
  $("score").textContent = number(result.score);
  $("interval").replaceChildren(...interval(result));
  $("place").textContent = inWords(result);
  told($("note"), result.note, false);
  $("meaning").textContent = about?.meaning ?? "";
  $("line").textContent = about?.line ?? "";
  told($("warning"), about?.warnings.join(" ") ?? "", false);
  for (const line of document.querySelectorAll(".about")) line.hidden = !about;
  draw(entry);
  $("layer").hidden = result.kind === "clip";
  showMap(entry);
}

export function waiting(entry) {
  empty(entry.state === "waiting" ? "Waiting…" : entry.state === "scoring" ? "Scoring…" : `The server is ${entry.state}.`);
}

function refused(entry) {
  empty("Not scored");
  told($("note"), entry.error, true);
}

function empty(word) {
  $("score").className = "word";
  $("score").textContent = word;
  for (const id of ["interval", "distribution", "trace"]) $(id).replaceChildren();
  $("place").textContent = "";
  $("layer").hidden = $("trace").hidden = true;
  told($("note"), "", false);
  told($("warning"), "", false);
  for (const line of document.querySelectorAll(".about")) line.hidden = true;
}

export function clear() {
  shown = null;
  $("reading").hidden = true;
  $("frame").replaceChildren();
  if (url) URL.revokeObjectURL(url);
  url = null;
}

export function draw({ result, about }) {
  const held = result.low === null ? "" : `, interval ${number(result.low)} to ${number(result.high)}`;
  distribution($("distribution"), result, about?.distribution ?? null, `Score ${number(result.score)} on a scale from 0 to 1${held}. ${inWords(result)}`);
  $("trace").hidden = !result.frames;
  if (result.frames) {
    const { values, times, kind } = result.frames;
    const best = values.indexOf(Math.max(...values));
    trace($("trace"), result.frames, medium, `${kind} by frame, from ${number(Math.min(...values))} to ${number(values[best])}, highest at ${times[best].toFixed(1)} s`);
  }
}

function interval({ low, high, confidence }) {
  if (low === null) return [];
  const ends = document.createElement("b");
  ends.textContent = `${number(low)} – ${number(high)}`;
  return [ends, ` with ${Math.round(100 * confidence)} % confidence`];
}

function inWords({ percentile, kind }) {
  if (percentile === null) return "";
  const share = Math.round(percentile), what = kind === "clip" ? "clips" : "pictures";
  if (share === 0) return `Less memorable than any of the ${what} the model learnt from.`;
  return share === 100 ? `More memorable than any of the ${what} the model learnt from.` : `More memorable than ${share} % of the ${what} the model learnt from.`;
}

function told(line, text, bad) {
  line.hidden = !text;
  line.classList.toggle("bad", bad);
  line.textContent = text + (!text || /[.!?)]$/.test(text) ? "" : "."); // as it comes: it may begin with a model's name
}

function place(entry) {
  clear();
  shown = entry;
  url = URL.createObjectURL(entry.file);
  const clip = entry.file.type.startsWith("video/");
  medium = document.createElement(clip ? "video" : "img");
  const missing = document.createElement("p");
  missing.className = "blank";
  missing.textContent = "This browser cannot show the file.";
  medium.onerror = () => { if (entry === shown) $("frame").replaceChildren(missing); };
  if (clip) {
    Object.assign(medium, { controls: true, muted: true, playsInline: true, preload: "auto", src: url });
    medium.setAttribute("aria-label", entry.file.name);
    medium.onloadedmetadata = () => { if (entry === shown && entry.result) draw(entry); };
    $("frame").append(medium);
    return;
  }
  const holder = document.createElement("div"), canvas = document.createElement("canvas");
  holder.className = "over-picture";
  canvas.setAttribute("aria-hidden", "true");
  Object.assign(medium, { alt: entry.file.name, src: url });
  holder.append(medium, canvas);
  $("frame").append(holder);
  medium.onload = () => { if (entry === shown) showMap(entry); };
}

function showMap(entry) {
  const map = entry.map?.[$("which").value], canvas = $("frame").querySelector("canvas");
  $("show-map").hidden = Boolean(map);
  $("mix").hidden = !map;
  $("show-map").disabled = entry.mapping === true;
  $("show-map").textContent = entry.mapping ? "Looking, which takes some seconds…" : "Show the map";
  if (!canvas) return;
  canvas.hidden = !map;
  if (map) {
    Object.assign(canvas, { width: medium.naturalWidth > 1200 ? 1200 : medium.naturalWidth || 1, height: 1 });
    canvas.height = Math.max(1, Math.round((canvas.width * medium.naturalHeight) / Math.max(1, medium.naturalWidth)));
    legend(map, heat(canvas, map.values));
  }
  mix();
}

function legend({ kind, values }, strongest) {
  const first = document.createElement("span"), second = document.createElement("span");
  second.className = "second";
  const most = strongest.toFixed(3);
  first.textContent = kind === "occlusion" ? `lifts the score, by up to ${most}` : "remembered";
  second.textContent = kind === "occlusion" ? "lowers it" : "falsely remembered";
  $("legend").replaceChildren(first, ...(kind === "occlusion" || values.length > 1 ? [second] : []));
}

function mix() {
  const canvas = $("frame").querySelector("canvas"), share = canvas.hidden ? 0 : $("opacity").value / 100;
  canvas.style.opacity = share;
  medium.style.filter = share ? `grayscale(${share}) brightness(${1 - 0.25 * share})` : "";
}

$("opacity").oninput = mix;
$("which").onchange = () => { if (shown?.result) showMap(shown); };
$("show-map").onclick = async () => {
  const entry = shown, model = $("which").value;
  entry.mapping = true;
  showMap(entry);
  try {
    const map = await send("/api/map", entry.file, model || pictureModel());
    entry.map = { ...entry.map, [model]: map };
    $("live").textContent = "The map is shown over the picture.";
  } catch (error) {
    if (entry === shown) told($("note"), `no map: ${error.message}`, true);
  }
  entry.mapping = false;
  if (entry === shown) { showMap(entry); if (entry.map?.[model]) $("opacity").focus(); }
};
