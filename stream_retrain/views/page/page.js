// The page: what the worker says each second, drawn. Nodes are made once and changed in place, so that the focus stays where it is.

import { MARKS, clock, evidenceChart, kindOf, number, scoreChart, spark, svg, symbol } from "./chart.js";
import { Past, combined } from "./model.js";

const POLL_MS = 3000, SILENT_MS = 5000, SPEAK_EVERY_MS = 10000, CARDS_AT_FIRST = 3, DECISIONS = 15;
const here = location.origin + location.pathname.replace(/[^/]*$/, "");
const byId = (id) => document.getElementById(id);
const past = new Past();
const cards = new Map();
const rows = new Map();
const chosen = new Set();
let now = null, metric = null, sorted = ["partition", 1], choiceMade = false, all = false, heard = 0, firstLost = null, identity = null;

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 3) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

const evidence = (value) => (value >= 1e6 ? "over a million" : value >= 100 ? whole(value) : number(value, 2));
const ago = (at_s) => (at_s === null || at_s === undefined ? "at a time nobody noted" : `${span(Math.max(0, now.at_s - at_s))} ago`);
const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;

// --- the connection

async function loadPast() {
  try {
    const answer = await fetch(`${here}history`, { cache: "no-store" });
    if (answer.ok) past.load(await answer.json());
  } catch { /* the events say whether somebody is there */ }
}

let source = null, pollTimer = null;

function connect() {
  source = new EventSource(`${here}events`);
  source.addEventListener("status", (event) => received(JSON.parse(event.data), "live"));
  source.onerror = () => {
    lost();
    if (source.readyState !== EventSource.CLOSED) return;
    source = null;
    poll(0);
  };
}

// Where there is no place for another stream, or the browser gives up: ask now and then, and try a stream again every few times.
async function poll(times) {
  clearTimeout(pollTimer);
  try {
    const answer = await fetch(`${here}status`, { cache: "no-store", signal: AbortSignal.timeout(POLL_MS * 2) });
    if (answer.status === 401) throw new Error("token");
    if (answer.ok) received(await answer.json(), "asking every 3 s");
  } catch (error) {
    lost(error.message === "token");
  }
  if (times % 5 === 4) connect();
  else pollTimer = setTimeout(poll, POLL_MS, times + 1);
}

function lost(token = false) {
  if (firstLost === null && heard) firstLost = heard;
  document.body.classList.add("lost");
  const since = firstLost === null ? "" : ` since ${clock(firstLost / 1000)}`;
  byId("lost").hidden = false;
  put(byId("lost"), token ? "The worker asks for a token: load the page again." : heard
    ? `The connection to the worker is lost${since}. What is shown is how it stood then. It is tried again until it answers.`
    : "The worker does not answer. It is tried again until it does.");
  put(byId("link"), `no connection${since}`);
  speak("lost", `The connection to the worker is lost${since}.`);
}

async function received(found, how) {
  const before = firstLost;
  heard = Date.now();
  firstLost = null;
  document.body.classList.remove("lost");
  byId("lost").hidden = true;
  const next = combined(found);
  if (before !== null) speak("back", "The worker answers again.");
  const other = identity !== null && identity !== next.identity;
  identity = next.identity;
  if (before !== null || other) await loadPast();
  now = next;
  past.add(now);
  put(byId("link"), how === "live" ? "live, once a second" : how);
  tell();
  draw();
}

setInterval(() => { if (heard && Date.now() - heard > SILENT_MS) lost(); }, 1000);

// --- what is said aloud: only what happened, and at most every few seconds

let spokenAt = 0, speechTimer = null;
const toSpeak = new Map(), told = new Set();

function speak(key, text) {
  if (toSpeak.get(key) === text) return;
  toSpeak.set(key, text);
  clearTimeout(speechTimer);
  speechTimer = setTimeout(() => {
    spokenAt = Date.now();
    put(byId("spoken"), [...toSpeak.values()].slice(-3).join(" "));
    toSpeak.clear();
  }, Math.max(300, spokenAt + SPEAK_EVERY_MS - Date.now()));
}

function tell() {
  const first = told.size === 0;
  for (const each of now.recent) {
    if (told.has(each.key)) continue;
    told.add(each.key);
    const kind = kindOf(each);
    if (!first && each.at_s !== null && ["drift.detected", "promotion", "model.reset"].includes(kind)) {
      speak(`${each.partition}`, `Partition ${each.partition}: ${each.text}.`);
    }
  }
  told.add("");
  if (told.size > 2000) [...told].slice(1, 1000).forEach((key) => told.delete(key));
}

// --- drawing

function draw() {
  put(byId("pipeline"), now.pipeline ?? "No worker answers");
  document.title = `${now.ready ? "" : "! "}${now.pipeline ?? "no worker"} · stream_retrain`;
  const state = byId("state");
  put(state, now.ready ? "✓ ready" : `! ${now.state}, not ready`);
  state.className = `badge ${now.ready ? "good" : "bad"}`;
  const why = [...now.missing, ...now.details].join(" · ");
  byId("why").hidden = !why;
  put(byId("why"), why);
  put(byId("about"), `${now.instance} · stream_retrain ${now.version} · up for ${span(now.uptime_s)}`);
  tiles();
  workers();
  chooseMetric();
  table();
  drawCards();
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
  if (rateFrom && now.at_s > rateFrom[0] + 0.5) rate = now.records >= rateFrom[1] ? (now.records - rateFrom[1]) / (now.at_s - rateFrom[0]) : null;
  rateFrom = [now.at_s, now.records];
  const owned = new Set(now.shards.map((each) => each.partition)).size;
  tile("Partitions", now.partitions === null ? whole(owned) : `${owned} of ${now.partitions}`, now.unowned ? `${now.unowned} nobody has` : "held here", now.unowned > 0);
  tile("Records a second", rate === null ? "–" : whole(rate), `${whole(now.records)} since the start`);
  tile("Lag", now.lag === null ? "–" : plural(now.lag, "record"), now.lag_s === null ? "" : `${span(now.lag_s)} late`, now.lag_s > 300);
  tile("Waiting for labels", whole(now.waiting), `${whole(now.unmatched)} found none`);
  tile("Dead letters", whole(now.dead), "since the start", false);
  tile("Drifts", whole(now.drifts), now.duels ? `${plural(now.duels, "duel")} under way` : "no duel under way");
  tile("Training", now.trainings ? `${now.trainings} under way` : "none", "");
  tile("Committed", now.commitAge_s === null ? "–" : `${span(now.commitAge_s)} ago`, "");
  tile("Checkpoint", now.checkpointAge_s === null ? "none yet" : `${span(now.checkpointAge_s)} ago`, "the oldest of a shard");
  const away = now.stores.includes("away");
  tile("Redis", away ? "away" : now.stores.every((each) => each === "answers") && now.stores.length ? "answers" : "not known", "", away);
}

function workers() {
  byId("workers-section").hidden = !now.several;
  if (!now.several) return;
  fill(byId("workers"), [["Worker", "text"], ["State", "text"], ["Partitions", ""], ["Lag", ""], ["Redis", "text"], ["Up for", ""]],
    now.workers.map(({ name, status }) => [
      name,
      status ? `${status.state}${status.ready ? "" : ", not ready"}` : "! does not answer",
      status ? Object.keys(status.shards).length : "–",
      status ? whole(Object.values(status.shards).reduce((all, each) => all + (each.lag_records ?? 0), 0)) : "–",
      status?.store ?? "–",
      status ? span(status.uptime_s) : "–",
    ]));
}

// A plain table: made once, its cells changed in place. The first cell of a row is its heading.
function fill(table, columns, lines) {
  if (!table.tHead) {
    const cells = columns.map(([name, look]) => el("th", { scope: "col", role: "columnheader", class: look }, name));
    table.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...cells)), el("tbody", { role: "rowgroup" }));
  }
  const body = table.tBodies[0];
  while (body.rows.length > lines.length) body.lastChild.remove();
  lines.forEach((line, place) => {
    const row = body.rows[place] ?? body.appendChild(el("tr", { role: "row" }));
    line.forEach((value, at) => {
      const head = at === 0;
      const cell = row.cells[at] ?? row.appendChild(head
        ? el("th", { scope: "row", role: "rowheader", class: columns[at][1] })
        : el("td", { role: "cell", class: columns[at][1], "data-label": columns[at][0] }));
      put(cell, value);
    });
  });
}

function chooseMetric() {
  const names = now.metrics.length ? now.metrics.map((each) => each.name) : [...new Set(now.shards.flatMap((each) => Object.keys(each.rolling)))];
  const select = byId("metric");
  if ([...select.options].map((each) => each.value).join() === names.join()) return;
  select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  if (names.includes(metric)) select.value = metric;
  metric = select.value || null;
}

const COLUMNS = [
  ["partition", "Partition", (each) => each.partition],
  ["state", "State", (each) => each.state, "text"],
  ["score", "Score", (each) => each.rolling[metric] ?? null],
  ["spark", "", null],
  ["generation", "Generation", (each) => each.generation],
  ["drifts", "Drifts", (each) => each.drifts],
  ["lag", "Lag", (each) => each.lag_records],
  ["waiting", "Waiting", (each) => each.pending],
  ["dead", "Dead letters", (each) => each.dead],
  ["under", "Under way", (each) => under(each), "text"],
];

function under(shard) {
  const parts = [];
  if (shard.duel) parts.push(`duel ${shard.duel.number}`);
  if (shard.training?.state === "under way") parts.push(`training ${shard.training.number}`);
  return parts.join(", ");
}

function table() {
  const shards = byId("shards");
  if (!shards.tHead) {
    const cells = COLUMNS.map(([key, name, value, look]) => {
      const cell = el("th", { scope: "col", role: "columnheader", class: look ?? "", "data-key": key });
      if (value === null) cell.append(el("span", { class: "unseen" }, "Course"));
      else {
        const button = el("button", { type: "button" }, name);
        button.addEventListener("click", () => {
          sorted = [key, sorted[0] === key ? -sorted[1] : ["partition", "state"].includes(key) ? 1 : -1];
          table();
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
    const row = rows.get(shard.place) ?? made(shard);
    if (body.rows[place] !== row) body.insertBefore(row, body.rows[place] ?? null);
    update(row, shard);
  });
  byId("filter-label").hidden = now.shards.length < 5;
  byId("none").hidden = wanted.length > 0;
  put(byId("none"), now.shards.length ? "No shard fits what is asked for." : "This worker has no partition now.");
}

function shown() {
  const words = byId("filter").value.trim().toLowerCase();
  if (!words || now.shards.length < 5) return now.shards;
  return now.shards.filter((each) => `${each.partition}` === words || `${each.place} ${each.state} ${under(each)}`.toLowerCase().includes(words));
}

function made(shard) {
  const button = el("button", { type: "button", class: "open" });
  button.addEventListener("click", () => {
    choiceMade = true;
    if (!chosen.delete(shard.place)) chosen.add(shard.place);
    table();
    drawCards();
  });
  const cells = COLUMNS.slice(1).map(([, name, , look]) => el("td", { role: "cell", class: look ?? "", ...(name ? { "data-label": name } : {}) }));
  const row = el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, button), ...cells);
  cells[2].append(svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none" }));
  rows.set(shard.place, row);
  return row;
}

function update(row, shard) {
  const [head, state, score, course, generation, drifts, lag, waiting, dead, what] = row.cells;
  const button = head.firstChild;
  put(button, shard.partition);
  button.setAttribute("aria-pressed", chosen.has(shard.place));
  button.setAttribute("aria-label", `Partition ${shard.partition}, details`);
  put(state, shard.state);
  put(score, shard.events_seen ? number(shard.rolling[metric] ?? null) : "–");
  put(generation, shard.generation);
  put(drifts, whole(shard.drifts));
  put(lag, shard.lag_records === null ? "–" : whole(shard.lag_records));
  lag.classList.toggle("bad", shard.lag_s > 300);
  put(waiting, whole(shard.pending));
  put(dead, whole(shard.dead));
  put(what, under(shard));
  what.classList.toggle("nothing", !under(shard));
  const { t, metrics } = past.of(shard.place);
  const [from, to] = window_();
  spark(course.firstChild, t.filter((at) => at >= from), (metrics[metric] ?? []).filter((_, place) => t[place] >= from), from, to);
}

// What the charts span: not more than there is to see.
function window_() {
  const wanted = Number(byId("span").value);
  const begins = Math.min(...now.shards.map((each) => past.of(each.place).t[0] ?? now.at_s), now.at_s - 30);
  return [Math.max(now.at_s - wanted, begins), now.at_s];
}

function drawCards() {
  if (!choiceMade) {
    const busy = now.shards.filter((each) => each.duel);
    const wanted = now.shards.length <= CARDS_AT_FIRST ? now.shards : [...busy, ...now.shards].slice(0, 1);
    if (!chosen.size || now.shards.every((each) => !chosen.has(each.place))) wanted.forEach((each) => chosen.add(each.place));
  }
  for (const [place, card] of cards) {
    if (chosen.has(place) && now.shards.some((each) => each.place === place)) continue;
    card.box.remove();
    cards.delete(place);
  }
  now.shards.filter((each) => chosen.has(each.place)).forEach((shard, at) => {
    if (!cards.has(shard.place)) cards.set(shard.place, new Card(shard));
    const card = cards.get(shard.place), box = byId("cards");
    if (box.children[at] !== card.box) box.insertBefore(card.box, box.children[at] ?? null);
    card.draw(shard);
  });
  legend();
}

function legend() {
  const [from] = window_();
  const kinds = new Set([...cards.keys()].flatMap((place) => past.of(place).marks.filter((mark) => mark.at_s >= from).map(kindOf)));
  const wanted = Object.keys(MARKS).filter((kind) => kinds.has(kind));
  const list = byId("legend");
  list.hidden = !wanted.length;
  if (list.dataset.kinds === wanted.join()) return;
  list.dataset.kinds = wanted.join();
  list.replaceChildren(...wanted.map((kind) => el("li", {}, svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, symbol(kind, 0, 0)), MARKS[kind].name)));
  if (wanted.includes("duel.started")) list.append(el("li", {}, svg("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, svg("rect", { class: "during", width: 14, height: 14 })), "duel under way"));
}

// --- one shard in full

class Card {
  constructor(shard) {
    const id = `card-${shard.partition}`;
    this.svg = svg("svg", { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-describedby": `${id}-told`, class: "chart" });
    this.told = el("figcaption", { id: `${id}-told` });
    this.readout = el("p", { class: "readout" });
    this.state = el("p", { class: "quiet" });
    this.title = el("h3", { id });
    this.facts = el("dl", { class: "facts" });
    this.race = el("div", { class: "race", hidden: "" });
    this.evidence = svg("svg", { role: "img" });
    this.raceTitle = el("h4");
    this.raceTable = el("table");
    this.raceTold = el("p", { class: "quiet" });
    this.race.append(this.raceTitle, this.evidence, this.raceTable, this.raceTold);
    this.watchTable = el("table");
    this.watches = el("div", {}, el("h4", {}, "Detectors"), this.watchTable);
    this.members = el("div", { hidden: "" }, el("h4", {}, "Members of the model"), el("table"));
    this.values = el("table");
    const parts = el("div", { class: "parts" }, el("div", {}, el("h4", {}, "State"), this.facts), this.watches, this.members);
    this.parts = el("details", {}, el("summary", {}, "State and detectors"), parts);
    this.parts.open = chosen.size === 1;
    this.more = el("details", {}, el("summary", {}, "The chart as a table"), this.values);
    this.more.addEventListener("toggle", () => this.draw(this.shard));
    this.cursor = null;
    this.box = el("article", { class: "card", "aria-labelledby": id },
      el("div", { class: "heading" }, this.title, this.state, this.readout),
      el("figure", {}, this.svg, this.told), this.race, this.parts, this.more);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  draw(shard) {
    this.shard = shard;
    const { t, metrics, marks, duel } = past.of(shard.place);
    const [from, to] = window_();
    const kept = t.map((at, place) => place).filter((place) => t[place] >= from);
    this.times = kept.map((place) => t[place]);
    this.scores = kept.map((place) => metrics[metric]?.[place] ?? null);
    this.marks = marks.filter((mark) => mark.at_s >= from && MARKS[kindOf(mark)]);
    put(this.title, `Partition ${shard.partition}`);
    put(this.state, [`generation ${shard.generation}`, shard.state, now.several ? `worker ${shard.worker}` : "", under(shard)].filter(Boolean).join(" · "));
    this.drawn = scoreChart(this.svg, {
      width: Math.max(280, this.svg.parentNode.clientWidth || 700), height: innerWidth < 600 ? 150 : 165,
      times: this.times, values: this.scores, marks, from, to, duel: shard.duel,
    });
    this.svg.setAttribute("aria-label", `${metric} of partition ${shard.partition}, rolling; arrow keys read it`);
    if (document.activeElement !== this.svg) this.svg.setAttribute("aria-valuemax", Math.max(0, this.times.length - 1));
    put(this.told, this.words(shard, from, to));
    if (this.cursor !== null) this.read(this.times.findLastIndex((at) => at <= this.cursor), true);
    else if (document.activeElement !== this.svg) this.svg.setAttribute("aria-valuenow", Math.max(0, this.times.length - 1));
    this.duel(shard, duel);
    this.state_(shard);
    this.detectors(shard);
    this.membersOf(shard);
    if (this.more.open) this.asTable();
  }

  words(shard, from, to) {
    const known = this.scores.map((value, place) => [value, this.times[place]]).filter(([value]) => value !== null);
    if (!known.length) return shard.events_seen ? `No value of ${metric} in this time.` : "No label has come yet, so there is no score.";
    const better = now.metrics.find((each) => each.name === metric)?.bigger_is_better ?? true;
    const [worst, at] = known.reduce((all, each) => ((better ? each[0] < all[0] : each[0] > all[0]) ? each : all));
    const count = (kind) => this.marks.filter((mark) => kindOf(mark) === kind).length;
    const happened = [["drift.detected", "drift"], ["promotion", "promotion"], ["model.reset", "reset"]].map(([kind, word]) => [count(kind), word]).filter(([many]) => many);
    return `${metric}, rolling, is ${number(known.at(-1)[0])}; ${better ? "lowest" : "highest"} ${number(worst)} at ${clock(at)}. ` +
      `In ${span(to - from)}: ${happened.length ? happened.map(([many, word]) => plural(many, word)).join(", ") : "no drift and no change of the model"}.`;
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const at = this.drawn.at(((event.clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width);
    const place = this.times.findIndex((each) => each >= at);
    this.read(place < 0 ? this.times.length - 1 : place);
  }

  key(event) {
    const last = this.times.length - 1;
    const place = this.cursor === null ? last : this.times.findLastIndex((at) => at <= this.cursor);
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last, PageUp: place + 20, PageDown: place - 20 };
    if (event.key === "Escape") this.read(null);
    if (!(event.key in moves) || last < 0) return;
    event.preventDefault();
    this.read(Math.min(last, Math.max(0, moves[event.key])));
  }

  // The point under the cursor, in words; null takes the cursor away. Drawn again, it is not said again: a focused slider is read aloud.
  read(place, again = false) {
    this.svg.querySelector(".cursor")?.remove();
    if (place === null || place < 0 || this.times[place] === undefined) {
      this.cursor = null;
      put(this.readout, "");
      return;
    }
    this.cursor = this.times[place];
    const x = this.drawn.x(this.cursor);
    this.svg.append(svg("line", { class: "cursor", x1: x, x2: x, y1: this.drawn.top, y2: this.drawn.bottom }));
    const near = this.marks.filter((mark) => Math.abs(mark.at_s - this.cursor) <= Math.max(1, (this.times.at(-1) - this.times[0]) / 120)).map((mark) => mark.text);
    const words = `${clock(this.cursor)}: ${metric} ${number(this.scores[place])}${near.length ? ` · ${near.slice(-3).join(" · ")}` : ""}`;
    put(this.readout, words);
    if (again) return;
    this.svg.setAttribute("aria-valuemax", this.times.length - 1);
    this.svg.setAttribute("aria-valuenow", place);
    this.svg.setAttribute("aria-valuetext", words);
  }

  duel(shard, seen) {
    const duel = shard.duel;
    this.race.hidden = !duel && !shard.last_duel;
    if (!duel) {
      this.evidence.style.display = this.raceTable.style.display = "none";
      put(this.raceTitle, "Last duel");
      const last = shard.last_duel;
      const held = last?.held_by ? `; another had the lower loss, and its ${last.held_by} was worse` : "";
      put(this.raceTold, last ? `Duel ${last.number}, ${last.ended_at_s ? ago(last.ended_at_s) : "before this start"}: ${last.result} after ${plural(last.events, "event")}. ${last.result === "promoted" ? `${last.winner} is the champion` : "The champion stayed"}${held}.` : "");
      return;
    }
    put(this.raceTitle, `Duel ${duel.number}: who is better on the same events`);
    const others = duel.contestants.filter((each) => each.name !== duel.leader);
    const drawn = seen?.number === duel.number && seen.t.length > 1;
    this.evidence.style.display = drawn ? "" : "none";
    this.raceTable.style.display = "";
    if (drawn) {
      evidenceChart(this.evidence, {
        width: Math.max(240, this.evidence.getBoundingClientRect().width || 360), times: seen.t, reach: duel.passes_at,
        lines: others.filter((each) => seen.e[each.name]).map((each) => [each.name, seen.e[each.name]]),
      });
      this.evidence.setAttribute("aria-label", `Evidence over time; the table below has its values now. The line to reach is ${number(duel.passes_at, 1)}.`);
    }
    fill(this.raceTable, [["Contestant", "text"], ["Loss", ""], ["E-value", ""], ["Against", ""]],
      duel.contestants.map((each) => [`${each.name}${each.name === duel.leader ? ", serves" : ""}`, number(each.loss_mean), each.name === duel.leader ? "" : evidence(each.e_value), each.name === duel.leader ? "" : evidence(each.e_value_against)]));
    put(this.raceTold, `${plural(duel.events, "event")} so far. An e-value is the evidence that a contestant is better than the one that serves: 1 is none, ${number(duel.passes_at, 1)} (the dashed line) gives a lone challenger its place.`);
  }

  state_(shard) {
    const training = shard.training;
    const rowsOf = (each) => (each.rows_total ? `${whole(each.rows)} of ${plural(each.rows_total, "row")}` : plural(each.rows, "row"));
    const trainingTold = !training ? "none yet" : `${training.number}${training.challenger ? ` (${training.challenger})` : ""} ${training.state}` +
      (training.state === "under way" ? `, ${rowsOf(training)}` : training.ended_at_s ? `, ${ago(training.ended_at_s)}` : "") + (training.error ? `: ${training.error}` : "");
    const counts = (found) => Object.entries(found).map(([reason, count]) => `${reason.replaceAll("_", " ")} ${whole(count)}`).join(", ");
    const listed = [
      ["Learned", `${plural(shard.events_seen, "labelled event")}, at offset ${whole(shard.offset)}`],
      ["Lag", shard.lag_records === null ? "–" : `${plural(shard.lag_records, "record")}, ${span(shard.lag_s)}`],
      ["Waiting for labels", plural(shard.pending, "question")],
      ["Unmatched labels", counts(shard.unmatched) || "none"],
      ["Dead letters", counts(shard.dead_letters) || "none"],
      ["Training", trainingTold],
      ["Committed", shard.commit_age_s === null ? "nothing yet" : `${span(shard.commit_age_s)} ago${shard.uncommitted_records ? `, ${plural(shard.uncommitted_records, "record")} since` : ""}`],
      ["Checkpoint", shard.checkpoint_age_s === null ? "none yet" : `${span(shard.checkpoint_age_s)} ago, ${plural(shard.replay_debt, "record")} since`],
      ["Window", shard.window ? plural(shard.window.rows, "row") : "none"],
    ];
    if (this.facts.childElementCount === 0) listed.forEach(([name]) => this.facts.append(el("dt", {}, name), el("dd")));
    listed.forEach(([, value], place) => put(this.facts.children[place * 2 + 1], value));
  }

  detectors(shard) {
    this.watches.hidden = !shard.watches.length;
    fill(this.watchTable, [["Watch", "text"], ["Statistic", ""], ["Line", ""], ["Drifts", ""]], shard.watches.map((each) => [
      `${each.detector} on ${each.signal}${each.warning ? " (warning)" : ""}`,
      each.statistic === null ? (each.estimate === null ? "–" : `mean ${number(each.estimate)} of ${whole(each.width)}`) : number(each.statistic, 2),
      each.threshold === null ? "–" : number(each.threshold, 2),
      `${whole(each.drifts)}${each.last_drift_at_s ? `, ${ago(each.last_drift_at_s)}` : ""}`,
    ]));
  }

  membersOf(shard) {
    this.members.hidden = !shard.members;
    if (shard.members) fill(this.members.lastChild, [["Member", "text"], ["Share", ""]], Object.entries(shard.members).map(([name, weight]) => [name, `${(weight * 100).toFixed(1)} %`]));
  }

  asTable() {
    const every = Math.max(1, Math.ceil(this.times.length / 30));
    const points = this.times.map((at, place) => [at, this.scores[place], ""]).filter((_, place) => (this.times.length - 1 - place) % every === 0);
    const lines = [...points, ...this.marks.map((mark) => [mark.at_s, null, mark.text])].sort((one, other) => other[0] - one[0]);
    fill(this.values, [["Time", "text"], [metric, ""], ["What happened", "text"]], lines.map(([at, value, what]) => [clock(at), value === null ? "" : number(value), what]));
  }
}

function decisions() {
  const lines = all ? now.recent : now.recent.slice(0, DECISIONS);
  const words = (each) => (each.times > 1 ? `${each.text} (${whole(each.times)} times)` : each.text);
  fill(byId("decisions"), [["Time", "text"], ["Partition", ""], ["Offset", ""], ["What was decided", "text what"], ["Kind", "text"]],
    lines.length ? lines.map((each) => [each.at_s === null ? "before" : clock(each.at_s), each.partition, whole(each.offset), words(each), each.kind]) : [["–", "", "", "nothing yet", ""]]);
  byId("more").hidden = now.recent.length <= DECISIONS;
  put(byId("more"), all ? "Show fewer" : `Show all ${now.recent.length}`);
}

// --- the reader's choices

byId("metric").addEventListener("change", (event) => { metric = event.target.value; draw(); });
byId("span").addEventListener("change", () => draw());
byId("more").addEventListener("click", () => { all = !all; decisions(); });
byId("filter").addEventListener("input", () => table());
new ResizeObserver(() => now && draw()).observe(document.body);

await loadPast();
connect();
