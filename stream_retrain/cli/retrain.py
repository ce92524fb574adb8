"""`stream-retrain retrain`: ask the workers of a pipeline for the reaction of its rules on requests, and wait for what comes of it."""

from __future__ import annotations

import getpass
import json as json_
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, errors, loaded, print_json
from stream_retrain.facts.request import Asked
from stream_retrain.requests import Requests, new_token
from stream_retrain.stores import connect
from stream_retrain.views.request_outcome import SUCCEEDED, RequestFold

if TYPE_CHECKING:
    from stream_retrain.core.pipeline import Pipeline
    from stream_retrain.settings import Settings

__all__ = ["retrain"]

POLL_S: Final = 0.5
FAILED, TIMED_OUT = 1, 3
TYPE: Final = "io.streamretrain."


def retrain(
    pipeline: PipelineArgument,
    partition: Annotated[
        list[int] | None, typer.Option(help="Ask the shard of this partition only; give it again for others.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Stands in the decision, for those who read it later.")] = "asked on the command line",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome: 0 done, 1 refused or failed, 3 not over in time.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="With --wait: how long.", min=1.0)] = 600.0,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Ask a running pipeline to retrain; what that means, its rules on requests say. Each shard takes it up with its next event."""
    asked_of, wanted = loaded(pipeline), configured(settings)
    from stream_retrain.engines.kafka.clients import admin_client
    from stream_retrain.engines.kafka.topics import count_partitions

    stores = connect(wanted.redis_url)
    ends = _ends(wanted, asked_of) if wait else {}
    requests = Requests(
        pipeline=asked_of,
        stores=stores,
        group=wanted.group_of(asked_of.name),
        count=lambda: count_partitions(admin_client(wanted), asked_of, wanted),
    )
    answer = requests.ask(Asked(token=new_token(), reason=reason, by=f"cli:{getpass.getuser()}"), partition)
    listed = ", ".join(map(str, answer.partitions))
    errors().print(f"asked {asked_of.name}, partition {listed}, for {', '.join(answer.reactions)}; see stream-retrain status", markup=False)
    for note in answer.notes:
        errors().print(note, markup=False, highlight=False)
    told = answer.shown()
    if not wait:
        _print(told, json)
        return
    folds = {number: RequestFold(answer.asked.token) for number in answer.partitions}
    _follow(wanted, asked_of, folds, {number: ends.get(number, 0) for number in folds}, time.monotonic() + timeout)
    _print(told | {"outcomes": {number: _shown(fold) for number, fold in folds.items()}}, json)
    raise typer.Exit(_exit_code(folds))


def _ends(settings: Settings, pipeline: Pipeline) -> dict[int, int]:
    """Where the decisions end before anything is asked; the topic is made, if no worker has done so yet."""
    from stream_retrain.engines.kafka.clients import admin_client
    from stream_retrain.engines.kafka.follow import ends_of
    from stream_retrain.engines.kafka.topics import output_topic, prepare_topics
    from stream_retrain.lane.step import DECISIONS

    prepare_topics(admin_client(settings), pipeline, settings)
    return ends_of(settings, output_topic(pipeline.name, DECISIONS))


def _follow(settings: Settings, pipeline: Pipeline, folds: Mapping[int, RequestFold], starts: Mapping[int, int], until_s: float) -> None:
    """Read decisions until every request has its outcome, or the time is over."""
    from stream_retrain.engines.kafka.follow import following
    from stream_retrain.engines.kafka.topics import output_topic
    from stream_retrain.lane.step import DECISIONS

    with following(settings, output_topic(pipeline.name, DECISIONS), starts) as follower:
        while any(fold.outcome is None for fold in folds.values()) and time.monotonic() < until_s:
            came = follower.poll(min(POLL_S, max(0.0, until_s - time.monotonic())))
            for number, record in came:
                for kind, data in _decision(record.value):
                    if folds[number].take(kind, data):
                        errors().print(f"partition {number}: {folds[number].detail}", markup=False, highlight=False)
            for number, fold in folds.items() if not came else ():
                before = fold.outcome
                fold.looked()
                if fold.outcome != before:
                    errors().print(f"partition {number}: {fold.detail}", markup=False, highlight=False)


def _decision(value: bytes | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and data of a decision; nothing of what is none."""
    try:
        event = json_.loads(value or b"")
        kind, data = event["type"], event["data"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(kind, str) and kind.startswith(TYPE) and isinstance(data, dict):
        yield kind.removeprefix(TYPE).rpartition(".v")[0], data


def _shown(fold: RequestFold) -> dict[str, Any]:
    return {"outcome": fold.outcome or "timed_out", "detail": fold.detail, "offset": fold.offset}


def _exit_code(folds: Mapping[int, RequestFold]) -> int:
    if any(fold.outcome is not None and fold.outcome not in SUCCEEDED for fold in folds.values()):
        return FAILED
    return TIMED_OUT if any(fold.outcome is None for fold in folds.values()) else 0


def _print(told: dict[str, Any], json: bool) -> None:
    if json:
        print_json(told)
    for number, outcome in told.get("outcomes", {}).items() if not json else ():
        typer.echo(f"partition {number}: {outcome['outcome']}: {outcome['detail']}")
