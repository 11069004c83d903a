// The last minute: bars of calls, and the calls within the limit's window as a line against the limit.

import { byId, plural, sandboxNow } from "./page.js";

const MINUTE = 60;
const HEIGHT = 128;
const FOOT = 18;
const HEAD = 14;
const SVG = "http://www.w3.org/2000/svg";

let minute = null;

export function setMinute(content) {
  minute = content;
  const { bars, limit, per } = minute;
  byId("key-peak").textContent = `calls in ${per} s`;
  const total = (tone) => bars.reduce((sum, bar) => sum + (bar[tone] ?? 0), 0);
  const calls = ["ok", "limit", "rejected", "fault"].reduce((sum, tone) => sum + total(tone), 0);
  const most = Math.max(...bars.map((bar) => bar.peak));
  const allowed = limit === null ? "there is no limit" : `the limit is ${limit}`;
  byId("chart").setAttribute(
    "aria-label",
    calls === 0 ? "No calls in the last minute" : `Last minute: ${plural(calls, "call")}, at most ${most} in ${per} s; ${allowed}; ${plural(total("limit"), "call")} got a 429`,
  );
  draw();
}

export function draw() {
  if (minute === null) return;
  const svg = byId("chart");
  const width = svg.clientWidth || 600;
  const { bars, limit, step } = minute;
  const top = Math.max(limit ?? 0, 4, ...bars.map((bar) => bar.peak)) * 1.12;
  const now = sandboxNow();
  const x = (time) => width - ((now - time) / MINUTE) * width;
  const y = (count) => HEAD + (HEIGHT - HEAD - FOOT) * (1 - count / top);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);

  const parts = [shape("line", { class: "axis", x1: 0, x2: width, y1: y(0), y2: y(0) })];
  const points = bars.flatMap((bar) => [`${x(bar.start)},${y(bar.peak)}`, `${x(bar.start + step)},${y(bar.peak)}`]);
  if (bars.some((bar) => bar.peak > 0)) {
    parts.push(shape("polygon", { class: "area", points: [`${x(bars[0].start)},${y(0)}`, ...points, `${x(bars.at(-1).start + step)},${y(0)}`].join(" ") }));
    parts.push(shape("polyline", { class: "peak", points: points.join(" ") }));
  }
  for (const bar of bars) {
    let below = 0;
    for (const tone of ["ok", "rejected", "fault", "limit"]) {
      const count = bar[tone] ?? 0;
      if (count === 0) continue;
      parts.push(shape("rect", { class: `bar-${tone}`, x: x(bar.start) + 0.75, width: Math.max(1, (width * step) / MINUTE - 1.5), y: y(below + count), height: y(below) - y(below + count), rx: 1 }));
      below += count;
    }
    if (bar.limit) parts.push(cross(x(bar.start + step / 2), y(below) - 6));
  }
  if (limit !== null) {
    parts.push(shape("line", { class: "limit-line", x1: 0, x2: width, y1: y(limit), y2: y(limit) }));
    parts.push(label(`limit ${limit}`, 2, y(limit) - 4, "limit-label"));
  }
  const ticks = [[60, "start"], [45, "middle"], [30, "middle"], [15, "middle"], [0, "end"]];
  for (const [seconds, anchor] of ticks.filter(([seconds]) => width > 480 || seconds % 30 === 0)) {
    parts.push(label(seconds === 0 ? "now" : `${seconds} s ago`, width * (1 - seconds / MINUTE), HEIGHT - 3, "tick", anchor));
  }
  svg.replaceChildren(...parts);
}

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function label(text, x, y, names, anchor = "start") {
  const node = shape("text", { class: names, x, y, "text-anchor": anchor });
  node.textContent = text;
  return node;
}

const cross = (x, y) => shape("path", { class: "cross", d: `M${x - 3} ${y - 3}l6 6m0-6l-6 6` });
