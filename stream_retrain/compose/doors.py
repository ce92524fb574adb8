"""Where every door ends, wired: what a request is checked against, and the store it is put into."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.facts.request import Asked
from stream_retrain.facts.worker import Tell
from stream_retrain.requests import Requests
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.registry import Registry

if TYPE_CHECKING:
    from stream_retrain.views.door import Ask

__all__ = ["ask_over_http", "requests_of", "requests_read"]

LOG: Final = logging.getLogger("stream_retrain.worker")


def requests_of(pipeline: Pipeline, settings: Settings) -> Requests:
    """Where requests for a pipeline end, with connections of their own. Raises `SettingsError` where an address is wrong."""
    from stream_retrain.engines.kafka.clients import admin_client  # here, because the Kafka client takes a while to import
    from stream_retrain.engines.kafka.topics import count_partitions

    stores = connect(settings.redis_url)
    admin = functools.cache(lambda: admin_client(settings))
    return Requests(
        pipeline=pipeline,
        stores=stores,
        group=settings.group_of(pipeline.name),
        count=lambda: count_partitions(admin(), pipeline, settings),
        known=Registry(stores, pipeline, Keyring.unsigned()).known,  # who is known is read without a key; a model is not
    )


def ask_over_http(pipeline: Pipeline, settings: Settings) -> Ask:
    """What the HTTP door is given. It connects with the first request, so a door that nobody uses costs nothing."""
    requests = functools.cache(lambda: requests_of(pipeline, settings))

    def ask(asked: Asked, partitions: Sequence[int] | None) -> Mapping[str, object]:
        return requests().ask(asked, partitions).shown()

    return ask


@contextlib.contextmanager
def requests_read(
    pipeline: Pipeline, settings: Settings, instance: str, watchdog: Watchdog, tell: Tell
) -> Iterator[Callable[[float], None]]:
    """The topic of requests, for as long as the worker runs; what the worker's loop calls every turn.

    Raises `SettingsError` where the keys cannot be read.
    """
    from stream_retrain.engines.kafka.request_topic import RequestThread, asking_keys

    if not settings.requests_by_topic:
        yield lambda _: None
        return
    if asking_keys(settings) is None:
        LOG.warning("requests_unsigned is set: whoever can write to the topic of requests may ask for anything; see that its ACLs say who")
    requests = functools.cache(lambda: requests_of(pipeline, settings))
    with RequestThread(pipeline, settings, instance, lambda *asked: requests().ask(*asked), watchdog, tell) as thread:
        yield thread.look
