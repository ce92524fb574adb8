"""The workers of a group as they told the store: one value for `--json`, and the same numbers as tables.

What stands in a store may have been written by others. It has been read as values with limits; here, what a terminal would not print as
it is, such as an escape sequence, is replaced.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import plain
from stream_retrain.stores.ports import STATUS_EXPIRE_S, WorkerTold

__all__ = ["console_of_tables", "group_status", "nobody_runs", "score_text", "show_group", "table_of"]

TRAINER_FIELDS: Final = ("instance", "version", "pid", "detail", "uptime_s", "told_age_s")
PIPED_WIDTH: Final = 1_000
"""Columns of a line that no terminal shows."""


def nobody_runs(group: str) -> str:
    """What is said of a group without a worker."""
    return f"no worker of group {group} runs: none has told Redis how it stands for {STATUS_EXPIRE_S:.0f} s"


def group_status(
    group: str, told: Sequence[WorkerTold], trainers: Sequence[WorkerTold] | None = None, callbacks: Sequence[WorkerTold] = ()
) -> dict[str, Any]:
    """Everything that is known of a group; `trainers` are those of the pool that serve its pipeline, None where that is not known.

    `callbacks` are the processes that call its callbacks.
    """
    workers = _told(told)
    shards = [shard for worker in workers for shard in worker["shards"]]
    held = collections.Counter(shard["partition"] for shard in shards)
    total = max((worker["partitions"] for worker in workers if worker["partitions"] is not None), default=None)
    unowned = None if total is None else [number for number in range(min(total, 100_000)) if number not in held]
    lags = [shard["lag_records"] for shard in shards]
    return {
        "group": group,
        "ready": bool(workers) and all(worker["ready"] for worker in workers) and not unowned,
        "partitions": {
            "total": total,
            "owned": sorted(held),
            "unowned": unowned,
            "held_twice": sorted(number for number, count in held.items() if count > 1),
        },
        "lag_records": sum(lags) if lags and None not in lags else None,
        "waiting": sum(shard["pending"] for shard in shards),
        "unmatched": sum(shard["unmatched"] for shard in shards),
        "dead_letters": sum(shard["dead_letters"] for shard in shards),
        "drifts": sum(shard["drifts"] for shard in shards),
        "trainings": sum(shard["training"] is not None for shard in shards),
        "duels": sum(shard["duel"] is not None for shard in shards),
        "workers": workers,
        "trainers": None if trainers is None else [{name: each[name] for name in TRAINER_FIELDS} for each in _told(trainers)],
        "callbacks": [{name: each[name] for name in ("state", *TRAINER_FIELDS)} for each in _told(callbacks)],
    }


def _told(told: Sequence[WorkerTold]) -> list[dict[str, Any]]:
    return [{**msgspec.to_builtins(each.status), "told_age_s": round(each.age_s, 1)} for each in told]


def _due(found: dict[str, Any]) -> dict[str, list[int]]:
    """What is due next, in words, with the partitions that say so."""
    due: dict[str, list[int]] = {}
    for shard in shards_of(found):
        if shard["due"]:
            due.setdefault(shard["due"], []).append(shard["partition"])
    return due


def show_group(found: dict[str, Any]) -> None:
    """As tables."""
    console, places = console_of_tables(), found["partitions"]
    of = "" if places["total"] is None else f" of {places['total']}"
    console.print(plain(f"group {found['group']}: {'ready' if found['ready'] else 'not ready'}"))
    console.print(plain(f"{len(places['owned'])}{of} partitions have a worker{_listed(places['unowned'])}"))
    if places["held_twice"]:
        console.print(plain(f"partitions {', '.join(map(str, places['held_twice']))} are named by two workers: one is losing them now"))
    console.print(
        plain(
            f"lag {_count(found['lag_records'])} records, {found['waiting']} waiting for labels, {found['unmatched']} unmatched,"
            f" {found['dead_letters']} dead letters, {found['drifts']} drifts,"
            f" {found['trainings']} trainings and {found['duels']} duels under way"
        )
    )
    for shard in sorted(shards_of(found), key=lambda shard: shard["partition"]):
        if shard["state"] == "paused":
            why = shard["paused_by"] or "too many records were refused"
            console.print(plain(f"partition {shard['partition']} is paused ({why}); `stream-retrain resume` lets it go on"))
    for due, partitions in _due(found).items():
        console.print(plain(f"{due} (partitions {', '.join(map(str, sorted(partitions)))})"))
    workers = table_of("worker", "state", "partitions", "Redis", "committed", "checkpoint", "told", "up for", "address")
    for worker in found["workers"]:
        ages = [_age(worker[name]) for name in ("commit_age_s", "checkpoint_age_s", "told_age_s", "uptime_s")]
        held = ", ".join(str(shard["partition"]) for shard in worker["shards"]) or "none"
        ages[:3] = [f"{age} ago" if age != "-" else age for age in ages[:3]]
        workers.add_row(*map(plain, (worker["instance"], worker["state"], held, worker["store"], *ages, worker["url"] or "-")))
    console.print(workers)
    for worker in found["workers"]:
        for missing in worker["missing"] or [] if worker["ready"] else [*worker["missing"], worker["detail"]]:
            if missing:
                console.print(plain(f"  {worker['instance']} is not ready: {missing}"))
    console.print(_shards(found["workers"]))
    if found["trainers"]:
        trainers = table_of("trainer", "does", "told", "up for")
        for each in found["trainers"]:
            trainers.add_row(*map(plain, (each["instance"], each["detail"], f"{_age(each['told_age_s'])} ago", _age(each["uptime_s"]))))
        console.print(trainers)
    if found["callbacks"]:
        called = table_of("callbacks", "state", "does", "told", "up for")
        for each in found["callbacks"]:
            told = f"{_age(each['told_age_s'])} ago"
            called.add_row(*map(plain, (each["instance"], each["state"], each["detail"], told, _age(each["uptime_s"]))))
        console.print(called)


def shards_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of all workers."""
    return [shard for worker in found["workers"] for shard in worker["shards"]]


def _shards(workers: Sequence[dict[str, Any]]) -> Table:
    counted = ("offset", "lag", "late", "waiting", "unmatched", "dead", "learned", "gen.", "drifts")
    table = table_of("partition", "worker", "state", *counted, "rolling", "under way")
    rows = [(shard, worker["instance"]) for worker in workers for shard in worker["shards"]]
    for shard, instance in sorted(rows, key=lambda row: (row[0]["partition"], row[1])):
        counts = [shard[name] for name in ("pending", "unmatched", "dead_letters", "events_seen", "generation", "drifts")]
        scores = ", ".join(f"{name} {score_text(value)}" for name, value in shard["rolling"].items())
        under_way = [] if shard["training"] is None else [f"training {shard['training']}"]
        if (duel := shard["duel"]) is not None:
            race = "rematch" if duel["rematch"] else "duel"
            under_way.append(
                f"{race} {duel['number']}: {duel['leader']} serves, best evidence {duel['e_value']:.2f} of {duel['passes_at']:.1f}"
            )
        place = [shard["partition"], instance, shard["state"], shard["offset"], _count(shard["lag_records"]), _age(shard["lag_s"])]
        table.add_row(*(plain(str(each)) for each in [*place, *counts, scores, "; ".join(under_way)]))
    return table


def console_of_tables() -> Console:
    """Standard output: as wide as the terminal, and where it is none, so wide that no line of a table is folded."""
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def table_of(*columns: str) -> Table:
    """A table that cuts nothing off: what is too wide is folded."""
    table = Table(box=None)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _listed(unowned: list[int] | None) -> str:
    if unowned is None:
        return "; how many there are, nobody has said yet"
    if not unowned:
        return ""
    more = f" and {len(unowned) - 20} more" if len(unowned) > 20 else ""
    return f"; nobody has {', '.join(map(str, unowned[:20]))}{more}"


def score_text(value: float | None) -> str:
    """A score, or a dash where there is none yet."""
    return "-" if value is None else f"{value:.3f}"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
