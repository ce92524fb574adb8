// One shard in full: its chart, its duel, its state, its detectors.

import { MARKS, clock, evidenceChart, kindOf, number, scoreChart, svg } from "./chart.js";
import { el, evidence, fill, plural, put, span, whole } from "./dom.js";
import { ago, under, view, window_ } from "./view.js";

export class Card {
  constructor(shard, alone) {
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
    this.parts.open = alone;
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
    const { t, metrics, marks, duel } = view.past.of(shard.place);
    const [from, to] = window_();
    const kept = t.map((at, place) => place).filter((place) => t[place] >= from);
    this.times = kept.map((place) => t[place]);
    this.scores = kept.map((place) => metrics[view.metric]?.[place] ?? null);
    this.marks = marks.filter((mark) => mark.at_s >= from && MARKS[kindOf(mark)]);
    put(this.title, `Partition ${shard.partition}`);
    put(this.state, [`generation ${shard.generation}`, shard.state, view.now.several ? `worker ${shard.worker}` : "", under(shard)].filter(Boolean).join(" · "));
    this.drawn = scoreChart(this.svg, {
      width: Math.max(280, this.svg.parentNode.clientWidth || 700), height: innerWidth < 600 ? 150 : 165,
      times: this.times, values: this.scores, marks, from, to, duel: shard.duel,
    });
    this.svg.setAttribute("aria-label", `${view.metric} of partition ${shard.partition}, rolling; arrow keys read it`);
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
    if (!known.length) return shard.events_seen ? `No value of ${view.metric} in this time.` : "No label has come yet, so there is no score.";
    const better = view.now.metrics.find((each) => each.name === view.metric)?.bigger_is_better ?? true;
    const [worst, at] = known.reduce((all, each) => ((better ? each[0] < all[0] : each[0] > all[0]) ? each : all));
    const count = (kind) => this.marks.filter((mark) => kindOf(mark) === kind).length;
    const happened = [["drift.detected", "drift"], ["promotion", "promotion"], ["model.reset", "reset"]].map(([kind, word]) => [count(kind), word]).filter(([many]) => many);
    return `${view.metric}, rolling, is ${number(known.at(-1)[0])}; ${better ? "lowest" : "highest"} ${number(worst)} at ${clock(at)}. ` +
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
    const words = `${clock(this.cursor)}: ${view.metric} ${number(this.scores[place])}${near.length ? ` · ${near.slice(-3).join(" · ")}` : ""}`;
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
      (training.state === "under way" ? (training.waits_for_trainer_s === null ? `, ${rowsOf(training)}` : `, nobody has taken it for ${span(training.waits_for_trainer_s)}`) : training.ended_at_s ? `, ${ago(training.ended_at_s)}` : "") + (training.error ? `: ${training.error}` : "");
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
    if (!shard.members) return;
    const heaviest = Object.entries(shard.members).sort((one, other) => other[1] - one[1]);
    fill(this.members.lastChild, [["Member", "text"], ["Weight", ""], ["Restarts", ""]], heaviest.map(([name, weight]) => [
      name === shard.leader ? `${name} (leads)` : name, `${(weight * 100).toFixed(1)} %`, whole(shard.member_restarts[name]),
    ]));
  }

  asTable() {
    const every = Math.max(1, Math.ceil(this.times.length / 30));
    const points = this.times.map((at, place) => [at, this.scores[place], ""]).filter((_, place) => (this.times.length - 1 - place) % every === 0);
    const lines = [...points, ...this.marks.map((mark) => [mark.at_s, null, mark.text])].sort((one, other) => other[0] - one[0]);
    fill(this.values, [["Time", "text short"], [view.metric, ""], ["What happened", "text"]], lines.map(([at, value, what]) => [clock(at), value === null ? "" : number(value), what]));
  }
}
