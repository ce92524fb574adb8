// What the page shows now, for all its parts: the workers as one, the past of each shard, its versions, and the score that was chosen.

import { byId, span } from "./dom.js";
import { Past } from "./model.js";

export const view = { now: null, metric: null, past: new Past(), models: null, modelsLost: false };

export const ago = (at_s) => (at_s === null || at_s === undefined ? "at a time nobody noted" : `${span(Math.max(0, view.now.at_s - at_s))} ago`);

// What the charts span: not more than there is to see.
export function window_() {
  const wanted = Number(byId("span").value);
  const begins = Math.min(...view.now.shards.map((each) => view.past.of(each.place).t[0] ?? view.now.at_s), view.now.at_s - 30);
  return [Math.max(view.now.at_s - wanted, begins), view.now.at_s];
}

export function under(shard) {
  const parts = [];
  if (shard.duel) parts.push(`duel ${shard.duel.number}`);
  if (shard.training?.state === "under way") parts.push(`training ${shard.training.number}`);
  return parts.join(", ");
}
