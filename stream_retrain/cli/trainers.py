"""Which trainer a worker asks, by its settings."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer import ProcessTrainer, Trainer, TrainerLimits
from stream_retrain.settings import Settings
from stream_retrain.stores.base import Stores

__all__ = ["limits_of", "trainer_of"]


@contextlib.contextmanager
def trainer_of(
    pipeline: Pipeline, settings: Settings, stores: Stores, keyring: Keyring, target: str | None = None
) -> Iterator[Trainer | None]:
    """The trainer of setting `trainer`, for as long as the worker runs; None where it is off.

    `target` is the PIPELINE of the command line, for a child process to load; without it the pipeline is sent to it as it is.
    Raises `SettingsError` where rq is asked for and not installed.
    """
    trainer = _made(pipeline, settings, stores, keyring, target)
    try:
        yield trainer
    finally:
        if trainer is not None:
            trainer.close(time.monotonic() + settings.shutdown_timeout_s)


def _made(pipeline: Pipeline, settings: Settings, stores: Stores, keyring: Keyring, target: str | None) -> Trainer | None:
    from stream_retrain.engines.kafka.topic_range import read_range

    match settings.trainer:
        case "process":
            read = functools.partial(read_range, settings)
            return ProcessTrainer(pipeline, settings.redis_url, keyring, limits_of(settings), target=target, read_topic=read)
        case "rq":
            from stream_retrain.engines.trainer.rq import RqTrainer

            return RqTrainer(pipeline, settings.redis_url, stores.jobs, keyring, limits_of(settings))
        case "off":
            return None


def limits_of(settings: Settings) -> TrainerLimits:
    """What the settings allow one training."""
    return TrainerLimits(
        timeout_s=settings.train_timeout_s,
        memory_bytes_max=settings.train_memory_bytes_max,
        attempts_max=settings.train_attempts_max,
    )
