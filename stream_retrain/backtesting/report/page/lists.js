// What the charts show as tables, and what happened as a list: for exact values, for a screen reader, for copying.

const VALUE_ROWS_MAX = 600;
const LOG_ROWS = 100;

const cells = (name, texts, numbersFrom = 0) =>
  texts.map((text, at) =>
    element(name, { text, ...(name === "th" ? { scope: "col" } : {}), ...(at >= numbersFrom ? { class: "num" } : {}) }),
  );

function tableOf(heads, rows, numbersFrom) {
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...cells("th", heads, numbersFrom))), element("tbody"));
  table.tBodies[0].append(...rows.slice(0, VALUE_ROWS_MAX).map((row) => element("tr", {}, ...cells("td", row, numbersFrom))));
  if (rows.length > VALUE_ROWS_MAX)
    table.tBodies[0].append(
      element("tr", {}, element("td", { colspan: heads.length, text: `${whole(rows.length - VALUE_ROWS_MAX)} more: zoom in to see them` })),
    );
  return table;
}

// One row an interval, one column a variant, of what is shown.
function lineTable(chart) {
  const columns = chart.columns().filter(({ v, column }) => STATE.shown.has(v) && column);
  const [low, high] = domain().map(intervalAt);
  const spans = spansOf(STATE.partition);
  const rows = [];
  for (let interval = low; interval <= high; interval++) {
    const labelled = spans.labelled ? spans.labelled[interval] : null;
    rows.push([
      whole(positionOf(interval)),
      TIMES ? utc(timeOf(positionOf(interval))) : "–",
      labelled === null ? "0" : whole(labelled),
      ...columns.map(({ column }) => shortNumber(column[interval], 6)),
    ]);
  }
  return tableOf(["until position", "time (UTC)", "labels", ...columns.map(({ v }) => DATA.variants[v].name)], rows, 0);
}

const markTable = () =>
  tableOf(
    ["variant", "what", "partition", "position"],
    markRows().map((row) => [DATA.variants[row.v].name, row.text, row.p, whole(row.position)]),
    2,
  );
const timelineTable = () =>
  tableOf(
    ["variant", "put there by", "partition", "generation", "from position", "until"],
    timelineRows().bars.map((bar) => [
      DATA.variants[bar.v].name,
      bar.cause,
      bar.p,
      String(bar.generation),
      whole(bar.from),
      whole(bar.until),
    ]),
    2,
  );
const duelTable = () =>
  tableOf(
    ["challenger", "partition", "duel", "position", "events of the duel", "e-value", "passes at"],
    duelRows().map((row) => [
      row.contestant,
      row.p,
      String(row.number),
      whole(row.position),
      whole(row.events),
      shortNumber(row.e),
      shortNumber(row.passes),
    ]),
    1,
  );
const costTable = () =>
  tableOf(
    ["variant", "quality", "CPU us an event"],
    costRows().map((row) => [row.name, shortNumber(row.quality), shortNumber(row.cpu, 3)]),
    1,
  );

function fillTable(details, chart) {
  if (details.open) details.querySelector(".scroll").replaceChildren(chart.table());
}

// ---- what happened

const LOG = { kind: "all", limit: LOG_ROWS };

function logRows() {
  const marks = DATA.marks
    .filter(
      ([v, p, kind]) => STATE.shown.has(v) && !DATA.variants[v].control && ofPartition(p) && (LOG.kind === "all" || kind === LOG.kind),
    )
    .map(([v, p, kind, position, , time, text]) => ({ v, p, kind, position, time: time === null ? null : time * 1000, text }));
  const incidents =
    LOG.kind === "all" || LOG.kind === "incident"
      ? DATA.incidents.map(([position, text]) => ({
          v: null,
          p: "",
          kind: "incident",
          position,
          time: TIMES ? timeOf(position) : null,
          text,
        }))
      : [];
  return [...marks, ...incidents]
    .filter((row) => inDomain(xOf(row.position), xOf(row.position)))
    .sort((one, other) => one.position - other.position);
}

function fillLog() {
  const rows = logRows();
  const body = document.querySelector("#log-table tbody");
  const several = DATA.partitions.length > 1;
  body.replaceChildren(
    ...rows.slice(0, LOG.limit).map((row) => {
      const who =
        row.v === null
          ? element("td", { text: "the world", class: "world" })
          : element(
              "td",
              {},
              element("span", { class: "who" }, swatch(row.v), element("span", { text: DATA.variants[row.v].name, class: "name" })),
            );
      const where = several && row.p !== "" ? ` (partition ${row.p})` : "";
      const show = element("button", { type: "button", text: "Zoom", "aria-label": `Zoom to position ${whole(row.position)}` });
      show.addEventListener("click", () => {
        const size = 6 * DATA.records;
        zoomTo(xOf(Math.max(0, row.position - size)), xOf(Math.min(DATA.end, row.position + size)));
        document.getElementById("charts").scrollIntoView();
      });
      return element(
        "tr",
        { class: row.kind },
        element("td", { text: whole(row.position), class: "num" }),
        element("td", { text: row.time === null ? "–" : utc(row.time) }),
        who,
        element("td", { text: row.text + where }),
        element("td", {}, show),
      );
    }),
  );
  const left = DATA.leftOut ? `; ${whole(DATA.leftOut)} more of the backtest are left out of this page` : "";
  document.getElementById("log-count").textContent =
    `${whole(Math.min(rows.length, LOG.limit))} of ${whole(rows.length)} shown${STATE.from === null ? "" : " in the part zoomed to"}${left}`;
  document.getElementById("log-more").hidden = rows.length <= LOG.limit;
}
