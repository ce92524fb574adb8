"""Who trains: the trainer beside a worker, and a trainer of the pool."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.announce import Announcer
from stream_retrain.engines.trainer import ProcessTrainer, Trainer, TrainerLimits
from stream_retrain.engines.trainer.tickets import trainers_group
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores

__all__ = ["serve_trainer", "trainer_of"]

LOG: Final = logging.getLogger("stream_retrain.worker")


def serve_trainer(
    pipelines: Mapping[str, Pipeline],
    settings: Settings,
    keyring: Keyring,
    stop: Callable[[], bool],
    *,
    children: int = 1,
    burst: bool = False,
) -> dict[str, int]:
    """A trainer of the pool until `stop()`, for the pipelines by their PIPELINE; how many tickets came to what.

    Raises `SettingsError`, `BrokerError`, `StoreError`.
    """
    from stream_retrain.engines.kafka.tickets import KafkaTicketSource
    from stream_retrain.engines.kafka.topic_range import read_range
    from stream_retrain.engines.trainer.serve import Served, TicketServer

    if len({pipeline.name for pipeline in pipelines.values()}) < len(pipelines):
        raise SettingsError("two of the pipelines have the same name: each needs a trainer of its own")
    stores = connect(settings.redis_url, keyring=keyring)
    stores.ping()
    limits = dataclasses.replace(_limits_of(settings), attempts_max=1)
    read = functools.partial(read_range, settings)
    served = []
    for target, pipeline in pipelines.items():
        make = functools.partial(
            ProcessTrainer, pipeline, settings.redis_url, keyring, limits, target=target, read_topic=read, parent="trainer"
        )
        served.append(Served(pipeline=pipeline, source=KafkaTicketSource(settings, pipeline), trainer=make))
    name = f"{socket.gethostname()}-trainer-{os.getpid()}-{secrets.token_hex(3)}"
    server = TicketServer(served, stores.jobs, keyring, children=children)
    with ExitStack() as stack:
        for pipeline in pipelines.values():
            group = trainers_group(settings.group_of(pipeline.name), pipeline)
            stack.enter_context(Announcer(stores.workers, group, name, functools.partial(server.shown, name, pipeline.name)))
            LOG.info("takes the trainings of pipeline %s (group %s)", pipeline.name, group)
        return server.run(stop, burst=burst, shutdown_timeout_s=settings.shutdown_timeout_s)


@contextlib.contextmanager
def trainer_of(
    pipeline: Pipeline,
    settings: Settings,
    stores: Stores,
    keyring: Keyring,
    target: str | None,
    deadline_s: Callable[[], float] = lambda: math.inf,
) -> Iterator[Trainer | None]:
    """The trainer of setting `trainer`, for as long as the worker runs; None where it is off. `deadline_s`: when its end must be done.

    `target` is the PIPELINE of the command line, for a child process to load; without it the pipeline is sent to it as it is.
    """
    trainer = _trainer(pipeline, settings, stores, keyring, target)
    try:
        yield trainer
    finally:
        if trainer is not None:
            trainer.close(min(time.monotonic() + settings.shutdown_timeout_s, deadline_s()))


def _trainer(pipeline: Pipeline, settings: Settings, stores: Stores, keyring: Keyring, target: str | None) -> Trainer | None:
    from stream_retrain.engines.kafka.topic_range import read_range

    match settings.trainer:
        case "process":
            read = functools.partial(read_range, settings)
            return ProcessTrainer(pipeline, settings.redis_url, keyring, _limits_of(settings), target=target, read_topic=read)
        case "pool":
            from stream_retrain.engines.kafka.tickets import KafkaTicketQueue
            from stream_retrain.engines.trainer.pool import PoolTrainer

            group, queue = trainers_group(settings.group_of(pipeline.name), pipeline), KafkaTicketQueue(settings, pipeline.name)
            return PoolTrainer(pipeline, stores.jobs, queue, keyring, _limits_of(settings), lambda: len(stores.workers.all(group)))
        case "off":
            return None


def _limits_of(settings: Settings) -> TrainerLimits:
    """What the settings allow one training."""
    return TrainerLimits(
        timeout_s=settings.train_timeout_s,
        memory_bytes_max=settings.train_memory_bytes_max,
        attempts_max=settings.train_attempts_max,
        trainer_wait_s=settings.trainer_wait_s,
    )
