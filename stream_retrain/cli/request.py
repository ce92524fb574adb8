"""`stream-retrain retrain`, `reset`, `pause` and `resume`: ask something of the shards of a running pipeline."""

from __future__ import annotations

import dataclasses

import typer

from stream_retrain.cli.asking import ON_COMMAND_LINE, Partitions, Reason, Timeout, Token, Wait, asks, opened
from stream_retrain.cli.by_topic import ByTopic
from stream_retrain.cli.group_status import nobody_runs
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, errors, print_json
from stream_retrain.errors import SettingsError
from stream_retrain.facts.request import Asked
from stream_retrain.requests import new_token

__all__ = ["pause", "reset", "resume", "retrain"]

UNHEALTHY = 3


def retrain(
    pipeline: PipelineArgument,
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    token: Token = None,
    wait: Wait = False,
    timeout: Timeout = 600.0,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Ask a running pipeline to retrain; what that means, its rules on requests say. Each shard takes it up with its next event."""
    asks("retrain", pipeline, settings, partition, reason, token, wait=wait, timeout_s=timeout, json=json, by_topic=by_topic)


def reset(
    pipeline: PipelineArgument,
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    token: Token = None,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Have the model begin afresh, with the next event of each shard; a duel under way ends."""
    asks("reset", pipeline, settings, partition, reason, token, wait=wait, timeout_s=timeout, json=json, by_topic=by_topic)


def pause(
    pipeline: PipelineArgument,
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    token: Token = None,
    wait: Wait = False,
    timeout: Timeout = 60.0,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Have nothing of these partitions taken until `stream-retrain resume`, whoever has them; no record is lost meanwhile."""
    asks("pause", pipeline, settings, partition, reason, token, wait=wait, timeout_s=timeout, json=json, by_topic=by_topic)


def resume(
    pipeline: PipelineArgument,
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Let paused partitions go on with the next record, whoever or whatever paused them.

    Exit code 3 where nobody has paused one and no worker runs, which would know of one that is paused for its refused records.
    """
    if by_topic:
        asks("resume", pipeline, settings, partition, reason, None, wait=False, timeout_s=1.0, json=json, by_topic=True)
        return
    _, requests = opened(pipeline, settings)
    workers = requests.stores.workers.all(requests.group)
    offsets = {shard.partition: shard.offset for worker in workers for shard in worker.status.shards if shard.state == "paused"}
    answer = requests.ask(Asked(token=new_token(), do="resume", reason=reason), partition)
    if not answer.new and not workers:
        errors().print(nobody_runs(requests.group), markup=False)
        raise typer.Exit(UNHEALTHY)
    name = requests.pipeline.name
    if strange := [number for number in answer.partitions if partition and number not in answer.new]:
        listed = ", ".join(map(str, sorted({*offsets, *answer.new}))) or "none"
        raise SettingsError(f"partition {strange[0]} is not paused; paused are {listed}")
    resumed = dataclasses.replace(answer, partitions=answer.new, notes=())
    if json:
        print_json(resumed.shown() | {"resumed": {number: offsets.get(number) for number in answer.new}})
    elif answer.new:
        errors().print(f"{name}: partition {', '.join(map(str, answer.new))} goes on within a second or two", markup=False)
    else:
        errors().print(f"{name}: no partition is paused", markup=False)
