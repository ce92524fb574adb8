// What the charts have in common: colours, scales and axes. Colours are the page's CSS variables, so dark mode and print need no redrawing.

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif';
const CAUSES = ["var(--neutral)", "var(--v1)", "var(--v0)", "var(--v2)", "var(--v3)", "var(--v4)", "var(--v5)"];
const ON_CAUSES = [
  "var(--on-neutral)",
  "var(--on-strong)",
  "var(--on-strong)",
  "var(--on-strong)",
  "var(--on-pale)",
  "var(--on-pale)",
  "var(--on-pale)",
];
const CONTESTANTS = ["var(--v0)", "var(--v1)", "var(--v2)", "var(--v3)", "var(--v4)", "var(--v5)", "var(--v6)"];

const CONFIG = {
  background: null,
  font: FONT,
  view: { stroke: null },
  axis: {
    domainColor: "var(--line)",
    gridColor: "var(--grid)",
    tickColor: "var(--line)",
    labelColor: "var(--soft)",
    titleColor: "var(--soft)",
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: "normal",
    labelOverlap: true,
  },
  axisX: { grid: false, labelFlush: true, labelPadding: 4 },
  axisY: { domain: false, ticks: false, labelPadding: 6, tickCount: 5 },
};

const variantScale = (of) => ({ domain: LOOKS.map((_, v) => String(v)), range: LOOKS.map((look) => look[of]) });
const widthScale = () => ({
  domain: LOOKS.map((_, v) => String(v)),
  range: DATA.variants.map((variant) => (variant.control ? 1.2 : PHONE ? 1.6 : 2)),
});

// One scale for the markers of lines and those of marks, because the layers of a chart share it.
const shapeScale = () => ({
  domain: [...LOOKS.map((_, v) => String(v)), ...Object.keys(KINDS)],
  range: [...LOOKS.map((look) => look.shape), ...Object.values(KINDS).map((kind) => kind.shape)],
});
const GUTTER = window.innerWidth < 600 ? 44 : 58; // left of every chart along the x axis, so that they stand under each other
const TICK = "M0,-1L0,1";
const PHONE = window.innerWidth < 600;

// Where a log axis has its lines: at powers of ten, at least `low` and at most `high`, and at most seven of them.
function powers(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const step = Math.max(1, Math.ceil((last - first) / 6));
  const lowest = Math.floor(first / step) * step; // so that 1 is among them
  return Array.from({ length: Math.floor((last - lowest) / step) + 1 }, (_, at) => 10 ** (lowest + at * step));
}
const RIGHT = 12;

function xAxis(labels = true) {
  const time = STATE.axis === "time";
  return {
    type: time ? "temporal" : "quantitative",
    scale: {
      type: time ? "utc" : "linear",
      domainMin: { expr: "lo" },
      domainMax: { expr: "hi" },
      nice: false,
      ...(time ? {} : { zero: false }),
    },
    axis: {
      title: null,
      labels,
      ticks: labels,
      format: time ? undefined : ",d",
      tickCount: { expr: "max(2, floor(width / 110))" },
      labelBound: 12,
    },
  };
}

const BETWEEN = () => {
  const [lo, hi] = domain();
  return [
    { name: "lo", value: lo },
    { name: "hi", value: hi },
  ];
};
const onAxis = (spec) => ({ width: "container", padding: { left: 0, right: RIGHT, top: 6, bottom: 4 }, params: BETWEEN(), ...spec });
// Heights as people write them: without an exponent, unless they are so large or so small that nothing else has room.
const HEIGHT =
  "abs(datum.value) >= 1e4 ? format(datum.value, '~s') : datum.value && abs(datum.value) < 1e-3 ? format(datum.value, '.2~e') : format(datum.value, '~r')";
const yAxis = (more = {}) => ({ title: null, minExtent: GUTTER, maxExtent: GUTTER, ...more });
