// What the charts draw: the embedded columns as rows, by partition, axis and what is shown. Values only; nothing here touches the page.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const ALL = "all";

const COLOURS = 7; // the style sheet has as many, --v0 to --v6: Okabe and Ito's without yellow, which no white page shows
const DASHES = [
  [1, 0],
  [7, 3],
  [2, 2.5],
];
const CONTROL_DASHES = [
  [9, 4],
  [2, 4],
  [9, 3, 2, 3],
];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"];
const MARKERS = 9; // markers along a line

// How each variant looks everywhere: by colour, line and marker, so that none of them is needed to tell it.
const LOOKS = DATA.variants.map((variant, index) => {
  const nth = DATA.variants.slice(0, index).filter((other) => other.control === variant.control).length;
  const shapes = variant.control ? SHAPES.slice(4).concat(SHAPES) : SHAPES;
  return {
    colour: variant.control ? `var(--control${nth % 3})` : `var(--v${nth % COLOURS})`,
    dash: variant.control ? CONTROL_DASHES[nth % 3] : DASHES[Math.floor(nth / COLOURS) % 3],
    shape: shapes[(nth + Math.floor(nth / COLOURS)) % shapes.length],
  };
});

const KINDS = {
  drift: { name: "drift", shape: "stroke", on: true },
  reset: { name: "reset", shape: "square", on: true },
  lead_changed: { name: "promotion", shape: "diamond", on: true },
  promoted: { name: "duel won", shape: "triangle-up", on: false },
  duel_started: { name: "duel started", shape: "circle", on: false },
  training_requested: { name: "training asked for", shape: "triangle-right", on: false },
  training_joined: { name: "trained model joined", shape: "cross", on: false },
  training_failed: { name: "training failed", shape: "triangle-down", on: true },
};
const REPLACES = new Set(["reset", "lead_changed"]);

const STATE = {
  partition: ALL,
  axis: "position",
  quality: "loss",
  over: 1, // intervals that kappa-temporal is taken over
  shown: new Set(DATA.variants.keys()),
  kinds: new Set(Object.keys(KINDS).filter((kind) => KINDS[kind].on)),
  series: null,
  duelVariant: null,
  duel: null,
  from: null,
  to: null,
};

// ---- places on the x axis

const spansOf = (partition) => DATA.shards[partition] || DATA.shards[ALL] || { from: null, to: null, events: null, labelled: null };
const FIRST = Math.floor(DATA.begin / DATA.records); // of a tuned run the later part alone is shown
const positionOf = (interval) => Math.min((interval + 1) * DATA.records, DATA.end);

// Event time by position: between an interval's first and last event in proportion; where an interval has no event, as the last that had.
const TIMES = (() => {
  const spans = spansOf(ALL);
  if (!spans.from || !spans.to) return null;
  const ends = [];
  let last = spans.from.find((time) => time !== null);
  for (let interval = 0; interval < DATA.intervals; interval++) {
    const from = spans.from[interval] ?? last;
    last = Math.max(last, spans.to[interval] ?? last);
    ends.push([from, last]);
  }
  return last > ends[0][0] ? ends : null;
})();

function timeOf(position) {
  const interval = Math.min(Math.floor(position / DATA.records), TIMES.length - 1);
  const first = interval * DATA.records;
  const share = Math.min(1, (position - first) / Math.max(1, Math.min(DATA.records, DATA.end - first)));
  const [from, to] = TIMES[interval];
  return 1000 * (from + share * (to - from));
}

const xOf = (position) => (STATE.axis === "time" ? timeOf(position) : position);
const extent = () => [xOf(DATA.begin), xOf(DATA.end)];
const domain = () => (STATE.from === null ? extent() : [STATE.from, STATE.to]);

// The interval in which a place of the x axis lies.
function intervalAt(x) {
  let low = FIRST;
  let high = DATA.intervals - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xOf(positionOf(middle)) < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

const inDomain = (from, to) => {
  const [low, high] = domain();
  return to >= low && from <= high;
};

// ---- rows

// A line chart's rows: one a variant and interval, and those next to the domain, so that lines go on to its edges.
function lineRows(columns) {
  const rows = [];
  const [low, high] = domain();
  const first = Math.max(0, intervalAt(low) - 1);
  const last = Math.min(DATA.intervals - 1, intervalAt(high) + 1);
  const every = Math.max(1, Math.round((last - first + 1) / MARKERS));
  for (const { v, column, threshold } of columns) {
    if (!STATE.shown.has(v) || !column) continue;
    for (let interval = first; interval <= last; interval++) {
      const y = column[interval];
      const t = Array.isArray(threshold) ? threshold[interval] : null;
      rows.push({ v: String(v), k: interval, x: xOf(positionOf(interval)), y, t, mark: (interval + v * 2) % every === 0 });
    }
  }
  return rows;
}

const curvesOf = (partition) => DATA.curves.filter((curve) => curve.p === partition);
const qualityColumn = (curve) => (STATE.quality === "loss" ? curve.loss : curve.metrics[STATE.quality]);
const qualityColumns = () => curvesOf(STATE.partition).map((curve) => ({ v: curve.v, column: qualityColumn(curve) }));

// Losses of an interval and those before it, `over` in all, each weighted by its labels.
function runningLoss(loss, over) {
  const labelled = spansOf(STATE.partition).labelled || [];
  return loss.map((_, interval) => {
    let [sum, labels] = [0, 0];
    for (let at = Math.max(0, interval - over + 1); at <= interval; at++) {
      if (loss[at] === null) continue;
      sum += loss[at] * labelled[at];
      labels += labelled[at];
    }
    return labels && loss[interval] !== null ? sum / labels : null;
  });
}

function kappaColumns() {
  const curves = curvesOf(STATE.partition);
  const control = curves.find((curve) => curve.v === DATA.repeating);
  if (!control || !control.loss) return [];
  const base = runningLoss(control.loss, STATE.over);
  return curves
    .filter((curve) => curve.v !== DATA.repeating && curve.loss)
    .map((curve) => ({
      v: curve.v,
      column: runningLoss(curve.loss, STATE.over).map((loss, interval) =>
        loss === null || !base[interval] ? null : 1 - loss / base[interval],
      ),
    }));
}

// Detectors belong to one partition: of all together the first is shown.
const readingPartition = () =>
  DATA.partitions.includes(STATE.partition) && STATE.partition !== ALL ? STATE.partition : readingPartitions()[0];
const readingPartitions = () => [...new Set(DATA.readings.map((reading) => reading.p))].sort((one, other) => Number(one) - Number(other));
const seriesKey = (reading) => JSON.stringify([reading.signal, reading.detector]);
const readingColumns = (field) =>
  DATA.readings
    .filter((reading) => reading.p === readingPartition() && seriesKey(reading) === STATE.series && reading[field])
    .map((reading) => ({ v: reading.v, column: reading[field], threshold: field === "statistic" ? reading.threshold : null }));

const ofPartition = (partition) => STATE.partition === ALL || partition === STATE.partition;

function markRows() {
  const lanes = shownVariants();
  return DATA.marks
    .filter(([v, p, kind]) => STATE.shown.has(v) && ofPartition(p) && STATE.kinds.has(kind))
    .map(([v, p, kind, position, offset, time, text]) => ({
      v: String(v),
      lane: lanes.indexOf(v),
      p,
      kind,
      position,
      offset,
      time,
      text,
      x: xOf(position),
    }))
    .filter((row) => row.lane >= 0 && inDomain(row.x, row.x));
}

// Replacements on the quality line itself, at the height the line had.
function replacementRows() {
  const columns = new Map(qualityColumns().map(({ v, column }) => [v, column]));
  return markRows()
    .filter((row) => REPLACES.has(row.kind))
    .map((row) => ({ ...row, y: heightAt(columns.get(Number(row.v)), row.position) }))
    .filter((row) => row.y !== null && row.y !== undefined);
}

// The height of a line between the ends of two intervals.
function heightAt(column, position) {
  if (!column) return null;
  const interval = Math.min(Math.floor(position / DATA.records), DATA.intervals - 1);
  const [before, after] = [column[interval - 1], column[interval]];
  if (before === null || before === undefined || after === null) return after ?? before;
  const first = interval * DATA.records;
  return before + ((after - before) * (position - first)) / Math.max(1, positionOf(interval) - first);
}
const REPLACEMENTS_MAX = 40; // more of them would hide the lines; the marks below have them all

const shownVariants = () => [...DATA.variants.keys()].filter((v) => STATE.shown.has(v) && !DATA.variants[v].control);
// Where a tuned run was split: the edge at which its charts begin.
const splitRows = () =>
  (DATA.begin ? [{ x: xOf(DATA.begin), text: "▸ records that no setting was chosen by" }] : []).filter((row) => inDomain(row.x, row.x));
const incidentRows = () => DATA.incidents.map(([position, text]) => ({ x: xOf(position), text })).filter((row) => inDomain(row.x, row.x));

// The timeline: under each variant's name a row for each partition.
function timelineRows() {
  const [low, high] = domain();
  const labels = [];
  const bars = [];
  let lane = 0;
  for (const v of shownVariants()) {
    const own = DATA.generations.filter((span) => span[0] === v && ofPartition(span[1]));
    if (!own.length) continue;
    labels.push({ lane: lane++, text: DATA.variants[v].name, v: String(v) });
    for (const p of [...new Set(own.map((span) => span[1]))]) {
      for (const [, , generation, from, until, cause] of own.filter((span) => span[1] === p)) {
        const x = xOf(from);
        const x2 = xOf(until ?? DATA.end);
        if (inDomain(x, x2))
          bars.push({
            lane,
            v,
            p,
            generation,
            cause,
            on: onBar(cause),
            from,
            until: until ?? DATA.end,
            x: Math.max(x, low),
            x2: Math.min(x2, high),
          });
      }
      lane++;
    }
  }
  return { labels, bars, lanes: lane };
}

const [E_MIN, E_MAX] = [1e-3, 1e12]; // what of an e-value is drawn
const duelVariants = () => [...new Set(DATA.duels.map((point) => point[0]))];
const duelRuns = () => {
  const own = DATA.duels.filter((point) => point[0] === STATE.duelVariant && ofPartition(point[1]));
  return STATE.duel === null ? own : own.filter((point) => `${point[1]}/${point[2]}` === STATE.duel);
};
const duelRows = () =>
  duelRuns()
    .map(([, p, duel, contestant, position, events, e, passes]) => ({
      run: `${p}/${duel}/${contestant}`,
      duel: `${p}/${duel}`,
      p,
      number: duel,
      contestant,
      position,
      events,
      e,
      passes,
      x: xOf(position),
      y: e === null ? null : Math.min(E_MAX, Math.max(E_MIN, e)),
    }))
    .filter((row) => inDomain(row.x, row.x));

function costRows() {
  const rows = [...DATA.variants.entries()]
    .filter(([v, variant]) => STATE.shown.has(v) && variant.cpu > 0)
    .map(([v, variant]) => ({ v: String(v), name: variant.name, cpu: variant.cpu, quality: variant.quality }));
  const qualities = rows.map((row) => row.quality).filter((quality) => quality !== null);
  const height = Math.max(...qualities) - Math.min(...qualities) || 1;
  for (const row of rows) {
    const near = rows.filter(
      (other) => Math.abs(Math.log(other.cpu / row.cpu)) < 0.7 && Math.abs(other.quality - row.quality) < height / 9,
    );
    row.below = near.some((other) => other.quality > row.quality || (other.quality === row.quality && other.v < row.v));
  }
  return rows;
}
