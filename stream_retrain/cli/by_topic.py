"""`--by-topic`: a request is written to its topic, for a worker to read; what is no request there comes back as a dead letter."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from stream_retrain.facts.request import Asked
from stream_retrain.requests import Answer, Requests

if TYPE_CHECKING:
    from stream_retrain.engines.kafka.request_topic import SentRequest
    from stream_retrain.settings import Settings

__all__ = ["ByTopic", "Refused", "asked_by_topic", "refused_as"]

ByTopic = Annotated[
    bool,
    typer.Option("--by-topic", help="Write the request to the topic PIPELINE.requests, signed; it needs no Redis but for pause --wait."),
]
Refused: TypeAlias = Callable[[], str | None]
"""Why the record was refused, as its dead letter says; None: it was not, so far."""


def asked_by_topic(
    requests: Requests, settings: Settings, asked: Asked, partitions: Sequence[int] | None
) -> tuple[Answer, SentRequest, int]:
    """Check a request as far as that needs no store, and write it; the answer, where it stands, and where dead letters end before it.

    Raises `RequestError`, `SettingsError`, `BrokerError`.
    """
    from stream_retrain.engines.kafka.clients import admin_client
    from stream_retrain.engines.kafka.follow import ends_of
    from stream_retrain.engines.kafka.request_topic import asking_keys, send_request
    from stream_retrain.engines.kafka.topics import output_topic, prepare_topics
    from stream_retrain.lane.step import DEAD_LETTERS

    pipeline, keys = requests.pipeline, asking_keys(settings)
    who = keys.signing_key.id if keys is not None and keys.signing_key is not None else "unsigned"
    answer = requests.checked(dataclasses.replace(asked, by=f"topic:{who}"), partitions)
    prepare_topics(admin_client(settings), pipeline, settings)
    letters_end = ends_of(settings, output_topic(pipeline.name, DEAD_LETTERS)).get(0, 0)
    sent = send_request(settings, pipeline.name, asked, partitions)
    note = f"record {sent.offset} of topic {sent.topic} asks for it; a worker that reads the topic takes it"
    return dataclasses.replace(answer, notes=(note,)), sent, letters_end


@contextlib.contextmanager
def refused_as(settings: Settings, pipeline: str, sent: SentRequest, letters_end: int) -> Iterator[Refused]:
    """Look for the dead letter of a record that was sent."""
    from stream_retrain.engines.kafka.follow import following
    from stream_retrain.engines.kafka.topics import output_topic
    from stream_retrain.lane.dead_letter import read_letter
    from stream_retrain.lane.step import DEAD_LETTERS

    with following(settings, output_topic(pipeline, DEAD_LETTERS), {0: letters_end}) as follower:

        def found() -> str | None:
            for _, record in follower.poll(0.0):
                letter = read_letter(record.headers or ())
                if letter is not None and (letter.topic, letter.partition, letter.offset) == sent:
                    return f"its record was refused ({letter.reason}): {letter.detail}"
            return None

        yield found
