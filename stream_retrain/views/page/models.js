// The versions of models: which one served each shard when, and what is known of each.

import { clock, svg } from "./chart.js";
import { byId, el, plural, put, whole } from "./dom.js";
import { WAYS, axis, line, wayMark, wayOf } from "./timeline.js";
import { began, came, copy, details, eventsOf, quality, until, why } from "./version.js";
import { view } from "./view.js";

const SHARDS_AT_FIRST = 12, ROWS_AT_FIRST = 12, ROWS_MORE = 50;
const COLUMNS = [["Version", "text"], ["How it came", "text"], ["From", "text short"], ["Until", "text"], ["Why, and who asked", "text"], ["Quality", "text"], ["Events", ""], ["Copy", "short"]];
const lines = new Map(), rows = new Map(), opened = new Set();
let allShards = false, rowsShown = ROWS_AT_FIRST, seen = null, shards = [], readAt = null;

const keyOf = (version) => `${version.partition}/${version.id}`;
const now_s = () => view.now.at_s;

// What the worker said last, in the page's order: each shard's versions by id, and its generations as spans of time.
function taken() {
  if (seen === view.models) return;
  seen = view.models;
  shards = Object.entries(seen?.shards ?? {}).map(([partition, versions]) => ({
    partition: Number(partition), versions, known: new Map(versions.map((each) => [each.id, each])),
    total: seen.known[partition] ?? versions.length, unwritten: seen.unwritten[partition] ?? 0,
    served: versions.filter((each) => each.generation !== null && each.began && each.began.wall_s !== null),
  })).sort((one, other) => one.partition - other.partition);
  const select = byId("models-of"), wanted = ["all", ...shards.map((each) => `${each.partition}`)], before = select.value;
  if ([...select.options].map((each) => each.value).join() !== wanted.join()) {
    select.replaceChildren(...wanted.map((each) => el("option", { value: each }, each === "all" ? "all" : each)));
    if (wanted.includes(before)) select.value = before;
  }
}

export function drawModels() {
  taken();
  const wanted = byId("models-of").value || "all", kind = byId("models-kind").value;
  const chosen = shards.filter((each) => wanted === "all" || `${each.partition}` === wanted);
  byId("models-of-label").hidden = shards.length < 2;
  const versions = chosen.flatMap((shard) => shard.versions.map((each, place) => ({ version: each, shard, place })))
    .filter(({ version }) => kind === "all" || (version.generation !== null) === (kind === "served"))
    .sort((one, other) => (other.version.began?.wall_s ?? 0) - (one.version.began?.wall_s ?? 0) || other.place - one.place);
  notes(chosen, versions);
  byId("models-body").hidden = byId("models-controls").hidden = !shards.length;
  if (!shards.length) return;
  timelines(chosen);
  table(versions);
}

function notes(chosen, versions) {
  const none = byId("models-none");
  none.hidden = versions.length > 0 && !view.modelsLost;
  put(none, view.models === null ? (view.modelsLost ? "The worker has not told its versions. It is asked again." : "The worker is asked for its versions.")
    : !view.now.shards.length ? "This worker has no partition now, so it serves no model."
      : !shards.length ? "No version is known yet: the versions of a shard are read when it is opened."
        : versions.length ? `The worker has told nothing of its versions since ${clock(seen.stamp / 1000)}. It is asked again.`
        : "No version of this kind is known.");
  const unwritten = chosen.reduce((all, each) => all + each.unwritten, 0), away = view.now.stores.includes("away") && shards.length > 0;
  byId("models-unwritten").hidden = !away;
  put(byId("models-unwritten"), away ? `Redis is away. What is shown is what this worker knows; ${unwritten ? `${plural(unwritten, "version")} of it ${unwritten === 1 ? "is" : "are"} not written down yet, and will be when it is back.` : "all of it is written down."}` : "");
  const cut = chosen.filter((each) => each.versions.length < each.total);
  const most = view.models?.versions_max;
  put(byId("models-cut"), cut.length === 0 ? "" : cut.length === 1
    ? `Of the ${whole(cut[0].total)} versions of partition ${cut[0].partition} the newest ${whole(most)} are here, and those with an alias. stream-retrain models list has all.`
    : `Of ${plural(cut.length, "partition")} only the newest ${whole(most)} versions are here, and those with an alias. stream-retrain models list has all.`);
}

// --- which model served when

function range(chosen) {
  const wanted = Number(byId("models-span").value), first = Math.min(now_s() - 60, ...chosen.flatMap((each) => each.served.slice(0, 1).map((one) => one.began.wall_s)));
  return [wanted ? Math.max(first, now_s() - wanted) : first, now_s()];
}

function spans(shard) {
  return shard.served.map((version, place) => [version, version.began.wall_s, version.ended?.wall_s ?? shard.served[place + 1]?.began.wall_s ?? now_s()]);
}

function timelines(chosen) {
  const [from, to] = range(chosen), shown = allShards ? chosen : chosen.slice(0, SHARDS_AT_FIRST), box = byId("served");
  for (const [partition, one] of lines) {
    if (shown.some((each) => each.partition === partition)) continue;
    one.box.remove();
    lines.delete(partition);
  }
  shown.forEach((shard, place) => {
    if (!lines.has(shard.partition)) lines.set(shard.partition, made(shard.partition));
    const one = lines.get(shard.partition);
    if (box.children[place] !== one.box) box.insertBefore(one.box, box.children[place] ?? null);
  });
  const width = Math.max(120, lines.values().next().value?.svg.parentNode.clientWidth || 700);
  const asked = [width, Math.round(from / ((to - from) / width)), Math.round(to / ((to - from) / width)), shown.length].join();
  for (const shard of shown) drawLine(lines.get(shard.partition), shard, { width, from, to, asked });
  axis(byId("served-axis"), { width, from, to });
  byId("served-more").hidden = chosen.length <= SHARDS_AT_FIRST;
  put(byId("served-more"), allShards ? `Show the first ${SHARDS_AT_FIRST} partitions` : `Show all ${chosen.length} partitions`);
  legend(shown);
}

function made(partition) {
  const picture = svg("svg", { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0, "aria-label": `Generations of partition ${partition}; arrow keys read them, Enter shows one` });
  const name = el("span", { class: "of" }), serves = el("span", { class: "serves" });
  const one = { box: el("li", {}, el("div", { class: "told" }, name, serves), el("div", { class: "line" }, picture)), svg: picture, name, serves, key: "" };
  put(name, `Partition ${partition}`);
  picture.addEventListener("keydown", (event) => moved(event, partition));
  picture.addEventListener("focus", () => read(partition, null));
  picture.addEventListener("blur", () => { readAt = null; put(byId("served-read"), ""); drawModels(); });
  picture.addEventListener("pointermove", (event) => hover(event, partition));
  picture.addEventListener("pointerleave", () => { if (document.activeElement !== picture) { readAt = null; put(byId("served-read"), ""); drawModels(); } });
  picture.addEventListener("click", (event) => { const id = event.target.closest("[data-id]")?.dataset.id; if (id) reveal(partition, id); });
  return one;
}

function drawLine(one, shard, { width, from, to, asked }) {
  const serving = shard.versions.find((each) => each.serves), chosen = readAt?.partition === shard.partition ? readAt.id : null;
  put(one.serves, serving ? `${serving.id}, ${came(serving)}` : "nothing is known to serve");
  const key = [asked, chosen, seen.stamp].join();
  if (one.key === key) return;
  one.key = key;
  line(one.svg, { width, from, to, spans: spans(shard), chosen });
  one.svg.setAttribute("aria-valuemax", Math.max(0, shard.served.length - 1));
  if (chosen === null) {
    one.svg.setAttribute("aria-valuenow", Math.max(0, shard.served.length - 1));
    one.svg.setAttribute("aria-valuetext", serving ? words(serving) : "no generation is known");
  }
}

const words = (version) => `${version.id}: ${came(version)}${why(version) ? ` (${why(version)})` : ""}, from ${began(version) || "an unknown time"}, ${version.serves ? "serves now" : `until ${until(version)}`}${quality(version) ? `, ${quality(version)}` : ""}`;

function read(partition, id) {
  const shard = shards.find((each) => each.partition === partition), place = id === null ? shard.served.length - 1 : shard.served.findIndex((each) => each.id === id);
  const version = shard.served[place], picture = lines.get(partition)?.svg;
  if (!version || !picture) return;
  readAt = { partition, id: version.id };
  put(byId("served-read"), `Partition ${partition}, ${words(version)}`);
  picture.setAttribute("aria-valuenow", place);
  picture.setAttribute("aria-valuetext", words(version));
  drawModels();
}

function hover(event, partition) {
  const id = event.target.closest("[data-id]")?.dataset.id;
  if (id && (readAt?.partition !== partition || readAt.id !== id)) read(partition, id);
}

function moved(event, partition) {
  const shard = shards.find((each) => each.partition === partition), last = shard.served.length - 1;
  const place = readAt?.partition === partition ? shard.served.findIndex((each) => each.id === readAt.id) : last;
  const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last, PageUp: place + 10, PageDown: place - 10 };
  if (event.key === "Enter" && shard.served[place]) {
    event.preventDefault();
    reveal(partition, shard.served[place].id);
  }
  if (!(event.key in moves) || last < 0) return;
  event.preventDefault();
  read(partition, shard.served[Math.min(last, Math.max(0, moves[event.key]))].id);
}

// Open the row of a version, whatever the table shows now, and go there.
function reveal(partition, id) {
  opened.add(`${partition}/${id}`);
  byId("models-kind").value = "all";
  drawModels();
  const button = rows.get(`${partition}/${id}`)?.button;
  button?.focus();
  button?.scrollIntoView({ block: "center" });
}

function legend(shown) {
  const ways = new Set(shown.flatMap((each) => each.served.map(wayOf))), wanted = Object.keys(WAYS).filter((way) => ways.has(way)), list = byId("served-legend");
  list.hidden = !wanted.length;
  if (list.dataset.kinds === wanted.join()) return;
  list.dataset.kinds = wanted.join();
  list.replaceChildren(...wanted.map((way) => el("li", {}, svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, wayMark(way, 0, 0)), WAYS[way].name)));
}

// --- what is known of each

function table(versions) {
  const box = byId("versions");
  if (!box.tHead) {
    const cells = COLUMNS.map(([name, look]) => el("th", { scope: "col", role: "columnheader", class: look }, name));
    box.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...cells)), el("tbody", { role: "rowgroup" }));
  }
  const shown = versions.filter(({ version }, place) => place < rowsShown || opened.has(keyOf(version)));
  const wanted = new Set(shown.map(({ version }) => keyOf(version))), body = box.tBodies[0];
  for (const [key, one] of rows) {
    if (wanted.has(key)) continue;
    one.row.remove();
    one.more.remove();
    rows.delete(key);
  }
  let place = 0;
  for (const { version, shard } of shown) {
    const key = keyOf(version), one = rows.get(key) ?? madeRow(key);
    for (const row of [one.row, one.more]) {
      if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
      place += 1;
    }
    update(one, version, shard, key);
  }
  byId("versions-more").dataset.of = versions.length;
  byId("versions-more").hidden = versions.length <= ROWS_AT_FIRST;
  const left = versions.length - rowsShown;
  put(byId("versions-more"), left > 0 ? `Show ${Math.min(ROWS_MORE, left)} more of ${whole(versions.length)}` : `Show the newest ${ROWS_AT_FIRST}`);
}

function madeRow(key) {
  const button = el("button", { type: "button", class: "open" }), aliases = el("span", { class: "aliases" }), id = `version-${key.replace("/", "-")}`;
  const cells = COLUMNS.slice(1).map(([name, look]) => el("td", { role: "cell", class: look, "data-label": name }));
  const cell = el("td", { role: "cell", colspan: COLUMNS.length });
  const one = { button, aliases, row: el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader", class: "text" }, button, " ", aliases), ...cells), more: el("tr", { role: "row", class: "more", id, hidden: "" }, cell), cell, told: null };
  button.setAttribute("aria-controls", id);
  button.addEventListener("click", () => {
    if (!opened.delete(key)) opened.add(key);
    drawModels();
  });
  rows.set(key, one);
  return one;
}

function update(one, version, shard, key) {
  const open = opened.has(key), [, how, from, to, reason, good, events, kept] = one.row.cells;
  put(one.button, version.id);
  one.button.setAttribute("aria-expanded", open);
  one.button.setAttribute("aria-label", `Version ${version.id}, details`);
  put(one.aliases, version.aliases.join(", "));
  put(how, came(version));
  put(from, began(version));
  put(to, until(version));
  put(reason, why(version));
  put(good, quality(version));
  put(events, version.generation !== null || eventsOf(version) ? whole(eventsOf(version)) : "");
  put(kept, copy(version));
  one.row.classList.toggle("champion", version.serves);
  one.more.hidden = !open;
  const told = open ? [seen.stamp, view.metric].join() : null;
  if (open && one.told !== told) one.cell.replaceChildren(details(version, shard.known));
  one.told = told;
}

byId("models-of").addEventListener("change", () => drawModels());
byId("models-kind").addEventListener("change", () => drawModels());
byId("models-span").addEventListener("change", () => drawModels());
byId("served-more").addEventListener("click", () => { allShards = !allShards; drawModels(); });
byId("versions-more").addEventListener("click", () => {
  const there = Number(byId("versions-more").dataset.of);
  rowsShown = rowsShown < there ? rowsShown + ROWS_MORE : ROWS_AT_FIRST;
  drawModels();
});
