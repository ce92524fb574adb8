// What can be chosen: variants, kinds of marks, partition, axis, quality, detector and duel. A choice changes the state and draws.

function options(select, values, chosen, change) {
  select.replaceChildren(
    ...values.map(([value, text]) => element("option", { value, text, ...(value === chosen ? { selected: "" } : {}) })),
  );
  select.closest("label").hidden = values.length < 2;
  select.onchange = () => {
    change(select.value);
    refresh();
  };
}

function toggle(set, value, button) {
  if (set.has(value)) set.delete(value);
  else set.add(value);
  button.setAttribute("aria-pressed", set.has(value));
  refresh();
}

function legend() {
  $("legend").replaceChildren(
    ...DATA.variants.map((variant, v) => {
      const button = element(
        "button",
        { type: "button", class: "chip", "aria-pressed": "true", title: variant.name },
        swatch(v),
        element("span", { text: variant.name, class: "name" }),
      );
      button.addEventListener("click", () => toggle(STATE.shown, v, button));
      button.addEventListener("dblclick", () => alone(v));
      return button;
    }),
  );
}

// Only one variant; of one that is alone already, everything.
function alone(v) {
  const only = STATE.shown.size === 1 && STATE.shown.has(v);
  STATE.shown = new Set(only ? DATA.variants.keys() : [v]);
  [...$("legend").children].forEach((button, at) => button.setAttribute("aria-pressed", STATE.shown.has(at)));
  refresh();
}

function picture(kind, colour, hollow) {
  const made = shape("svg", { width: 14, height: 14, viewBox: "0 0 14 14", "aria-hidden": "true" });
  made.append(glyph(kind, colour, 7, hollow));
  return made;
}

function kinds() {
  const there = Object.keys(KINDS).filter((kind) => DATA.marks.some((mark) => mark[2] === kind));
  $("kinds").replaceChildren(
    ...there.map((kind) => {
      const button = element(
        "button",
        { type: "button", class: "chip small", "aria-pressed": STATE.kinds.has(kind) },
        picture(KINDS[kind].shape, "currentColor", true),
        element("span", { text: KINDS[kind].name }),
      );
      button.addEventListener("click", () => toggle(STATE.kinds, kind, button));
      return button;
    }),
  );
  options(
    $("log-kind"),
    [
      ["all", "everything"],
      ...there.map((kind) => [kind, KINDS[kind].name]),
      ...(DATA.incidents.length ? [["incident", "incidents"]] : []),
    ],
    "all",
    (kind) => {
      LOG.kind = kind;
      LOG.limit = LOG_ROWS;
    },
  );
}

function choices() {
  options(
    $("partition"),
    DATA.partitions.map((p) => [p, p === ALL ? "all" : p]),
    STATE.partition,
    (p) => {
      STATE.partition = p;
      STATE.duel = null;
      chooseDuel();
    },
  );
  STATE.axis = TIMES ? "time" : "position";
  options(
    $("axis"),
    TIMES
      ? [
          ["time", "event time"],
          ["position", "position"],
        ]
      : [["position", "position"]],
    STATE.axis,
    chooseAxis,
  );
  STATE.quality = DATA.metrics.some((metric) => metric.name === DATA.metric) ? DATA.metric : "loss";
  options(
    $("quality"),
    [...DATA.metrics.map((metric) => [metric.name, `${metric.name} (rolling)`]), ["loss", lossName]],
    STATE.quality,
    (name) => (STATE.quality = name),
  );
  STATE.over = DATA.intervals >= 100 ? 5 : 1;
  options(
    $("over"),
    [
      ["1", "each interval"],
      ["5", "5 intervals"],
      ["20", "20 intervals"],
    ],
    String(STATE.over),
    (over) => (STATE.over = Number(over)),
  );
  const series = [...new Map(DATA.readings.map((reading) => [seriesKey(reading), `${reading.detector} on ${reading.signal}`]))];
  STATE.series = series.length ? series[0][0] : null;
  options($("series"), series, STATE.series, (key) => (STATE.series = key));
  $("detectors").closest("section").hidden = !series.length;
  const duelling = duelVariants();
  STATE.duelVariant = duelling.length ? duelling[0] : null;
  options(
    $("duel-variant"),
    duelling.map((v) => [String(v), DATA.variants[v].name]),
    String(STATE.duelVariant),
    (v) => {
      STATE.duelVariant = Number(v);
      STATE.duel = null;
      chooseDuel();
    },
  );
  $("duels").closest("section").hidden = !duelling.length;
  chooseDuel();
}

function chooseAxis(axis) {
  const ends = STATE.from === null ? null : [STATE.from, STATE.to].map((x) => positionOf(intervalAt(x)));
  STATE.axis = axis;
  if (ends) [STATE.from, STATE.to] = ends.map(xOf);
}

function chooseDuel() {
  const all = DATA.duels.filter((point) => point[0] === STATE.duelVariant && ofPartition(point[1]));
  const several = DATA.partitions.length > 1;
  const first = new Map();
  for (const [, p, duel, , position] of all)
    if (!first.has(`${p}/${duel}`))
      first.set(`${p}/${duel}`, `${duel}${several ? ` of partition ${p}` : ""}, from position ${whole(position)}`);
  options($("duel"), [["", `all ${first.size}`], ...first], STATE.duel ?? "", (duel) => {
    STATE.duel = duel || null;
    const places = duelRuns().map((point) => xOf(point[4]));
    const [first, last] = extent();
    if (duel) zoomTo(Math.min(...places) - (last - first) * 0.004, Math.max(...places) + (last - first) * 0.004);
    else zoomToEverything();
  });
}
