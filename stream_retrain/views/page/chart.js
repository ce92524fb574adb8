// Small charts in SVG: a line of time with marks, evidence on a logarithmic scale, a spark in a table's row.

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// What is marked: its class (the colour), its shape, whether a line drops from it, and its name.
export const MARKS = {
  "drift.detected": { look: "drift", shape: "down", drop: true, name: "drift" },
  "drift.data": { look: "drift hollow", shape: "dot", name: "drift of a feature" },
  "drift.warned": { look: "drift hollow", shape: "down", name: "warning" },
  "duel.started": { look: "duel", shape: "right", name: "duel began" },
  "duel.lead_changed": { look: "duel", shape: "diamond", drop: true, name: "another contestant serves" },
  "duel.ended": { look: "duel hollow", shape: "left", name: "duel ended, the champion stays" },
  promotion: { look: "promotion", shape: "up", drop: true, name: "promotion" },
  "model.reset": { look: "reset", shape: "square", drop: true, name: "reset" },
  "training.requested": { look: "other hollow", shape: "circle", name: "training began" },
  "training.joined": { look: "other", shape: "circle", name: "trained model joined" },
  "training.failed": { look: "other", shape: "cross", name: "training failed" },
  "member.restarted": { look: "other", shape: "plus", name: "member restarted" },
};
const SHAPES = {
  dot: "M-2.5 0A2.5 2.5 0 1 1 2.5 0A2.5 2.5 0 1 1-2.5 0Z",
  down: "M-5-4H5L0 5Z", up: "M-5.5 4.5H5.5L0-5.5Z", right: "M-4-5V5L5 0Z", left: "M4-5V5L-5 0Z", diamond: "M0-6L5 0 0 6-5 0Z",
  square: "M-4.5-4.5H4.5V4.5H-4.5Z", circle: "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1-4 0Z",
  cross: "M-5-3.5L-3.5-5 0-1.5 3.5-5 5-3.5 1.5 0 5 3.5 3.5 5 0 1.5-3.5 5-5 3.5-1.5 0Z", plus: "M-1-5H1V-1H5V1H1V5H-1V1H-5V-1H-1Z",
};

// A drift of what is predicted from is a smaller matter than one of how well it is predicted.
const ABOUT_QUALITY = ["error", "loss", "rank"];

export function kindOf(mark) {
  if (mark.kind === "drift.detected" && mark.signal && !ABOUT_QUALITY.includes(mark.signal)) return "drift.data";
  return mark.kind === "duel.ended" && mark.result === "promoted" ? "promotion" : mark.kind;
}

export function symbol(kind, x, y) {
  const { look, shape } = MARKS[kind];
  return svg("path", { d: SHAPES[shape], class: `mark ${look}`, transform: `translate(${x.toFixed(1)} ${y})` });
}

export const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
export const clock = (at_s) => new Date(at_s * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

const STEPS_S = [5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

function timeTicks(from, to, width) {
  const most = Math.max(2, Math.floor(width / 95));
  const step = STEPS_S.find((each) => (to - from) / each <= most) ?? 86400;
  const offset = new Date(to * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) ticks.push(at);
  const short = step >= 60 ? { hour: "2-digit", minute: "2-digit", hour12: false } : { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return ticks.map((at) => [at, new Date(at * 1000).toLocaleTimeString([], short)]);
}

function range(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return [0, 1];
  let low = Math.min(...known), high = Math.max(...known);
  const share = low >= 0 && high <= 1;
  // A score that only trembles must not look like one that falls.
  const room = Math.max((high - low) * 0.12, (share ? 0.15 : Math.abs(high) * 0.15) / 2 - (high - low) / 2, 1e-6);
  low -= room;
  high += room;
  return share ? [Math.max(0, low), Math.min(1, high)] : [low, high];
}

function valueTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const ticks = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) ticks.push(at);
  return [ticks, Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)))];
}

// A path that breaks where nothing was heard for longer than `gap`, and where there is no value.
function path(times, values, x, y, gap) {
  let drawn = "", before = -Infinity;
  times.forEach((at, place) => {
    const value = values[place];
    if (value === null || value === undefined) {
      before = -Infinity;
      return;
    }
    drawn += `${before === -Infinity || at - before > gap ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    before = at;
  });
  return drawn;
}

// The duels of a list of marks as spans: [began or null, ended or null, number]. By number, because a rematch starts at the
// very event that ends the duel before it, and one end or start of several may be missing: a replay makes no marks.
export function spansOf(marks) {
  const spans = new Map();
  for (const mark of marks) {
    if (mark.kind !== "duel.started" && mark.kind !== "duel.ended") continue;
    if (!spans.has(mark.duel)) spans.set(mark.duel, [null, null, mark.duel]);
    spans.get(mark.duel)[mark.kind === "duel.started" ? 0 : 1] = mark.at_s;
  }
  return [...spans.values()];
}

const LEFT = 46, RIGHT = 52, LOW = 20, ROW = 13, ROWS = 3;

// In which row above the chart each mark stands, so that those of one moment stand above each other.
function inRows(marks, x) {
  const ends = [];
  return marks.map((mark) => {
    const row = Math.max(0, [0, 1, 2].find((each) => (ends[each] ?? -Infinity) < x(mark.at_s) - 11) ?? ROWS - 1);
    ends[row] = x(mark.at_s);
    return row;
  });
}

// The rolling score of a shard over time. Returns how to find a point by its place on the screen.
export function scoreChart(box, { width, height = 150, times, values, marks, from, to, duel }) {
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  const [low, high] = range(values);
  const seen = marks.filter((mark) => mark.at_s >= from && mark.at_s <= to && MARKS[kindOf(mark)]);
  const rows = inRows(seen, x);
  const TOP = 12 + ROW * (1 + Math.max(0, ...rows));
  height += TOP - 12;
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (height - TOP - LOW);
  const nodes = [];
  for (const [began, ended, which] of spansOf(marks)) {
    const start = Math.max(from, began ?? from), end = Math.min(to, ended ?? (duel?.number === which ? to : start));
    if (end > start) nodes.push(svg("rect", { class: "during", x: x(start), y: TOP, width: Math.max(1, x(end) - x(start)), height: height - TOP - LOW }));
  }
  const [ticks, digits] = valueTicks(low, high);
  for (const tick of ticks) {
    nodes.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }));
    nodes.push(svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, number(tick, digits)));
  }
  nodes.push(svg("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: height - LOW, y2: height - LOW }));
  for (const [at, label] of timeTicks(from, to, width - LEFT - RIGHT)) {
    nodes.push(svg("line", { class: "axis", x1: x(at), x2: x(at), y1: height - LOW, y2: height - LOW + 4 }));
    nodes.push(svg("text", { x: x(at), y: height - 4, "text-anchor": "middle" }, label));
  }
  for (const mark of seen) {
    const { drop, look } = MARKS[kindOf(mark)];
    if (drop) nodes.push(svg("line", { class: `drop ${look}`, x1: x(mark.at_s), x2: x(mark.at_s), y1: TOP - 4, y2: height - LOW }));
  }
  const step = (to - from) / 240;
  nodes.push(svg("path", { class: "score", d: path(times, values, x, y, Math.max(10, step * 4)) }));
  for (const [place, mark] of seen.entries()) {
    const drawn = symbol(kindOf(mark), x(mark.at_s), TOP - 10 - ROW * rows[place]);
    drawn.append(svg("title", {}, `${clock(mark.at_s)} ${mark.text}`));
    nodes.push(drawn);
  }
  const last = values.length - 1;
  if (last >= 0 && values[last] !== null) {
    nodes.push(svg("circle", { class: "dot", cx: x(times[last]), cy: y(values[last]), r: 3.4 }));
    nodes.push(svg("text", { class: "last", x: x(times[last]) + 8, y: y(values[last]) + 4 }, number(values[last])));
  }
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.setAttribute("height", height);
  box.replaceChildren(...nodes);
  return { x, at: (place) => from + ((place - LEFT) / (width - LEFT - RIGHT)) * (to - from), bottom: height - LOW, top: TOP };
}

// The evidence of a duel's challengers on a logarithmic scale, and the line a lone one must reach.
export function evidenceChart(box, { width, height = 110, times, lines, reach }) {
  const from = times[0], to = Math.max(times.at(-1), from + 1);
  const logs = lines.flatMap(([, values]) => values).map((value) => Math.log10(Math.max(value, 1e-3)));
  const low = Math.max(-3, Math.min(-0.5, ...logs)), high = Math.min(6, Math.max(Math.log10(reach) + 0.3, ...logs));
  const right = width < 420 ? 78 : 104, top = 8;
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - right);
  const y = (value) => top + (1 - (Math.min(Math.log10(Math.max(value, 1e-3)), high) - low) / (high - low)) * (height - top - LOW);
  const nodes = [];
  for (let power = Math.ceil(low); power <= high; power += Math.max(1, Math.ceil((high - low) / 4))) {
    nodes.push(svg("line", { class: "grid", x1: LEFT, x2: width - right, y1: y(10 ** power), y2: y(10 ** power) }));
    nodes.push(svg("text", { x: LEFT - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, power < 0 ? (10 ** power).toFixed(-power) : power > 3 ? `1e${power}` : (10 ** power).toLocaleString("en")));
  }
  for (const [at, label] of timeTicks(from, to, width - LEFT - right)) nodes.push(svg("text", { x: x(at), y: height - 4, "text-anchor": "middle" }, label));
  nodes.push(svg("line", { class: "reach", x1: LEFT, x2: width - right, y1: y(reach), y2: y(reach) }));
  nodes.push(svg("text", { x: width - right + 5, y: y(reach) + 4 }, "to reach"));
  const taken = [y(reach)];
  lines.toSorted(([, one], [, other]) => other.at(-1) - one.at(-1)).forEach(([name, values]) => {
    let at = y(values.at(-1));
    while (taken.some((each) => Math.abs(each - at) < 12)) at += 3;
    taken.push(at);
    const most = Math.floor((right - 6) / 7.4);
    nodes.push(svg("text", { class: "last", x: width - right + 5, y: at + 4 }, name.length > most ? `${name.slice(0, most - 1)}…` : name));
  });
  lines.forEach(([, values], place) => nodes.push(svg("path", { class: `score ${["", "second", "third"][place % 3]}`, d: path(times, values, x, y, Infinity) })));
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.setAttribute("height", height);
  box.replaceChildren(...nodes);
}

export function spark(box, times, values, from, to) {
  const [low, high] = range(values);
  const x = (at) => 2 + ((at - from) / (to - from)) * 126, y = (value) => 23 - ((value - low) / (high - low)) * 20;
  box.setAttribute("viewBox", "0 0 130 26");
  box.replaceChildren(svg("path", { class: "score", d: path(times, values, x, y, Math.max(10, (to - from) / 60)) }));
}
