"""How the commands that ask something of shards do it: check and store the request, say what is in its way, wait for the outcome."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream_retrain.cli.by_topic import Refused, asked_by_topic, refused_as
from stream_retrain.cli.output import configured, errors, loaded, print_json, user_name
from stream_retrain.compose.doors import requests_of
from stream_retrain.facts.request import Asked, RequestKind
from stream_retrain.requests import Answer, Requests, new_token
from stream_retrain.views.request_outcome import SUCCEEDED, RequestFold

if TYPE_CHECKING:
    from stream_retrain.core.pipeline import Pipeline
    from stream_retrain.settings import Settings

__all__ = ["ON_COMMAND_LINE", "Partitions", "Reason", "Timeout", "Token", "Wait", "asks", "opened"]

POLL_S: Final = 0.5
FAILED, TIMED_OUT = 1, 3
ON_COMMAND_LINE: Final = "asked on the command line"

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", help="The shard of this partition only; give it again for others.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", help="Stands in the decision, for those who read it later.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="KEY",
        help="Of your own: asked again with the same one, it is the same request, done once.",
        show_default=False,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the outcome: 0 done, 1 refused or failed, 3 not over in time.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="With --wait: how long.", min=1.0)]


def opened(pipeline: str, settings: Path | None) -> tuple[Settings, Requests]:
    """The settings, and where requests for a pipeline end."""
    of, wanted = loaded(pipeline), configured(settings)
    return wanted, requests_of(of, wanted)


def asks(
    do: RequestKind,
    pipeline: str,
    settings: Path | None,
    partitions: Sequence[int] | None,
    reason: str,
    token: str | None,
    *,
    wait: bool,
    timeout_s: float,
    json: bool,
    version: str = "",
    by_topic: bool = False,
) -> None:
    """Ask, say so, and with `wait` end the program by the outcome."""
    wanted, requests = opened(pipeline, settings)
    of = requests.pipeline
    starts = _starts(wanted, of, anew=token is None) if wait else {}
    asked = Asked(token=new_token() if token is None else token, do=do, reason=reason, version=version, by=f"cli:{user_name()}")
    refused: contextlib.AbstractContextManager[Refused] = contextlib.nullcontext(lambda: None)
    if by_topic:
        answer, sent, letters_end = asked_by_topic(requests, wanted, asked, partitions)
        refused = refused_as(wanted, of.name, sent, letters_end)
    else:
        answer = requests.ask(asked, partitions)
    listed = ", ".join(map(str, answer.partitions))
    what = ", ".join(answer.reactions) if do == "retrain" else f"{do} {version}".rstrip()
    errors().print(f"asked {of.name}, partition {listed}, for {what}; see stream-retrain status", markup=False)
    for note in answer.notes:
        errors().print(note, markup=False, highlight=False)
    if not wait:
        _print(answer.shown(), json)
        return
    end_s = time.monotonic() + timeout_s
    with refused as found:
        if do == "pause":
            shown = _stand(requests, answer, end_s, found)
        else:
            folds = {number: RequestFold(asked.token) for number in answer.partitions}
            _follow(wanted, of, folds, {number: starts.get(number, 0) for number in folds}, end_s, found)
            shown = {number: _shown(fold) for number, fold in folds.items()}
    _print(answer.shown() | {"outcomes": shown}, json)
    raise typer.Exit(_exit_code([each["outcome"] for each in shown.values()]))


def _starts(settings: Settings, pipeline: Pipeline, *, anew: bool) -> dict[int, int]:
    """From where on decisions may tell of the request: where they end before it is asked, unless it may have been asked before.

    The topic is made, if no worker has done so yet.
    """
    from stream_retrain.engines.kafka.clients import admin_client
    from stream_retrain.engines.kafka.follow import BEGINNING, ends_of
    from stream_retrain.engines.kafka.topics import output_topic, prepare_topics
    from stream_retrain.lane.step import DECISIONS

    prepare_topics(admin_client(settings), pipeline, settings)
    ends = ends_of(settings, output_topic(pipeline.name, DECISIONS))
    return ends if anew else dict.fromkeys(ends, BEGINNING)


def _follow(
    settings: Settings,
    pipeline: Pipeline,
    folds: Mapping[int, RequestFold],
    starts: Mapping[int, int],
    until_s: float,
    refused: Refused,
) -> None:
    """Read decisions until every request has its outcome, or the time is over."""
    from stream_retrain.engines.kafka.follow import following
    from stream_retrain.engines.kafka.topics import output_topic
    from stream_retrain.lane.decision import read_decision
    from stream_retrain.lane.step import DECISIONS

    with following(settings, output_topic(pipeline.name, DECISIONS), starts) as follower:
        why: str | None = None
        while any(fold.outcome is None for fold in folds.values()) and time.monotonic() < until_s:
            came = follower.poll(min(POLL_S, max(0.0, until_s - time.monotonic())))
            for number, record in came:
                decision = read_decision(record.value)
                if decision is not None and folds[number].take(decision.kind, decision.data):
                    errors().print(f"partition {number}: {folds[number].detail}", markup=False, highlight=False)
            for number, fold in folds.items() if not came else ():
                before = fold.outcome
                fold.looked()
                if fold.outcome is None and (why := why or refused()) is not None:
                    fold.refuse(why)
                if fold.outcome != before:
                    errors().print(f"partition {number}: {fold.detail}", markup=False, highlight=False)


def _stand(requests: Requests, answer: Answer, until_s: float, refused: Refused) -> dict[int, dict[str, Any]]:
    """Wait until the workers say that the partitions are paused: it is no decision."""
    found: dict[int, dict[str, Any]] = {}
    while len(found) < len(answer.partitions) and time.monotonic() < until_s:
        told = requests.stores.workers.all(requests.group)
        held = {shard.partition: shard for worker in told for shard in worker.status.shards if shard.state == "paused"}
        found = {number: _paused(held[number].offset) for number in answer.partitions if number in held}
        if (why := refused()) is not None:
            return {number: {"outcome": "refused", "detail": why, "offset": None} for number in answer.partitions}
        time.sleep(POLL_S if len(found) < len(answer.partitions) else 0.0)
    waits = {"outcome": "timed_out", "detail": "no worker says that it is paused yet", "offset": None}
    return {number: found.get(number, waits) for number in answer.partitions}


def _paused(offset: int) -> dict[str, Any]:
    return {"outcome": "done", "detail": f"it is paused at offset {offset}", "offset": offset}


def _shown(fold: RequestFold) -> dict[str, Any]:
    return {"outcome": fold.outcome or "timed_out", "detail": fold.detail, "offset": fold.offset}


def _exit_code(outcomes: Sequence[str]) -> int:
    if any(outcome != "timed_out" and outcome not in SUCCEEDED for outcome in outcomes):
        return FAILED
    return TIMED_OUT if "timed_out" in outcomes else 0


def _print(told: dict[str, Any], json: bool) -> None:
    if json:
        print_json(told)
    for number, outcome in told.get("outcomes", {}).items() if not json else ():
        typer.echo(f"partition {number}: {outcome['outcome']}: {outcome['detail']}")
