"""`stream-retrain retrain`: ask the running workers of a pipeline for the reaction of its rules on requests."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, errors, loaded, print_json
from stream_retrain.core.react.combinations import leaves
from stream_retrain.core.react.triggers import Request
from stream_retrain.errors import SettingsError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores import connect

__all__ = ["retrain"]


def retrain(
    pipeline: PipelineArgument,
    partition: Annotated[
        list[int] | None, typer.Option(help="Ask the shard of this partition only; give it again for others.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Stands in the decision, for those who read it later.")] = "asked on the command line",
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Ask a running pipeline to retrain; what that means, its rules on requests say. Each shard takes it up with its next event."""
    asked_of, wanted = loaded(pipeline), configured(settings)
    rules = [rule for rule in asked_of.react if any(isinstance(each, Request) for each in leaves(rule.trigger))]
    if not rules:
        raise SettingsError(f"pipeline {asked_of.name!r} has no rule on requests; add On.request(Retrain(...)) to react")
    from stream_retrain.engines.kafka.clients import admin_client
    from stream_retrain.engines.kafka.topics import count_partitions

    count = count_partitions(admin_client(wanted), asked_of, wanted)
    if beyond := [number for number in partition or () if not 0 <= number < count]:
        raise SettingsError(f"topic {asked_of.source!r} has partitions 0 to {count - 1}, and not {beyond[0]}")
    stores = connect(wanted.redis_url)
    asked = {}
    for number in sorted(set(partition or range(count))):
        asked[number] = stores.requests.ask(ShardId(asked_of.name, asked_of.source, number), reason)
    reactions = [type(rule.do).__name__ for rule in rules]
    if json:
        print_json({"pipeline": asked_of.name, "reactions": reactions, "requests": asked})
    else:
        listed = ", ".join(map(str, asked))
        errors().print(f"asked {asked_of.name}, partition {listed}, for {', '.join(reactions)}; see stream-retrain status", markup=False)
