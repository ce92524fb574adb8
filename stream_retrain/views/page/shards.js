// The table of the shards: sorted by a column, filtered by words, a button on each row that shows the shard in full.

import { number, spark, svg } from "./chart.js";
import { byId, el, put, whole } from "./dom.js";
import { under, view, window_ } from "./view.js";

const FILTER_FROM = 5;
const rows = new Map();
let sorted = ["partition", 1];

const COLUMNS = [
  ["partition", "Partition", (each) => each.partition],
  ["state", "State", (each) => each.state, "text"],
  ["score", "Score", (each) => each.rolling[view.metric] ?? null],
  ["spark", "", null],
  ["generation", "Generation", (each) => each.generation],
  ["drifts", "Drifts", (each) => each.drifts],
  ["lag", "Lag", (each) => each.lag_records],
  ["waiting", "Waiting", (each) => each.pending],
  ["dead", "Dead letters", (each) => each.dead],
  ["under", "Under way", (each) => under(each), "text"],
];

// `chosen` are the places shown in full, `choose` is told which place was pressed.
export function table(chosen, choose) {
  const shards = byId("shards");
  if (!shards.tHead) {
    const cells = COLUMNS.map(([key, name, value, look]) => {
      const cell = el("th", { scope: "col", role: "columnheader", class: look ?? "", "data-key": key });
      if (value === null) cell.append(el("span", { class: "unseen" }, "Course"));
      else {
        const button = el("button", { type: "button" }, name);
        button.addEventListener("click", () => {
          sorted = [key, sorted[0] === key ? -sorted[1] : ["partition", "state"].includes(key) ? 1 : -1];
          table(chosen, choose);
        });
        cell.append(button);
      }
      return cell;
    });
    shards.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...cells)), el("tbody", { role: "rowgroup" }));
  }
  const [key, direction] = sorted;
  for (const cell of shards.tHead.rows[0].cells) {
    if (cell.dataset.key === key) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  }
  const value = COLUMNS.find((each) => each[0] === key)[2];
  const wanted = shown().toSorted((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === b) return one.partition - other.partition;
    if (a === null || b === null) return a === null ? 1 : -1;
    return (a < b ? -1 : 1) * direction;
  });
  const body = shards.tBodies[0];
  for (const [place, row] of rows) {
    if (wanted.some((each) => each.place === place)) continue;
    row.remove();
    rows.delete(place);
  }
  wanted.forEach((shard, place) => {
    const row = rows.get(shard.place) ?? made(shard, choose);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
    update(row, shard, chosen);
  });
  byId("filter-label").hidden = view.now.shards.length < FILTER_FROM;
  byId("none").hidden = wanted.length > 0;
  put(byId("none"), view.now.shards.length ? "No shard fits what is asked for." : "This worker has no partition now.");
}

function shown() {
  const words = byId("filter").value.trim().toLowerCase();
  if (!words || view.now.shards.length < FILTER_FROM) return view.now.shards;
  return view.now.shards.filter((each) => `${each.partition}` === words || `${each.place} ${each.state} ${under(each)}`.toLowerCase().includes(words));
}

function made(shard, choose) {
  const button = el("button", { type: "button", class: "open" });
  button.addEventListener("click", () => choose(shard.place));
  const cells = COLUMNS.slice(1).map(([, name, , look]) => el("td", { role: "cell", class: look ?? "", ...(name ? { "data-label": name } : {}) }));
  const row = el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, button), ...cells);
  cells[2].append(svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none" }));
  rows.set(shard.place, row);
  return row;
}

function update(row, shard, chosen) {
  const [head, state, score, course, generation, drifts, lag, waiting, dead, what] = row.cells;
  const button = head.firstChild;
  put(button, shard.partition);
  button.setAttribute("aria-pressed", chosen.has(shard.place));
  button.setAttribute("aria-label", `Partition ${shard.partition}, details`);
  put(state, shard.state);
  put(score, shard.events_seen ? number(shard.rolling[view.metric] ?? null) : "–");
  put(generation, shard.generation);
  put(drifts, whole(shard.drifts));
  put(lag, shard.lag_records === null ? "–" : whole(shard.lag_records));
  lag.classList.toggle("bad", shard.lag_s > 300);
  put(waiting, whole(shard.pending));
  put(dead, whole(shard.dead));
  put(what, under(shard));
  what.classList.toggle("nothing", !under(shard));
  const { t, metrics } = view.past.of(shard.place);
  const [from, to] = window_();
  spark(course.firstChild, t.filter((at) => at >= from), (metrics[view.metric] ?? []).filter((_, place) => t[place] >= from), from, to);
}
