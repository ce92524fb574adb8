// One version in words: the cells of its row, and everything that is known of it.

import { clock, number } from "./chart.js";
import { el, evidence, fill, plural, span, whole } from "./dom.js";
import { view } from "./view.js";

const CAME = {
  new: "begun untrained", reset: "begun afresh", lead: "won a duel", promoted: "promoted by hand", rolled_back: "rolled back",
  warm: "a warm start", trained: "from the trainer", imported: "from outside", restored: "served before versions were kept",
};
const ENDED = {
  reset: "reset", lead: "another took the lead", promoted: "another was promoted", rolled_back: "rolled back", rejected: "rejected", undecided: "undecided",
  failed: "failed", superseded: "superseded by hand", begun_anew: "the shard began anew",
};
const COPY = { none: "none", pending: "waits for the object store", kept: "kept", failed: "lost", dropped: "dropped, beyond a limit" };

export const came = (version) => CAME[version.came] ?? version.came;

// A time of the worker's clock, with the day where that is not today.
export function when(at_s) {
  const time = new Date(at_s * 1000), now = new Date(view.now.at_s * 1000);
  if (time.toDateString() === now.toDateString()) return clock(at_s);
  const year = time.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  const short = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return `${time.toLocaleDateString([], { day: "numeric", month: "short", ...year })}, ${short}`;
}

const moment = (at) => (at === null ? "" : at.wall_s === null ? `offset ${whole(at.offset)}` : when(at.wall_s));

function ended(version) {
  if (version.training !== null && version.generation === null) return version.ended_by === "promoted" ? "promoted" : ENDED[version.ended_by] ?? version.ended_by;
  return ENDED[version.ended_by] ?? version.ended_by;
}

export function until(version) {
  if (version.serves) return "serves now";
  if (version.ended) return `${moment(version.ended)}, ${ended(version)}`;
  if (version.aliases.includes("challenger")) return "races now";
  return version.came === "imported" ? "" : "in training or waiting to race";
}

export const began = (version) => moment(version.began);

export function why(version) {
  return [version.cause, version.reason && `“${version.reason}”`, version.by && `asked by ${version.by}`].filter(Boolean).join(", ");
}

// The shard of a version that serves now, as it stands; null of any other.
function serving(version) {
  const shard = version.serves && view.now.shards.find((each) => each.partition === version.partition && each.generation === version.generation);
  return shard && shard.events_seen ? shard : null;
}

// What the metrics said while it served, and of how many events; of the one that serves, what they say now.
const since = (version) => ({ ...version.quality.since, ...serving(version)?.rolling });

export function eventsOf(version) {
  const shard = serving(version);
  return shard ? Math.max(0, shard.events_seen - version.quality.events_before) : version.quality.events;
}

export function quality(version) {
  const now = since(version), name = view.metric in now ? view.metric : Object.keys(now)[0];
  if (name !== undefined) {
    const before = version.quality.before[name] ?? null;
    return `${name} ${number(now[name])}${before === null ? "" : ` (before: ${number(before)})`}`;
  }
  const own = version.standings.find((each) => each.name === version.challenger);
  const served = version.standings.find((each) => each.name === "champion");
  return own ? `loss ${number(own.loss_mean)}${served && served !== own ? `, champion ${number(served.loss_mean)}` : ""}` : "";
}

export const bytes = (count) => (count < 1e6 ? `${number(count / 1e3, 1)} kB` : `${number(count / 1e6, 1)} MB`);
export const copy = ({ artifact }) => (artifact.state === "kept" ? bytes(artifact.bytes) : COPY[artifact.state] ?? artifact.state);

function list(title, pairs) {
  const known = pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  if (!known.length) return [];
  const told = el("dl", { class: "facts" });
  for (const [name, value, look] of known) told.append(el("dt", {}, name), el("dd", look ? { class: look } : {}, String(value)));
  return [el("div", {}, el("h4", {}, title), told)];
}

function tableOf(title, columns, lines, note) {
  if (!lines.length) return [];
  const table = el("table");
  fill(table, columns, lines);
  return [el("div", {}, el("h4", {}, title), table, ...(note ? [el("p", { class: "quiet" }, note)] : []))];
}

const full = (at) => (at === null ? "" : [at.wall_s === null ? "" : when(at.wall_s), at.time_s === null ? "" : `event time ${at.time_s > 3e7 ? new Date(at.time_s * 1000).toISOString().slice(0, 19).replace("T", " ") : number(at.time_s, 1)}`, `offset ${whole(at.offset)}`].filter(Boolean).join(" · "));

// What a version goes on from, as far as it is among the versions that are shown.
function lineage(version, known) {
  const ids = [];
  for (let at = version; at?.parent && !ids.includes(at.parent) && ids.length < 8; at = known.get(at.parent)) ids.push(at.parent);
  return ids.join(" ← ");
}

// Everything that is known of a version; `known` are those of its shard, by id.
export function details(version, known) {
  const { trained_on: trained, artifact, software, quality: seen } = version, now = since(version);
  const metrics = [...new Set([...Object.keys(seen.before), ...Object.keys(now)])];
  const dueled = [plural(version.duel_events, "event"), version.loss && `by ${version.loss} loss`].filter(Boolean).join(", ");
  return el("div", { class: "parts" },
    ...list("How it came", [
      ["Cause", version.cause], ["Reason", version.reason], ["Asked by", version.by], ["Request", version.token],
      ["Goes on from", lineage(version, known)], ["In place of", version.replaced], ["Challenger", version.challenger], ["Family", version.family],
      [version.generation === null ? "Asked for" : "Serves from", full(version.began)], [version.generation === null ? "Ended" : "Until", version.ended ? `${full(version.ended)} · ${ended(version)}` : until(version)],
      ["Error", version.error],
    ]),
    ...tableOf("Quality", [["Metric", "text"], ["Before it", ""], ["While it served", ""]], metrics.map((name) => [name, number(seen.before[name] ?? null, 4), number(now[name] ?? null, 4)]),
      `Rolling scores of the shard; ${plural(eventsOf(version), "labelled event")} while it served.`),
    ...tableOf(`Duel ${version.duel}`, [["Contestant", "text"], ["Loss", ""], ["E-value", ""]], version.standings.map((each) => [each.name, number(each.loss_mean, 4), evidence(each.e_value)]), dueled),
    ...list("Training", trained ? [
      ["Window", trained.window], ["Source", trained.source], ["Lessons", trained.lessons === null ? "" : whole(trained.lessons)], ["Learned through", trained.learned_through === null ? "" : `offset ${whole(trained.learned_through)}`],
      ["Caught up", trained.caught_up ? plural(trained.caught_up, "row") : ""], ["Gap", trained.gap ? "rows are missing: the window was trimmed meanwhile" : ""], ["Took", trained.seconds === null ? "" : span(trained.seconds)],
    ] : []),
    ...list("Model", [
      ["Copy", `${COPY[artifact.state] ?? artifact.state}${artifact.bytes ? `, ${bytes(artifact.bytes)}` : ""}${artifact.place ? `, in the store of ${artifact.place}` : ""}`], ["Name", artifact.name, "code"],
      ["Has learned", artifact.learned_through === null || artifact.state === "none" ? "" : `through offset ${whole(artifact.learned_through)}`], ["SHA-256", version.model_digest, "code"], ["Pipeline", version.pipeline_digest, "code"],
      ["Made by", Object.entries(software).filter(([name, value]) => value && name !== "state_schema").map(([name, value]) => `${name} ${value}`).join(", ")],
    ]));
}
