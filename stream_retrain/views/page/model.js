// What the page knows: the workers as one, and the past of each shard.

const sum = (values) => values.reduce((all, each) => all + each, 0);
const most = (values) => values.reduce((all, each) => (each === null || each === undefined ? all : Math.max(all ?? each, each)), null);
const total = (counts) => sum(Object.values(counts ?? {}));

// The answer of a worker, or of the parent of several, in one shape.
export function combined(found) {
  const answers = found.workers ? Object.entries(found.workers) : [["0", found]];
  const workers = answers.map(([name, status]) => ({ name, status }));
  const known = workers.filter((each) => each.status).map((each) => each.status);
  const shards = [];
  for (const { name, status } of workers) {
    for (const [place, shard] of Object.entries(status?.shards ?? {})) {
      shards.push({ ...shard, place, worker: name, partition: Number(place.slice(place.lastIndexOf("/") + 1)), dead: shard.rejected, unmatchedAll: total(shard.unmatched) });
    }
  }
  shards.sort((one, other) => one.partition - other.partition);
  const partitions = most(known.map((each) => each.partitions));
  const recent = known.flatMap((each) => each.recent.map((told) => ({ ...told, key: `${each.instance}/${each.pid}/${told.number}` })));
  recent.sort((one, other) => (other.at_s ?? 0) - (one.at_s ?? 0) || other.number - one.number);
  const missing = workers.flatMap(({ name, status }) => {
    const why = status ? status.missing : ["it does not answer"];
    return found.workers ? why.map((each) => `worker ${name}: ${each}`) : why;
  });
  return {
    several: Boolean(found.workers), workers, shards, recent, missing, partitions,
    ready: found.ready,
    pipeline: known[0]?.pipeline ?? null,
    state: known.length === 1 && !found.workers ? known[0].state : found.ready ? "running" : "not ready",
    details: known.filter((each) => each.state !== "running").map((each) => each.detail).filter(Boolean),
    instance: known.map((each) => each.instance).join(", "),
    versionsTold: workers.map(({ status }) => (status ? `${status.pid}:${status.versions_told}` : "-")).join(","),
    identity: workers.map(({ status }) => (status ? status.pid : "-")).join(","),
    version: known[0]?.version ?? "",
    stores: known.map((each) => each.store),
    metrics: known.find((each) => each.metrics.length)?.metrics ?? [],
    unowned: known.length ? most(known.map((each) => each.unowned_partitions)) : null,
    at_s: most(known.map((each) => each.at_s)) ?? Date.now() / 1000,
    uptime_s: most(known.map((each) => each.uptime_s)),
    commitAge_s: most(known.map((each) => each.commit_age_s)),
    checkpointAge_s: most(known.map((each) => each.checkpoint_age_s)),
    lag: shards.length && shards.every((each) => each.lag_records !== null) ? sum(shards.map((each) => each.lag_records)) : null,
    lag_s: most(shards.map((each) => each.lag_s)),
    records: sum(shards.map((each) => each.records)),
    waiting: sum(shards.map((each) => each.pending)),
    unmatched: sum(shards.map((each) => each.unmatchedAll)),
    dead: sum(shards.map((each) => each.dead)),
    drifts: sum(shards.map((each) => each.drifts)),
    duels: shards.filter((each) => each.duel).length,
    trainings: shards.filter((each) => each.training?.state === "under way").length,
  };
}

const POINTS_MAX = 2400;

// The past of every shard: what the worker remembers, and what the page has seen since.
export class Past {
  #shards = new Map();

  of(place) {
    if (!this.#shards.has(place)) this.#shards.set(place, { t: [], metrics: {}, marks: [], known: new Set(), duel: null });
    return this.#shards.get(place);
  }

  load(history) {
    for (const [place, found] of Object.entries(history.shards ?? {})) {
      const past = this.of(place);
      const first = found.t[0] ?? Infinity;
      const older = past.t.filter((at) => at < first).length;
      const names = Object.keys(found.metrics);
      const before = (name) => (past.metrics[name] ?? Array(older).fill(null)).slice(0, older);
      past.metrics = Object.fromEntries(names.map((name) => [name, [...before(name), ...found.metrics[name]]]));
      past.t = [...past.t.slice(0, older), ...found.t];
      for (const mark of found.marks) this.#mark(past, mark);
      if (found.duel) past.duel = found.duel;
    }
  }

  add(now) {
    for (const shard of now.shards) {
      const past = this.of(shard.place);
      if (shard.events_seen && now.at_s > (past.t.at(-1) ?? 0)) this.#point(past, now.at_s, shard.rolling);
      this.#evidence(past, now.at_s, shard.duel);
    }
    const places = new Map(now.shards.map((each) => [each.partition, each.place]));
    for (const told of now.recent.toReversed()) {
      if (told.at_s !== null && places.has(told.partition)) this.#mark(this.of(places.get(told.partition)), told);
    }
  }

  #point(past, at, rolling) {
    for (const name of Object.keys(rolling)) past.metrics[name] ??= Array(past.t.length).fill(null);
    past.t.push(at);
    for (const [name, values] of Object.entries(past.metrics)) values.push(rolling[name] ?? null);
    if (past.t.length <= POINTS_MAX) return;
    const kept = past.t.map((_, place) => place % 2 === 0 || place > POINTS_MAX / 2);
    past.t = past.t.filter((_, place) => kept[place]);
    for (const name of Object.keys(past.metrics)) past.metrics[name] = past.metrics[name].filter((_, place) => kept[place]);
  }

  #evidence(past, at, duel) {
    if (!duel) return;
    if (past.duel?.number !== duel.number) past.duel = { number: duel.number, t: [], e: {} };
    if (at <= (past.duel.t.at(-1) ?? 0)) return;
    const e = past.duel.e;
    for (const each of duel.contestants) e[each.name] ??= Array(past.duel.t.length).fill(1);
    past.duel.t.push(at);
    for (const name of Object.keys(e)) e[name].push(duel.contestants.find((each) => each.name === name)?.e_value ?? e[name].at(-1) ?? 1);
    if (past.duel.t.length <= POINTS_MAX) return;
    const halved = (values) => values.filter((_, place) => place % 2 === 0 || place > POINTS_MAX / 2);
    past.duel.t = halved(past.duel.t);
    for (const name of Object.keys(e)) e[name] = halved(e[name]);
  }

  #mark(past, mark) {
    const keyOf = (each) => `${each.offset} ${each.kind} ${each.text}`;
    const key = keyOf(mark);
    if (past.known.has(key)) return;
    if (past.known.size > 3000) past.known = new Set(past.marks.map(keyOf));
    past.known.add(key);
    past.marks.push(mark);
    past.marks.sort((one, other) => one.at_s - other.at_s || one.offset - other.offset);
    if (past.marks.length > 600) past.marks.splice(0, 100);
  }
}
