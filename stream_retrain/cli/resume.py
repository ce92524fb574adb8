"""`stream-retrain resume`: let partitions go on that are paused, because too many of their records were refused."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_retrain.cli.group_status import nobody_runs
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, errors, loaded, print_json
from stream_retrain.errors import SettingsError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores import connect

__all__ = ["resume"]

UNHEALTHY = 3


def resume(
    pipeline: PipelineArgument,
    partition: Annotated[
        list[int] | None, typer.Option(help="Let this partition go on only; give it again for others.", show_default=False)
    ] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Let paused partitions go on with the next record; exit code 3 where no worker runs, which would know of one."""
    wanted, of = configured(settings), loaded(pipeline)
    stores, group = connect(wanted.redis_url), wanted.group_of(of.name)
    workers = stores.workers.all(group)
    if not workers:
        errors().print(nobody_runs(group), markup=False)
        raise typer.Exit(UNHEALTHY)
    paused = {shard.partition: shard.offset for worker in workers for shard in worker.status.shards if shard.state == "paused"}
    if strange := sorted(set(partition or ()) - set(paused)):
        listed = ", ".join(map(str, sorted(paused))) or "none"
        raise SettingsError(f"partition {strange[0]} is not paused; paused are {listed}")
    chosen = {number: offset for number, offset in sorted(paused.items()) if not partition or number in partition}
    for number, offset in chosen.items():
        stores.requests.resume(ShardId(of.name, of.source, number), offset)
    if json:
        print_json({"pipeline": of.name, "resumed": chosen})
    elif chosen:
        errors().print(f"{of.name}: partition {', '.join(map(str, chosen))} goes on within a second or two", markup=False)
    else:
        errors().print(f"{of.name}: no partition is paused", markup=False)
