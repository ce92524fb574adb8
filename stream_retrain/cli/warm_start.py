"""`stream-retrain warm-start`: the shards of a pipeline that never ran begin with the models of another's."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from stream_retrain.cli.output import AllowUnsigned, JsonFlag, PipelineArgument, SettingsFile, configured, loaded, print_json
from stream_retrain.compose import keyring_of, warm_start_pipeline
from stream_retrain.errors import SettingsError

__all__ = ["warm_start"]

CHOICE: Final = re.compile(r"(\d{1,6}|all)=(\d{1,6})")


def warm_start(
    pipeline: PipelineArgument,
    from_: Annotated[str, typer.Option("--from", metavar="NAME/TOPIC", help="The old pipeline's name and its source.", show_default=False)],
    by: Annotated[
        str | None, typer.Option("--by", metavar="FIELD", help="The key of the rewriting: the old shard of most records is taken.")
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="NEW=OLD", help="Take this old partition; give it again for others; all=0: for all.", show_default=False
        ),
    ] = None,
    settings: SettingsFile = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonFlag = False,
) -> None:
    """Before the first run on a rewritten topic: each shard begins with the model that serves an old one, and with nothing else of it."""
    from stream_retrain.engines.kafka.warm_start import WarmStart

    name, slash, topic = from_.partition("/")
    if not (name and slash and topic):
        raise SettingsError(f"--from {from_!r}: name the old pipeline and its source, as in flights/flights.events")
    wanted, asked_for = configured(settings, allow_unsigned=allow_unsigned or None), loaded(pipeline)
    asked = WarmStart(pipeline=name, topic=topic, by=by, chosen=_chosen(chosen or ()))
    done = warm_start_pipeline(asked_for, wanted, keyring_of(wanted), asked)
    if json:
        print_json({"pipeline": asked_for.name, "from": from_, "shards": [dataclasses.asdict(each) for each in done]})
        return
    for each in done:
        if each.from_partition is None:
            typer.echo(f"partition {each.partition}: untrained, no record of the sample goes there")
        else:
            why = "named" if each.share is None else f"{each.share:.0%} of its records in the sample"
            typer.echo(
                f"partition {each.partition}: begins at offset {each.begins_at} with the model of {from_}/{each.from_partition}"
                f" at offset {each.from_offset} ({why})"
            )


def _chosen(texts: Sequence[str]) -> dict[int | None, int]:
    chosen: dict[int | None, int] = {}
    for text in texts:
        found = CHOICE.fullmatch(text)
        if found is None:
            raise SettingsError(f"--map {text!r}: write NEW=OLD, as in 3=0, or all=0")
        new = None if found[1] == "all" else int(found[1])
        if new in chosen:
            raise SettingsError(f"--map {text!r}: {found[1]} is there twice")
        chosen[new] = int(found[2])
    return chosen
