// Which model served a shard when, as one line of time: a bar for each generation, coloured by how it came.

import { svg } from "./chart.js";

// How a generation came: its class (the colour), its shape, and its name. The shapes are those of the marks in the charts, where there is one.
export const WAYS = {
  drift: { look: "promotion", shape: "M-5.5 4.5H5.5L0-5.5Z", name: "won a duel (drift, limit, rematch)" },
  schedule: { look: "duel", shape: "M0-6L5 0 0 6-5 0Z", name: "won a duel (schedule)" },
  request: { look: "asked", shape: "M-5-4H5L0 5Z", name: "won a duel (asked for)" },
  hand: { look: "hand", shape: "M-5-5V5L5 0Z", name: "promoted by hand" },
  back: { look: "drift", shape: "M4-5V5L-5 0Z", name: "rolled back" },
  reset: { look: "reset", shape: "M-4.5-4.5H4.5V4.5H-4.5Z", name: "reset" },
  began: { look: "other", shape: "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1-4 0Z", name: "the first, or known from before" },
};

export function wayOf(version) {
  if (version.came === "promoted") return "hand";
  if (version.came === "rolled_back") return "back";
  if (version.came === "reset") return "reset";
  if (version.came !== "lead") return "began";
  if (version.cause === "request") return "request";
  return /^(every|cron):/.test(version.cause) ? "schedule" : "drift";
}

export const wayMark = (way, x, y) => svg("path", { d: WAYS[way].shape, class: `mark ${WAYS[way].look}`, transform: `translate(${x.toFixed(1)} ${y})` });

const STEPS_S = [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800, 1209600, 2592000, 7776000];
export const BAR = 24, AXIS = 18, LETTER = 6.8;

// The axis of all lines. Where it spans more than a day, it names days.
export function axis(box, { width, from, to }) {
  const step = STEPS_S.find((each) => (to - from) / each <= Math.max(2, Math.floor(width / 95))) ?? STEPS_S.at(-1);
  const offset = new Date(to * 1000).getTimezoneOffset() * 60;
  const nodes = [svg("line", { class: "axis", x1: 0, x2: width, y1: 0.5, y2: 0.5 })];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) {
    const x = ((at - from) / (to - from)) * width;
    const anchor = x < 20 ? "start" : x > width - 20 ? "end" : "middle";
    nodes.push(svg("line", { class: "axis", x1: x, x2: x, y1: 0, y2: 4 }));
    nodes.push(svg("text", { x, y: 14, "text-anchor": anchor }, tick(at, step, to - from)));
  }
  show(box, width, AXIS, nodes);
}

function tick(at, step, range) {
  const time = new Date(at * 1000), day = time.toLocaleDateString([], { day: "numeric", month: "short" });
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false, ...(step < 60 ? { second: "2-digit" } : {}) });
  if (step >= 86400) return day;
  return range > 86400 ? `${day} ${clock}` : clock;
}

// The line of one shard. `spans` are [version, from, to] in the order in which they served; `chosen` is the id of the one that is read.
export function line(box, { width, from, to, spans, chosen }) {
  const x = (at) => ((Math.min(Math.max(at, from), to) - from) / (to - from)) * width;
  const nodes = [];
  for (const [version, began, ended] of spans) {
    if (ended < from || began > to) continue;
    const way = wayOf(version), left = x(began), wide = Math.max(2, x(ended) - left);
    const bar = svg("g", { class: `served ${WAYS[way].look}${version.id === chosen ? " chosen" : ""}`, "data-id": version.id });
    bar.append(svg("rect", { class: "bar-of", x: left, y: 2, width: wide, height: BAR - 4 }), svg("rect", { class: "edge", x: left, y: 2, width: Math.min(2, wide), height: BAR - 4 }));
    const label = `g${version.generation}`, needs = label.length * LETTER;
    if (wide > 18) bar.append(wayMark(way, left + 11, BAR / 2));
    if (wide > needs + 24) bar.append(svg("text", { x: left + 20, y: BAR / 2 + 4 }, label));
    nodes.push(bar);
  }
  show(box, width, BAR, nodes);
}

function show(box, width, height, nodes) {
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.setAttribute("height", height);
  box.replaceChildren(...nodes);
}
