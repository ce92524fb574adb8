// The charts of the page: what each draws, from which rows, when it is drawn anew, and what stands there when there is nothing to draw.

const $ = (id) => document.getElementById(id);
const partitionWord = () =>
  STATE.partition === ALL ? (DATA.partitions.length > 1 ? "all partitions" : "") : `partition ${STATE.partition}`;
const lossName = DATA.task === "regression" ? "Mean absolute error, by interval" : "Share of labels missed, by interval";
const qualityName = () => (STATE.quality === "loss" ? lossName : `${STATE.quality}, rolling`);
const isUp = () => STATE.quality !== "loss" && DATA.metrics.find((metric) => metric.name === STATE.quality).up;

const onBar = (cause) => ON_CAUSES[causes().indexOf(cause) % ON_CAUSES.length];
const causes = () => [...new Set(["begin", "reset", ...DATA.generations.map((span) => span[5])])];
const contestants = () => [...new Set(DATA.duels.map((point) => point[3]))];
const timelineStep = (lanes) => (lanes > 60 ? 8 : lanes > 24 ? 14 : 17);
const kappaColumnsBounded = () =>
  kappaColumns().map(({ v, column }) => ({ v, column: column.map((value) => (value === null ? null : Math.max(KAPPA_MIN, value))) }));
const KAPPA_MIN = -2;

function fewReplacements() {
  const rows = replacementRows();
  return rows.length > REPLACEMENTS_MAX ? [] : rows;
}

const replacementsHint = () =>
  replacementRows().length > REPLACEMENTS_MAX
    ? `More than ${REPLACEMENTS_MAX} replacements are in view, so they are drawn below only.`
    : "";

// `key` says what a chart must be drawn anew for; for everything else its data are exchanged.
const CHARTS = {
  quality: {
    title: qualityName,
    up: isUp,
    columns: qualityColumns,
    table: () => lineTable(CHARTS.quality),
    key: () => STATE.quality,
    spec: () => lines({ height: 300, replacements: true, named: true }),
    data: () => ({ rows: lineRows(qualityColumns()), incidents: incidentRows(), split: splitRows(), replacements: fewReplacements() }),
    empty: () => (qualityColumns().some(({ column }) => column) ? "" : "No labels came, so there is no quality to draw."),
  },
  marks: {
    title: () => "Marks",
    table: markTable,
    key: () => [...STATE.shown].join(),
    spec: () => marks(shownVariants()),
    data: () => ({
      rows: markRows(),
      incidents: incidentRows(),
      lanes: shownVariants().map((v, lane) => ({ lane, name: DATA.variants[v].name })),
    }),
    empty: () => (DATA.marks.length ? "" : "No detector fired, and no model was replaced."),
  },
  kappa: {
    title: () => `Kappa-temporal${STATE.over > 1 ? ` over ${STATE.over} intervals` : ""}`,
    up: () => true,
    columns: kappaColumns,
    table: () => lineTable(CHARTS.kappa),
    key: () => "",
    spec: () => lines({ height: 200, rules: [0] }),
    data: () => ({ rows: lineRows(kappaColumnsBounded()), incidents: incidentRows() }),
    empty: () => {
      if (!qualityColumns().some(({ column }) => column)) return "No labels came.";
      if (!kappaColumns().length) return "There is no control that repeats the last label to compare with.";
      const some = kappaColumns().some(({ column }) => column.some((value) => value !== null));
      return some ? "" : "The control that repeats the last label made no error, so nothing can be measured against it.";
    },
  },
  timeline: {
    title: () => "Generations",
    table: timelineTable,
    key: () => `${[...STATE.shown].join()}/${STATE.partition}`,
    spec: () => {
      const rows = timelineRows();
      return timeline(rows, causes(), timelineStep(rows.lanes));
    },
    data: () => {
      const { labels, bars } = timelineRows();
      return { rows: bars, labels, incidents: incidentRows() };
    },
    empty: () => (DATA.generations.length ? "" : "No generation was recorded."),
  },
  statistic: readingChart("statistic", "Statistic", 200, true),
  estimate: readingChart("estimate", "Estimate", 180),
  width: readingChart("width", "Window", 140),
  duels: {
    title: () => "Duels",
    table: duelTable,
    key: () => `${STATE.duelVariant}/${STATE.duel}`,
    spec: () =>
      duels(contestants(), Math.max(30, ...duelRuns().map((point) => 2 * Math.min(E_MAX, Math.max(point[6] ?? 1, point[7] ?? 1))))),
    data: () => ({ rows: duelRows(), incidents: incidentRows() }),
    empty: () => (duelRuns().length ? "" : "This variant had no duel in this partition."),
  },
  cost: {
    title: () => "Quality against cost",
    table: costTable,
    key: () => [...STATE.shown].join(),
    spec: () => cost(costRows()),
    data: () => ({ rows: costRows() }),
    apart: true,
    empty: () => (costRows().some((row) => row.quality !== null) ? "" : "No quality was measured of what is shown."),
  },
  cpu: {
    title: () => "CPU",
    table: costTable,
    key: () => [...STATE.shown].join(),
    spec: () => cpu(costRows()),
    data: () => ({ rows: costRows() }),
    apart: true,
    empty: () => (costRows().length ? "" : "No cost was measured of what is shown."),
  },
};

function readingChart(field, title, height, threshold = false) {
  const columns = () => readingColumns(field);
  const chart = {
    title: () => title,
    up: () => true,
    columns,
    key: () => STATE.series,
    absent: () => !columns().length,
    empty: () => "",
    spec: () => lines({ height, threshold, y: field === "width" ? { zero: true } : {} }),
    data: () => ({ rows: lineRows(columns()), incidents: incidentRows() }),
  };
  chart.table = () => lineTable(chart);
  return chart;
}

// ---- drawing

const ERRORS_ONLY = 1; // an empty chart is nothing to warn of
const DRAWN = new Map(); // by chart: its view and for what it was drawn
const AXIS_VIEWS = () =>
  [...DRAWN].filter(([id, { view }]) => view && !CHARTS[id].apart).map(([id, { view }]) => ({ box: $(`chart-${id}`), view }));

async function draw(id, chart, key) {
  const box = $(`chart-${id}`);
  DRAWN.get(id)?.view?.finalize();
  const state = { key, view: null };
  DRAWN.set(id, state);
  const target = element("div", { class: "plot", "aria-hidden": "true" });
  box.querySelector(".plot")?.remove();
  box.prepend(target);
  const spec = { ...chart.spec(), datasets: chart.data(), background: null };
  const made = await vegaEmbed(target, spec, {
    mode: "vega-lite",
    renderer: "svg",
    actions: false,
    ast: true,
    defaultStyle: false,
    config: CONFIG,
    logLevel: ERRORS_ONLY,
  });
  if (DRAWN.get(id) === state) state.view = made.view;
  else made.view.finalize();
}

async function show(id) {
  const chart = CHARTS[id];
  const absent = chart.absent ? chart.absent() : false;
  const why = chart.empty();
  $(`box-${id}`).hidden = absent;
  $(`empty-${id}`).hidden = !why;
  $(`empty-${id}`).textContent = why;
  $(`chart-${id}`).hidden = Boolean(why);
  for (const part of $(`box-${id}`).querySelectorAll("details, .choices, .kinds")) part.hidden = Boolean(why);
  if (absent || why) return;
  const key = `${STATE.axis}|${chart.key()}`;
  const drawn = DRAWN.get(id);
  if (!drawn || drawn.key !== key || !drawn.view) await draw(id, chart, key);
  else {
    for (const [name, rows] of Object.entries(chart.data())) drawn.view.data(name, rows);
    if (!chart.apart) domain().forEach((end, at) => drawn.view.signal(at ? "hi" : "lo", end));
    await drawn.view.runAsync();
  }
  const details = document.querySelector(`details[data-of="${id}"]`);
  fillTable(details, chart);
}

let pending = Promise.resolve();
function refresh() {
  pending = pending.then(async () => {
    labels();
    for (const id of Object.keys(CHARTS)) await show(id);
    fillLog();
    document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn || 0) + 1);
  });
  return pending;
}

function labels() {
  $("title-quality").textContent = [qualityName(), partitionWord()].filter(Boolean).join(", ");
  $("box-quality").querySelector(".hint").textContent = [isUp() ? "" : "Lower is better.", replacementsHint()].filter(Boolean).join(" ");
  $("title-duels").textContent =
    STATE.duelVariant === null ? "" : `Evidence of each challenger of “${DATA.variants[STATE.duelVariant].name}”`;
  explain(
    $("causes"),
    causes(),
    CAUSES,
    DATA.generations.map((span) => span[5]),
  );
  explain(
    $("contestants"),
    contestants(),
    CONTESTANTS,
    duelRuns().map((point) => point[3]),
  );
  const metric = DATA.metrics.find((each) => each.name === DATA.metric);
  $("box-cost").querySelector(".hint").textContent = `${metric && !metric.up ? "Down" : "Up"} and to the left is better.`;
  $("whole").disabled = STATE.from === null;
  const several = DATA.partitions.length > 1;
  $("series-partition").textContent =
    several && STATE.partition === ALL && DATA.readings.length
      ? `Detectors belong to one partition; this is partition ${readingPartition()}. Choose another above.`
      : "";
  for (const [id, chart] of Object.entries(CHARTS)) {
    const box = $(`chart-${id}`);
    if (chart.columns)
      box.setAttribute("aria-label", `${chart.title()}, ${partitionWord() || "all events"}: arrow keys read values, plus and minus zoom`);
  }
}

// The meaning of colours, of those there are.
function explain(place, texts, colours, there) {
  const keys = texts.map((text, at) => [text, picture("square", colours[at % colours.length])]).filter(([text]) => there.includes(text));
  place.replaceChildren(...keys.map(([text, square]) => element("span", { class: "key" }, square, element("span", { text }))));
}

let timer = null;
function announce(text) {
  clearTimeout(timer);
  timer = setTimeout(() => ($("announced").textContent = text), 150);
}
