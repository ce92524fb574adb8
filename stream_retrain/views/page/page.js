// The page: what the worker says each second, drawn. Nodes are made once and changed in place, so that the focus stays where it is.

import { Card } from "./card.js";
import { MARKS, clock, kindOf, svg, symbol } from "./chart.js";
import { byId, el, fill, plural, put, span, whole } from "./dom.js";
import { follow } from "./link.js";
import { drawModels } from "./models.js";
import { table } from "./shards.js";
import { speak } from "./speech.js";
import { view, window_ } from "./view.js";

const CARDS_AT_FIRST = 3, DECISIONS = 15;
const cards = new Map();
const chosen = new Set();
const told = new Set();
let choiceMade = false, all = false;

function tell() {
  const first = told.size === 0;
  for (const each of view.now.recent) {
    if (told.has(each.key)) continue;
    told.add(each.key);
    const kind = kindOf(each);
    if (!first && each.at_s !== null && ["drift.detected", "promotion", "model.reset"].includes(kind)) {
      speak(`${each.partition}`, `Partition ${each.partition}: ${each.text}.`);
    }
  }
  told.add("");
  if (told.size > 2000 + 4 * view.now.recent.length) [...told].slice(1, 1000).forEach((key) => told.delete(key));
}

// --- drawing

function draw() {
  tell();
  put(byId("pipeline"), view.now.pipeline ?? "No worker answers");
  document.title = `${view.now.ready ? "" : "! "}${view.now.pipeline ?? "no worker"} · stream_retrain`;
  const state = byId("state");
  put(state, view.now.ready ? "✓ ready" : view.now.several ? "! not ready" : `! ${view.now.state}, not ready`);
  state.className = `badge ${view.now.ready ? "good" : "bad"}`;
  const why = [...view.now.missing, ...view.now.details].join(" · ");
  byId("why").hidden = !why;
  put(byId("why"), why);
  put(byId("about"), `${view.now.instance} · stream_retrain ${view.now.version} · up for ${span(view.now.uptime_s)}`);
  tiles();
  workers();
  chooseMetric();
  table(chosen, choose);
  drawCards();
  drawModels();
  decisions();
  document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn ?? 0) + 1;
}

const tileNodes = new Map();

function tile(name, value, note = "", bad = false) {
  if (!tileNodes.has(name)) {
    const dd = el("dd"), small = el("small"), text = document.createTextNode("");
    dd.append(text, small);
    const box = el("div", {}, el("dt", {}, name), dd);
    byId("now").append(box);
    tileNodes.set(name, { box, text, small });
  }
  const { box, text, small } = tileNodes.get(name);
  if (text.data !== String(value)) text.data = value;
  put(small, note);
  box.className = bad ? "bad" : "";
}

let rate = null, rateFrom = null;

function tiles() {
  if (rateFrom && view.now.at_s > rateFrom[0] + 0.5) rate = view.now.records >= rateFrom[1] ? (view.now.records - rateFrom[1]) / (view.now.at_s - rateFrom[0]) : null;
  rateFrom = [view.now.at_s, view.now.records];
  const owned = new Set(view.now.shards.map((each) => each.partition)).size;
  tile("Partitions", view.now.partitions === null ? whole(owned) : `${owned} of ${view.now.partitions}`, view.now.unowned ? `${view.now.unowned} nobody has` : "held here", view.now.unowned > 0);
  tile("Records a second", rate === null ? "–" : whole(rate), `${whole(view.now.records)} since the start`);
  tile("Lag", view.now.lag === null ? "–" : plural(view.now.lag, "record"), view.now.lag_s === null ? "" : `${span(view.now.lag_s)} late`, view.now.lag_s > 300);
  tile("Waiting for labels", whole(view.now.waiting), `${whole(view.now.unmatched)} found none`);
  tile("Dead letters", whole(view.now.dead), "since the start", false);
  tile("Drifts", whole(view.now.drifts), view.now.duels ? `${plural(view.now.duels, "duel")} under way` : "no duel under way");
  tile("Training", view.now.trainings ? `${view.now.trainings} under way` : "none", "");
  tile("Committed", view.now.commitAge_s === null ? "–" : `${span(view.now.commitAge_s)} ago`, "");
  tile("Checkpoint", view.now.checkpointAge_s === null ? "none yet" : `${span(view.now.checkpointAge_s)} ago`, "the oldest of a shard");
  const away = view.now.stores.includes("away");
  tile("Redis", away ? "away" : view.now.stores.every((each) => each === "answers") && view.now.stores.length ? "answers" : "not known", "", away);
}

function workers() {
  byId("workers-section").hidden = !view.now.several;
  if (!view.now.several) return;
  fill(byId("workers"), [["Worker", "text"], ["State", "text"], ["Partitions", ""], ["Lag", ""], ["Redis", "text"], ["Up for", ""]],
    view.now.workers.map(({ name, status }) => [
      name,
      status ? `${status.state}${status.ready ? "" : ", not ready"}` : "! does not answer",
      status ? Object.keys(status.shards).length : "–",
      status ? whole(Object.values(status.shards).reduce((all, each) => all + (each.lag_records ?? 0), 0)) : "–",
      status?.store ?? "–",
      status ? span(status.uptime_s) : "–",
    ]));
}

function chooseMetric() {
  const names = view.now.metrics.length ? view.now.metrics.map((each) => each.name) : [...new Set(view.now.shards.flatMap((each) => Object.keys(each.rolling)))];
  const select = byId("metric");
  if ([...select.options].map((each) => each.value).join() === names.join()) return;
  select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  if (names.includes(view.metric)) select.value = view.metric;
  view.metric = select.value || null;
}

function choose(place) {
  choiceMade = true;
  if (!chosen.delete(place)) chosen.add(place);
  table(chosen, choose);
  drawCards();
}

function drawCards() {
  if (!choiceMade) {
    const busy = view.now.shards.filter((each) => each.duel);
    const wanted = view.now.shards.length <= CARDS_AT_FIRST ? view.now.shards : [...busy, ...view.now.shards].slice(0, 1);
    if (!chosen.size || view.now.shards.every((each) => !chosen.has(each.place))) wanted.forEach((each) => chosen.add(each.place));
  }
  for (const [place, card] of cards) {
    if (chosen.has(place) && view.now.shards.some((each) => each.place === place)) continue;
    card.box.remove();
    cards.delete(place);
  }
  view.now.shards.filter((each) => chosen.has(each.place)).forEach((shard, at) => {
    if (!cards.has(shard.place)) cards.set(shard.place, new Card(shard, chosen.size === 1));
    const card = cards.get(shard.place), box = byId("cards");
    if (box.children[at] !== card.box) box.insertBefore(card.box, box.children[at] ?? null);
    card.draw(shard);
  });
  legend();
}

function legend() {
  const [from] = window_();
  const kinds = new Set([...cards.keys()].flatMap((place) => view.past.of(place).marks.filter((mark) => mark.at_s >= from).map(kindOf)));
  const wanted = Object.keys(MARKS).filter((kind) => kinds.has(kind));
  const list = byId("legend");
  list.hidden = !wanted.length;
  if (list.dataset.kinds === wanted.join()) return;
  list.dataset.kinds = wanted.join();
  list.replaceChildren(...wanted.map((kind) => el("li", {}, svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, symbol(kind, 0, 0)), MARKS[kind].name)));
  if (wanted.includes("duel.started")) list.append(el("li", {}, svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, svg("rect", { class: "during", width: 14, height: 14 })), "duel under way"));
}

function decisions() {
  const lines = all ? view.now.recent : view.now.recent.slice(0, DECISIONS);
  const words = (each) => (each.times > 1 ? `${each.text} (${whole(each.times)} times)` : each.text);
  fill(byId("decisions"), [["Time", "text short"], ["Partition", ""], ["Offset", ""], ["What was decided", "text what"], ["Kind", "text short"]],
    lines.length ? lines.map((each) => [each.at_s === null ? "before" : clock(each.at_s), each.partition, whole(each.offset), words(each), each.kind]) : [["–", "", "", "nothing yet", ""]]);
  byId("more").hidden = view.now.recent.length <= DECISIONS;
  put(byId("more"), all ? "Show fewer" : `Show all ${view.now.recent.length}`);
}

// --- the reader's choices

byId("metric").addEventListener("change", (event) => { view.metric = event.target.value; draw(); });
byId("span").addEventListener("change", () => draw());
byId("more").addEventListener("click", () => { all = !all; decisions(); });
byId("filter").addEventListener("input", () => table(chosen, choose));
new ResizeObserver(() => view.now && draw()).observe(document.body);

await follow(draw);
