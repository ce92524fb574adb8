// The charts, declared in Vega-Lite: one function a chart.

const incidentRule = () => ({
  data: { name: "incidents" },
  mark: { type: "rule", stroke: "var(--incident)", strokeWidth: 2, strokeDash: [3, 2] },
  encoding: { x: { field: "x", ...xAxis() } },
});
const incidentText = () => ({
  data: { name: "incidents" },
  mark: { type: "text", align: "left", baseline: "bottom", dx: -4, dy: -4, fill: "var(--incident)", fontSize: 11, limit: 180 },
  encoding: { x: { field: "x", ...xAxis() }, y: { value: 0 }, text: { field: "text" } },
});

const splitLayers = () => [
  {
    data: { name: "split" },
    mark: { type: "rule", stroke: "var(--soft)", strokeWidth: 1.5 },
    encoding: { x: { field: "x", ...xAxis() } },
  },
  {
    data: { name: "split" },
    mark: { type: "text", align: "left", baseline: "bottom", dy: -4, fill: "var(--soft)", fontSize: 11, limit: { expr: "width" } },
    encoding: { x: { field: "x", ...xAxis() }, y: { value: 0 }, text: { field: "text" } },
  },
];

// Lines by variant; `rules` are heights to draw across, `threshold` says that rows have a line of their own to be compared with.
function lines({ height, rules = [], threshold = false, replacements = false, named = false, y = {} }) {
  const x = { field: "x", ...xAxis() };
  const yField = (field) => ({ field, type: "quantitative", scale: { zero: false, nice: true, ...y }, axis: yAxis({ labelExpr: HEIGHT }) });
  const look = {
    color: { field: "v", type: "nominal", scale: variantScale("colour"), legend: null },
    detail: { field: "v", type: "nominal" },
  };
  const layer = [
    ...rules.map((rule) => ({
      data: { values: [{ y: rule }] },
      mark: { type: "rule", stroke: "var(--line)", strokeWidth: 1.2 },
      encoding: { y: yField("y") },
    })),
    incidentRule(),
    {
      mark: { type: "line", strokeJoin: "round", clip: true },
      encoding: {
        x,
        y: yField("y"),
        ...look,
        strokeWidth: { field: "v", type: "ordinal", scale: widthScale(), legend: null },
        strokeDash: { field: "v", type: "nominal", scale: variantScale("dash"), legend: null },
      },
    },
    {
      transform: [{ filter: "datum.mark && isValid(datum.y)" }],
      mark: { type: "point", filled: true, size: PHONE ? 28 : 42, opacity: 1, clip: true },
      encoding: { x, y: yField("y"), color: look.color, shape: { field: "v", type: "nominal", scale: shapeScale(), legend: null } },
    },
  ];
  if (named) layer.push(incidentText(), ...splitLayers());
  if (threshold)
    layer.splice(1, 0, {
      transform: [{ filter: "isValid(datum.t)" }],
      mark: { type: "line", strokeWidth: 1.5, strokeDash: [5, 4], opacity: 0.9, clip: true },
      encoding: { x, y: yField("t"), ...look },
    });
  if (replacements)
    layer.push({
      data: { name: "replacements" },
      mark: { type: "point", filled: false, fill: "var(--paper)", size: PHONE ? 50 : 80, opacity: 1, strokeWidth: 2, clip: true },
      encoding: {
        x,
        y: yField("y"),
        stroke: look.color,
        shape: { field: "kind", type: "nominal", scale: shapeScale(), legend: null },
      },
    });
  return onAxis({ height, data: { name: "rows" }, layer, ...(named ? { padding: { left: 0, right: RIGHT, top: 20, bottom: 4 } } : {}) });
}

const whenTip = () => [
  { field: "position", type: "quantitative", title: "position", format: ",d" },
  { field: "p", type: "nominal", title: "partition" },
];

const LANE = 30;
function marks(lanes) {
  const x = { field: "x", ...xAxis() };
  const y = (band) => ({ field: "lane", type: "ordinal", scale: { domain: lanes.map((_, lane) => lane) }, axis: null, bandPosition: band });
  const color = { field: "v", type: "nominal", scale: variantScale("colour"), legend: null };
  const tooltip = [
    { field: "name", type: "nominal", title: "variant" },
    { field: "text", type: "nominal", title: "what" },
    ...whenTip(),
    { field: "offset", type: "quantitative", title: "offset", format: ",d" },
  ];
  const named = { calculate: "variants[datum.v]", as: "name" };
  return onAxis({
    height: Math.max(1, lanes.length) * LANE,
    params: [...BETWEEN(), { name: "variants", value: DATA.variants.map((variant) => variant.name) }],
    padding: { left: GUTTER, right: RIGHT, top: 6, bottom: 4 },
    data: { name: "rows" },
    layer: [
      {
        data: { name: "lanes" },
        mark: { type: "rule", stroke: "var(--grid)" },
        encoding: { y: y(1), x: { value: 0 }, x2: { value: "width" } },
      },
      incidentRule(),
      {
        transform: [named, { filter: "datum.kind === 'drift'" }],
        mark: { type: "point", shape: TICK, filled: false, size: 130, strokeWidth: 1.5, opacity: 0.8 },
        encoding: { x, y: y(0.7), color, tooltip },
      },
      {
        transform: [named, { filter: "datum.kind !== 'drift'" }],
        mark: { type: "point", size: 70, filled: false, fill: "var(--paper)", opacity: 1, strokeWidth: 2 },
        encoding: { x, y: y(0.7), stroke: color, shape: { field: "kind", type: "nominal", scale: shapeScale(), legend: null }, tooltip },
      },
      {
        data: { name: "lanes" },
        mark: { type: "text", align: "left", baseline: "middle", fontSize: 11, fill: "var(--soft)", limit: { expr: "width" } },
        encoding: { y: y(0.2), x: { value: 0 }, text: { field: "name", type: "nominal" } },
      },
    ],
  });
}

function timeline({ lanes }, causes, step) {
  const y = { field: "lane", type: "ordinal", scale: { domain: [...Array(Math.max(1, lanes)).keys()], paddingInner: 0.12 }, axis: null };
  const x = { field: "x", ...xAxis() };
  const wide = "(datum.x2 - datum.x) / (hi - lo) * width > 8 + 7 * length(toString(datum.generation))";
  return onAxis({
    height: Math.max(1, lanes) * step,
    params: [...BETWEEN(), { name: "variants", value: DATA.variants.map((variant) => variant.name) }],
    padding: { left: GUTTER, right: RIGHT, top: 6, bottom: 4 },
    data: { name: "rows" },
    layer: [
      {
        transform: [{ calculate: "variants[datum.v]", as: "name" }],
        mark: { type: "bar", stroke: "var(--paper)", strokeWidth: 1, cornerRadius: 2 },
        encoding: {
          x,
          x2: { field: "x2" },
          y,
          color: { field: "cause", type: "nominal", scale: { domain: causes, range: CAUSES }, legend: null },
          tooltip: [
            { field: "name", type: "nominal", title: "variant" },
            { field: "p", type: "nominal", title: "partition" },
            { field: "generation", type: "quantitative" },
            { field: "cause", type: "nominal", title: "put there by" },
            { field: "from", type: "quantitative", title: "from position", format: ",d" },
            { field: "until", type: "quantitative", title: "until", format: ",d" },
          ],
        },
      },
      ...(step < 11
        ? []
        : [
            {
              transform: [{ filter: wide }, { calculate: "(datum.x + datum.x2) / 2", as: "middle" }],
              mark: { type: "text", fontSize: Math.min(11, step - 3), fontWeight: 600, baseline: "middle" },
              encoding: {
                x: { ...x, field: "middle" },
                y: { ...y, bandPosition: 0.5 },
                text: { field: "generation", type: "quantitative" },
                fill: { field: "on", type: "nominal", scale: null },
              },
            },
          ]),
      incidentRule(),
      {
        data: { name: "labels" },
        mark: { type: "text", align: "left", baseline: "bottom", dy: 1, fontSize: 11, fill: "var(--soft)", limit: { expr: "width" } },
        encoding: { y: { ...y, bandPosition: 1 }, x: { value: 0 }, text: { field: "text", type: "nominal" } },
      },
    ],
  });
}

const POWER = "datum.value >= 1e6 ? format(datum.value, '~e') : format(datum.value, '~g')";
function duels(contestants, top) {
  const x = { field: "x", ...xAxis() };
  const y = (field) => ({
    field,
    type: "quantitative",
    scale: { type: "log", domain: [E_MIN, top], clamp: true, nice: false },
    axis: yAxis({ labelExpr: POWER, values: powers(E_MIN, top).filter((power) => power >= E_MIN && power <= top), labelOverlap: false }),
  });
  const color = { field: "contestant", type: "nominal", scale: { domain: contestants, range: CONTESTANTS }, legend: null };
  const dash = {
    field: "contestant",
    type: "nominal",
    scale: {
      domain: contestants,
      range: [
        [1, 0],
        [7, 3],
        [2, 2],
        [9, 3, 2, 3],
        [4, 2],
      ],
    },
    legend: null,
  };
  const run = { field: "run", type: "nominal" };
  return onAxis({
    height: 280,
    data: { name: "rows" },
    layer: [
      { data: { values: [{ y: 1 }] }, mark: { type: "rule", stroke: "var(--line)" }, encoding: { y: y("y") } },
      incidentRule(),
      {
        transform: [{ filter: "isValid(datum.passes)" }],
        mark: { type: "line", interpolate: "step-before", stroke: "var(--ink)", strokeWidth: 1.3, strokeDash: [5, 4] },
        encoding: { x, y: y("passes"), detail: { field: "duel", type: "nominal" } },
      },
      { mark: { type: "line", strokeWidth: 2, clip: true }, encoding: { x, y: y("y"), color, strokeDash: dash, detail: run } },
      {
        mark: { type: "point", filled: true, size: 60, opacity: 0 },
        encoding: {
          x,
          y: y("y"),
          color,
          tooltip: [
            { field: "contestant", type: "nominal", title: "challenger" },
            { field: "number", type: "quantitative", title: "duel" },
            ...whenTip(),
            { field: "events", type: "quantitative", title: "events of the duel", format: ",d" },
            { field: "e", type: "quantitative", title: "e-value", format: ".4~g" },
            { field: "passes", type: "quantitative", title: "passes at", format: ".4~g" },
          ],
        },
      },
    ],
  });
}

const COST_TIP = [
  { field: "name", type: "nominal", title: "variant" },
  { field: "quality", type: "quantitative", format: ".5~g" },
  { field: "cpu", type: "quantitative", title: "CPU us an event", format: ".3~g" },
];
const byVariant = (of) => ({ field: "v", type: "nominal", scale: variantScale(of), legend: null });

function cost(rows) {
  const cpus = rows.map((row) => row.cpu);
  const [low, high] = [Math.min(...cpus), Math.max(...cpus)];
  const steps = high > 4 * low ? [1, 2, 5] : [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9];
  const values = [...new Set(powers(low, high).flatMap((power) => steps.map((step) => step * power)))];
  const x = {
    field: "cpu",
    type: "quantitative",
    scale: { type: "log", nice: false, padding: 44 },
    axis: { title: "CPU us an event", grid: true, format: ".3~r", values },
  };
  const y = { field: "quality", type: "quantitative", scale: { zero: false, padding: 18 }, axis: yAxis({ labelExpr: HEIGHT }) };
  return {
    width: "container",
    height: 280,
    padding: { left: 0, right: RIGHT, top: 6, bottom: 4 },
    data: { name: "rows" },
    transform: [{ filter: "isValid(datum.quality)" }],
    layer: [
      {
        mark: { type: "point", filled: true, size: 150, opacity: 1, stroke: "var(--paper)" },
        encoding: { x, y, color: byVariant("colour"), shape: byVariant("shape"), tooltip: COST_TIP },
      },
      ...(rows.length > 7
        ? []
        : [-14, 15]
            .filter((dy) => rows.some((row) => row.below === dy > 0))
            .map((dy) => ({
              transform: [{ filter: `datum.below === ${dy > 0}` }],
              mark: { type: "text", dy, fontSize: 12, fill: "var(--ink)", limit: 130 },
              encoding: { x, y, text: { field: "name", type: "nominal" } },
            }))),
    ],
  };
}

function cpu(rows) {
  const y = { field: "v", type: "nominal", sort: rows.map((row) => row.v), axis: null };
  const x = { field: "cpu", type: "quantitative", scale: { nice: true }, axis: { title: null, grid: true, format: "~s", tickCount: 4 } };
  return {
    width: "container",
    height: 36 * Math.max(1, rows.length),
    padding: { left: 4, right: RIGHT, top: 6, bottom: 4 },
    data: { name: "rows" },
    layer: [
      { mark: { type: "bar", height: 12, yOffset: 8, cornerRadius: 2 }, encoding: { x, y, color: byVariant("colour"), tooltip: COST_TIP } },
      {
        transform: [{ calculate: "format(datum.cpu, '.3~r') + ' us   ' + datum.name", as: "label" }],
        mark: { type: "text", align: "left", dy: -8, fontSize: 12, fill: "var(--ink)", limit: { expr: "width" } },
        encoding: { y, x: { value: 0 }, text: { field: "label", type: "nominal" } },
      },
    ],
  };
}
