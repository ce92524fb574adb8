// Reading and zooming: one cursor over all charts of the x axis, by pointer or by keys, and the exact values where it stands.

const READOUT = document.getElementById("readout");
const CURSOR = { interval: null };
const ZOOM_MIN = 1 / 2_000; // of the whole
const DRAG_MIN_PX = 6;

const formats = new Map();
function shortNumber(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat("en-US", { maximumSignificantDigits: digits }));
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(2) : formats.get(digits).format(value);
}
const whole = (value) => Math.round(value).toLocaleString("en-US");
const utc = (ms) =>
  Number.isFinite(ms)
    ? new Date(ms)
        .toISOString()
        .replace("T", " ")
        .replace(/(:00)?\.\d+Z$/, "")
    : "–";

function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A variant's line and marker, as in the charts.
function swatch(v) {
  const look = LOOKS[v];
  const picture = shape("svg", { width: 30, height: 14, viewBox: "0 0 30 14", "aria-hidden": "true" });
  const line = { x1: 1, x2: 29, y1: 7, y2: 7, stroke: look.colour, "stroke-width": 2, "stroke-dasharray": look.dash.join(" ") };
  picture.append(shape("line", line), glyph(look.shape, look.colour));
  return picture;
}

function glyph(kind, colour, centre = 15, hollow = false) {
  const paths = {
    circle: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    square: "M-3.6-3.6h7.2v7.2h-7.2z",
    "triangle-up": "M0-4.6L4.6 3.6H-4.6z",
    diamond: "M0-5L4 0L0 5L-4 0z",
    cross: "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "triangle-down": "M0 4.6L4.6-3.6H-4.6z",
    "triangle-right": "M4.6 0L-3.6 4.6V-4.6z",
    stroke: "M-1-5h2v10h-2z",
  };
  const paint = hollow && kind !== "stroke" ? { fill: "none", stroke: colour, "stroke-width": 1.6 } : { fill: colour };
  return shape("path", { d: paths[kind] || paths.circle, transform: `translate(${centre} 7)`, ...paint });
}

// ---- the cursor

function valuesAt(chart, interval) {
  return chart
    .columns()
    .filter(({ v, column }) => STATE.shown.has(v) && column && column[interval] !== null && column[interval] !== undefined)
    .map(({ v, column, threshold }) => ({ v, value: column[interval], threshold: Array.isArray(threshold) ? threshold[interval] : null }))
    .sort((one, other) => (chart.up() ? other.value - one.value : one.value - other.value));
}

function whereText(interval) {
  const position = positionOf(interval);
  const first = interval * DATA.records;
  const spans = spansOf(STATE.partition);
  const when = TIMES ? `${utc(timeOf(first))} to ${utc(timeOf(position))}` : "";
  const labelled = spans.labelled && spans.labelled[interval] !== null ? `${whole(spans.labelled[interval])} labels` : "no events";
  return { range: `positions ${whole(first)} to ${whole(position - 1)}`, when, labelled };
}

function marksIn(interval) {
  const first = interval * DATA.records;
  const last = interval === DATA.intervals - 1 ? DATA.end : positionOf(interval);
  return markRows().filter((row) => row.position >= first && row.position < last);
}

function fillReadout(chart, interval) {
  const { range, when, labelled } = whereText(interval);
  const table = element("table", {}, element("tbody"));
  for (const { v, value, threshold } of valuesAt(chart, interval)) {
    const shown = shortNumber(value) + (threshold === null || threshold === undefined ? "" : ` of ${shortNumber(threshold)}`);
    const row = element(
      "tr",
      {},
      element("td", {}, swatch(v)),
      element("td", { text: DATA.variants[v].name, class: "name" }),
      element("td", { text: shown, class: "num" }),
    );
    table.tBodies[0].append(row);
  }
  const happened = marksIn(interval);
  const told = element(
    "ul",
    {},
    ...happened.slice(0, 4).map((row) => element("li", { text: `${DATA.variants[row.v].name}: ${row.text}` })),
  );
  if (happened.length > 4) told.append(element("li", { text: `and ${happened.length - 4} more` }));
  READOUT.replaceChildren(
    element("b", { text: chart.title() }),
    element("div", { text: range }),
    element("div", { text: [when, labelled].filter(Boolean).join(" · ") }),
    table,
    told,
  );
}

function spokenReadout(chart, interval) {
  const { range, labelled } = whereText(interval);
  const values = valuesAt(chart, interval).map(({ v, value }) => `${DATA.variants[v].name} ${shortNumber(value)}`);
  return `${range}, ${labelled}: ${values.join("; ") || "no values"}`;
}

const leftOf = (view) => view.padding().left + view.origin()[0];

function placeCursor(interval) {
  CURSOR.interval = interval;
  const [low, high] = domain();
  for (const { box, view } of AXIS_VIEWS()) {
    const line = box.querySelector(".cursor");
    const x = interval === null ? null : xOf(positionOf(interval));
    line.hidden = x === null || x < low || x > high;
    if (!line.hidden) line.style.left = `${leftOf(view) + view.scale("x")(x)}px`;
  }
}

function read(chart, box, interval, at) {
  placeCursor(interval);
  box.setAttribute("aria-valuenow", interval);
  box.setAttribute("aria-valuetext", spokenReadout(chart, interval));
  fillReadout(chart, interval);
  READOUT.hidden = false;
  const line = box.querySelector(".cursor").getBoundingClientRect();
  const frame = READOUT.getBoundingClientRect();
  const x = at ? at.clientX : line.left;
  const right = x + 18 + frame.width <= document.documentElement.clientWidth;
  READOUT.style.left = `${Math.max(6, right ? x + 18 : x - 18 - frame.width)}px`;
  const top = at ? at.clientY - frame.height / 2 : line.top + 8;
  READOUT.style.top = `${Math.min(Math.max(6, top), Math.max(6, window.innerHeight - frame.height - 6))}px`;
}

function stopReading() {
  READOUT.hidden = true;
  placeCursor(null);
}

// ---- zoom

function zoomTo(from, to) {
  const [first, last] = extent();
  const smallest = (last - first) * ZOOM_MIN;
  const middle = (from + to) / 2;
  const size = Math.min(last - first, Math.max(to - from, smallest));
  const low = Math.min(Math.max(first, middle - size / 2), last - size);
  const everything = size >= (last - first) * 0.9999;
  STATE.from = everything ? null : low;
  STATE.to = everything ? null : low + size;
  stopReading();
  refresh();
  announce(
    everything
      ? "Everything is shown."
      : `Shown: ${STATE.axis === "time" ? `${utc(low)} to ${utc(low + size)}` : `positions ${whole(low)} to ${whole(low + size)}`}.`,
  );
}

function zoomBy(factor, shift = 0) {
  const [low, high] = domain();
  const middle = (low + high) / 2 + shift * (high - low);
  zoomTo(middle - ((high - low) * factor) / 2, middle + ((high - low) * factor) / 2);
}

const zoomToEverything = () => zoomTo(...extent());

// ---- pointer and keys of one chart

function placeOf(view, box, event) {
  const x = event.clientX - box.getBoundingClientRect().left - leftOf(view);
  return view.scale("x").invert(Math.min(Math.max(0, x), view.width()));
}

function listen(chart, box, viewOf) {
  let from = null;
  const brush = box.querySelector(".brush");
  const value = (event) => Number(placeOf(viewOf(), box, event));
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = event.clientX;
    if (event.pointerType === "mouse") event.preventDefault(); // or the text of the axis is selected
  });
  box.addEventListener("pointermove", (event) => {
    if (!viewOf()) return;
    if (from !== null && Math.abs(event.clientX - from) >= DRAG_MIN_PX) {
      box.setPointerCapture(event.pointerId);
      const left = box.getBoundingClientRect().left;
      brush.hidden = false;
      brush.style.left = `${Math.min(from, event.clientX) - left}px`;
      brush.style.width = `${Math.abs(event.clientX - from)}px`;
      READOUT.hidden = true;
    } else if (chart.columns && from === null) read(chart, box, intervalAt(value(event)), event);
  });
  box.addEventListener("pointerup", (event) => {
    const dragged = !brush.hidden;
    brush.hidden = true;
    if (dragged) {
      const one = Number(placeOf(viewOf(), box, { clientX: from }));
      const other = value(event);
      zoomTo(Math.min(one, other), Math.max(one, other));
    } else if (chart.columns && from !== null) read(chart, box, intervalAt(value(event)), event);
    from = null;
  });
  const leave = (event) => {
    from = null;
    brush.hidden = true;
    if (event.pointerType !== "touch" || event.type === "pointercancel") stopReading(); // a finger leaves, and its reader goes on reading
  };
  box.addEventListener("pointercancel", leave);
  box.addEventListener("pointerleave", leave);
  box.addEventListener("dblclick", zoomToEverything);
  box.addEventListener("blur", stopReading);
  box.addEventListener("keydown", (event) => byKey(chart, box, event));
}

function byKey(chart, box, event) {
  const keys = { "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), 0: zoomToEverything, Escape: zoomToEverything };
  const [low, high] = [intervalAt(domain()[0]), intervalAt(domain()[1])];
  const at = CURSOR.interval ?? high;
  const steps = {
    ArrowRight: at + 1,
    ArrowLeft: CURSOR.interval === null ? high : at - 1,
    PageDown: at + 10,
    PageUp: at - 10,
    Home: low,
    End: high,
  };
  if (event.key in keys && !event.ctrlKey && !event.metaKey) keys[event.key]();
  else if (event.key in steps && chart.columns) read(chart, box, Math.min(high, Math.max(low, steps[event.key])));
  else return;
  event.preventDefault();
}
