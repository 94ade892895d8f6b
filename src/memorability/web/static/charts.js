// Drawings in SVG, one unit a pixel: where a score lies among those a model learnt from, and a clip's score by frame.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 0.035; // of the kernel that smooths quantiles into a curve
const STEPS = 160;

export function part(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function chart(holder, height, label) {
  const width = Math.max(240, holder.clientWidth);
  const svg = part("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  holder.replaceChildren(svg);
  return [svg, width];
}

function density(quantiles) {
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const x = step / STEPS;
    return quantiles.reduce((sum, q) => sum + Math.exp(-0.5 * ((x - q) / WIDTH) ** 2), 0);
  });
}

export function distribution(holder, { score, low, high }, quantiles, label) {
  const base = quantiles ? 118 : 34;
  const [svg, width] = chart(holder, base + 44, label);
  const at = (value) => 1 + Math.min(1, Math.max(0, value)) * (width - 2);
  if (quantiles) {
    const curve = density(quantiles);
    const top = Math.max(...curve);
    const points = curve.map((y, step) => [at(step / STEPS), base - (y / top) * (base - 26)]);
    const area = (all) => `M${all[0][0]},${base} L${all.map((p) => p.join(",")).join(" L")} L${all[all.length - 1][0]},${base} Z`;
    svg.append(part("path", { class: "all", d: area(points) }));
    const below = points.filter(([x]) => x <= at(score));
    if (below.length) svg.append(part("path", { class: "below", d: area(below) }));
    svg.append(part("path", { class: "edge", d: `M${points.map((p) => p.join(",")).join(" L")}` }));
    svg.append(part("text", { x: 0, y: 12 }, "scores the model learnt from"));
  }
  svg.append(part("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }));
  for (let tick = 0; tick <= 10; tick += 2) {
    const x = at(tick / 10);
    svg.append(part("line", { class: "tick", x1: x, x2: x, y1: base, y2: base + 5 }));
    const anchor = tick === 0 ? "start" : tick === 10 ? "end" : "middle";
    svg.append(part("text", { x, y: base + 40, "text-anchor": anchor }, String(tick / 10)));
  }
  if (low !== null) {
    const y = base + 14;
    svg.append(part("line", { class: "span", x1: at(low), x2: at(high), y1: y, y2: y }));
    for (const end of [low, high]) svg.append(part("line", { class: "span", x1: at(end), x2: at(end), y1: y - 4, y2: y + 4 }));
  }
  svg.append(part("line", { class: "mark", x1: at(score), x2: at(score), y1: quantiles ? 20 : 12, y2: base + 14 }));
  svg.append(part("circle", { class: "dot", cx: at(score), cy: base + 14, r: 4.5 }));
}

export function trace(holder, frames, video, label) {
  const height = 132, base = 104, top = 14;
  const [svg, width] = chart(holder, height, label);
  const values = frames.values;
  const least = Math.min(...values), most = Math.max(...values);
  const margin = Math.max(0.01, 0.15 * (most - least));
  const [floor, roof] = [least - margin, most + margin];
  const end = Math.max(frames.times[frames.times.length - 1], video.duration || 0, 0.01);
  const x = (time) => 40 + (time / end) * (width - 46);
  const y = (value) => base - ((value - floor) / (roof - floor)) * (base - top);
  for (const value of [least, most]) {
    svg.append(part("line", { class: "tick", x1: 40, x2: width, y1: y(value), y2: y(value) }));
    svg.append(part("text", { x: 0, y: y(value) + 4 }, value.toFixed(3)));
  }
  svg.append(part("line", { class: "axis", x1: 40, x2: width, y1: base, y2: base }));
  svg.append(part("text", { x: 40, y: height - 8 }, "0 s"), part("text", { x: width, y: height - 8, "text-anchor": "end" }, `${end.toFixed(1)} s`));
  svg.append(part("text", { x: width / 2 + 20, y: height - 8, "text-anchor": "middle" }, `${frames.kind} by frame`));
  const points = frames.times.map((time, i) => [x(time), y(values[i])]);
  svg.append(part("path", { class: "curve", d: `M${points.map((p) => p.join(",")).join(" L")}` }));
  for (const [cx, cy] of points) svg.append(part("circle", { class: "dot", cx, cy, r: 2.5 }));
  const now = part("line", { class: "now", y1: top - 6, y2: base });
  const move = () => { now.setAttribute("x1", x(video.currentTime)); now.setAttribute("x2", x(video.currentTime)); };
  move();
  svg.append(now);
  video.ontimeupdate = move;
  svg.onclick = (event) => {
    const place = (event.clientX - svg.getBoundingClientRect().left) * (width / svg.clientWidth);
    video.currentTime = Math.min(end, Math.max(0, ((place - 40) / (width - 46)) * end));
  };
}

// The map's cells as colours on a canvas; the browser smooths them when it stretches them.
export function heat(canvas, values) {
  const [height, width] = [values[0].length, values[0][0].length];
  const style = getComputedStyle(document.documentElement);
  const [orange, blue] = ["--orange", "--blue"].map((name) => style.getPropertyValue(name).trim().split(" ").map(Number));
  const strongest = Math.max(1e-9, ...values.flat(2).map(Math.abs));
  const cells = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const row = Math.floor(i / width), column = i % width;
    const first = values[0][row][column];
    const second = values.length > 1 ? values[1][row][column] : Math.max(0, -first);
    const [one, other] = [Math.max(0, first), second];
    const share = one + other > 0 ? other / (one + other) : 0;
    const strength = Math.min(1, Math.max(one, other) / strongest);
    orange.forEach((value, c) => { cells.data[4 * i + c] = value * (1 - share) + blue[c] * share; });
    cells.data[4 * i + 3] = 255 * strength ** 0.8;
  }
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(cells, 0, 0);
  const paint = canvas.getContext("2d");
  paint.imageSmoothingEnabled = true;
  paint.imageSmoothingQuality = "high";
  paint.clearRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(small, 0, 0, canvas.width, canvas.height);
  return strongest;
}
