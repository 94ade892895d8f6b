// The table of all files: a row each, sorted by whichever column is asked for; and the same as CSV.

const COLUMNS = ["path", "score", "low", "high", "percentile", "model", "note"];
const THUMB = 88; // pixels, for screens with two a point

export const number = (value, digits = 3) => (value === null || value === undefined ? "" : value.toFixed(digits));

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function thumbnail(canvas, file) {
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: THUMB, resizeQuality: "medium" });
    const side = Math.min(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, THUMB, THUMB);
    bitmap.close();
  } catch { /* a clip, or a picture that browsers do not show */ }
}

export function row(entry, select) {
  const thumb = element("canvas", { width: THUMB, height: THUMB });
  thumb.setAttribute("aria-hidden", "true");
  thumbnail(thumb, entry.file);
  const button = element("button", { type: "button", textContent: entry.file.name, onclick: () => select(entry) });
  const scale = element("td", { className: "scale" }, element("div", { className: "ruler" }));
  const cells = ["score", "interval", "percentile"].map((kind) => element("td", { className: `number ${kind === "interval" ? "wide" : ""}` }));
  const state = element("span", { className: "state" });
  cells[0].append(state);
  entry.row = element("tr", {}, element("td", { className: "file" }, thumb, button), cells[0], scale, cells[1], cells[2]);
  return entry.row;
}

export function fill(entry) {
  const [, score, scale, interval, percentile] = entry.row.children;
  const found = entry.result;
  const state = element("span", { className: entry.error ? "state bad" : "state", textContent: entry.error ? "refused" : entry.state });
  score.replaceChildren(found ? number(found.score) : state);
  interval.textContent = found && found.low !== null ? `${number(found.low)} – ${number(found.high)}` : "";
  percentile.textContent = found && found.percentile !== null ? number(found.percentile, 0) : "";
  const ruler = scale.firstElementChild;
  ruler.replaceChildren();
  if (!found) return;
  const at = (value) => `${100 * Math.min(1, Math.max(0, value))}%`;
  const mark = element("b");
  mark.style.left = at(found.score);
  if (found.low !== null) {
    const span = element("i");
    span.style.left = at(found.low);
    span.style.right = `calc(100% - ${at(found.high)})`;
    ruler.append(span);
  }
  ruler.append(mark);
}

// Files without a value come last, whichever way it goes.
export function sorted(entries, key, down) {
  const value = (entry) => (key === "name" ? entry.file.name : entry.result?.[key]);
  const compare = (a, b) => (key === "name" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  return [...entries].sort((one, other) => {
    const [a, b] = [value(one) ?? null, value(other) ?? null];
    if (a === null || b === null) return (a === null) - (b === null);
    return (down ? -1 : 1) * compare(a, b);
  });
}

export function csv(entries) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = entries.filter((entry) => entry.result || entry.error).map((entry) => {
    const said = entry.result ?? { note: entry.error };
    return COLUMNS.map((name) => cell(name === "path" ? entry.file.name : said[name])).join(",");
  });
  return [COLUMNS.join(","), ...lines, ""].join("\r\n");
}
