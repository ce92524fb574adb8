"""Where every door ends, wired: what a request is checked against, and the store it is put into."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.request import Asked
from stream_retrain.requests import Requests
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.registry import Registry

if TYPE_CHECKING:
    from stream_retrain.views.door import Ask

__all__ = ["ask_over_http", "requests_of"]


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
