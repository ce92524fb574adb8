"""The composition root: the one place where concrete classes are wired to a worker, a trainer and their keys.

A command reads its arguments and calls one of these; nothing below knows which store, trainer or view it is given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import stream_retrain
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.trial import checkpointable
from stream_retrain.compose.callbacks import beside_worker
from stream_retrain.compose.doors import requests_of, requests_read
from stream_retrain.compose.serving import pages_of, served_by
from stream_retrain.compose.trainers import serve_trainer, trainer_of
from stream_retrain.core.callbacks import NamedHandler, handlers_of
from stream_retrain.core.inside import computing_in
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.announce import Announcer
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.fleet import WorkerCommand, run_fleet
from stream_retrain.engines.instance import claim_instance
from stream_retrain.engines.replay.past import KeptStates, RunRange
from stream_retrain.engines.replay.report import RunReport
from stream_retrain.engines.replay.run import Progress, verify_run
from stream_retrain.engines.supervise import supervise
from stream_retrain.engines.trainer import Trainer
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import StoreError
from stream_retrain.facts.worker import Tell, WorkerFact
from stream_retrain.logs import identify
from stream_retrain.native import SLOW
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.keys import keyring_of
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.start import start_of
from stream_retrain.views.fleet import FleetView
from stream_retrain.views.history import History
from stream_retrain.views.http import Pages, serve_at
from stream_retrain.views.log import log_fact
from stream_retrain.views.metrics import Metrics, PipelineLabels
from stream_retrain.views.models import Models
from stream_retrain.views.status import Status
from stream_retrain.views.traces import Traces

if TYPE_CHECKING:
    from stream_retrain.engines.kafka.warm_start import Warmed, WarmStart

__all__ = [
    "Equipment",
    "all_of",
    "equipped",
    "keyring_of",
    "requests_of",
    "run_pipeline",
    "run_workers",
    "serve_trainer",
    "trainer_of",
    "verify_pipeline",
    "warm_start_pipeline",
]

LOG = logging.getLogger(__name__)


def run_pipeline(
    pipeline: Pipeline,
    settings: Settings,
    keyring: Keyring,
    stop: Callable[[], bool],
    *,
    watching: Tell = lambda _: None,
    target: str | None = None,
    socket: Path | None = None,
    callbacks: WorkerCommand | None = None,
) -> None:
    """One worker with its stores, trainer, views and HTTP server, until `stop()`.

    `watching` is told every fact too; `target` is the PIPELINE it was loaded from, if it was. `socket`: serve there, for the parent of
    several workers, and on no port. `callbacks`: the command of the process of callbacks, to run beside it.

    Raises `PipelineError` where a checkpoint of it could not be opened.
    """
    from stream_retrain.engines.kafka import run_worker  # here, because the Kafka client takes a while to import

    spare_the_collector()
    with equipped(pipeline, settings, keyring, stop, watching, target, socket, callbacks) as given:
        stores, name, watchdog, tell, trainer = given.stores, given.instance, given.watchdog, given.tell, given.trainer
        work, beside = given.pipeline, given.beside
        supervise(lambda: run_worker(work, settings, stores, keyring, name, watchdog, tell, trainer, beside=beside), watchdog, tell)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a worker is run with, as long as it is run."""

    pipeline: Pipeline
    settings: Settings
    keyring: Keyring
    instance: str
    watchdog: Watchdog
    tell: Tell
    stores: Stores
    trainer: Trainer | None
    pages: Pages
    beside: Callable[[float], None]
    """Called by the worker's loop every turn, with the monotonic time."""


@contextlib.contextmanager
def equipped(
    pipeline: Pipeline,
    settings: Settings,
    keyring: Keyring,
    stop: Callable[[], bool],
    watching: Tell = lambda _: None,
    target: str | None = None,
    socket: Path | None = None,
    callbacks: WorkerCommand | None = None,
) -> Iterator[Equipment]:
    """Stores, trainer, views and HTTP server. Raises `SettingsError`, and `PipelineError` where a checkpoint could not be opened."""
    from stream_retrain.engines.kafka.clients import check_config
    from stream_retrain.engines.kafka.registry import with_registry

    check_config(settings)
    declared, pipeline = pipeline, with_registry(pipeline, settings)
    checkpointable(pipeline)
    with ExitStack() as stack:
        watchdog = Watchdog(stop, loop_timeout_s=settings.loop_timeout_s, shutdown_timeout_s=settings.shutdown_timeout_s)
        stack.enter_context(watchdog)
        group = settings.group_of(pipeline.name)
        instance = stack.enter_context(claim_instance(group, settings.instance))
        identify(instance=instance.name, pipeline=pipeline.name)
        labels, where = _labels(pipeline, handlers_of(declared) if callbacks is not None else ()), _models_of(pipeline)
        limit_s, release = settings.ready_commit_timeout_s, stream_retrain.__version__
        status = Status(pipeline.name, instance.name, metrics=labels.metrics, commit_timeout_s=limit_s, version=release, models=where)
        metrics, history, models = Metrics(labels, release), History(), Models(pipeline.name)
        traces = [Traces(group, release)] if settings.traces else []
        pages = pages_of(settings, status, history, metrics, models, watchdog)
        served = None
        if settings.http:
            served = stack.enter_context(serve_at(socket, pages) if socket is not None else served_by(settings, pages, pipeline))
        stores = connect(settings.redis_url, keyring=keyring, group=group, artifacts_url=settings.artifacts_url)
        _check_start(pipeline, stores, keyring)
        stack.enter_context(Announcer(stores.workers, group, instance.name, status.snapshot, served.url_elsewhere if served else ""))
        tell = all_of(status, history, models, metrics, log_fact, *traces, watching)
        given = pipeline, settings, instance.name, watchdog, tell
        beside = (relayed(*given), beside_worker(callbacks, settings, tell), requests_read(*given))
        yield Equipment(
            pipeline=pipeline,
            settings=settings,
            keyring=keyring,
            instance=instance.name,
            watchdog=watchdog,
            tell=tell,
            stores=stores,
            trainer=stack.enter_context(trainer_of(pipeline, settings, stores, keyring, target, watchdog.deadline_s)),
            pages=pages,
            beside=_all_looked_after([stack.enter_context(each) for each in beside]),
        )


def _check_start(pipeline: Pipeline, stores: Stores, keyring: Keyring) -> None:
    """Refuse at once what no shard could begin with; a store that is away is waited for, by whoever opens a shard."""
    with contextlib.suppress(StoreError):
        start_of(pipeline, stores, keyring)


def _all_looked_after(beside: Sequence[Callable[[float], None]]) -> Callable[[float], None]:
    def look(now_s: float) -> None:
        for each in beside:
            each(now_s)

    return look


def _models_of(pipeline: Pipeline) -> str:
    """Where the project's models of the pipeline compute; a warning where that is the slow one."""
    models = computing_in(pipeline)
    if models == "Python":
        LOG.warning(SLOW)
    return models


@contextlib.contextmanager
def relayed(pipeline: Pipeline, settings: Settings, instance: str, watchdog: Watchdog, tell: Tell) -> Iterator[Callable[[float], None]]:
    """The relay of a pipeline with a labels topic, for as long as the worker runs; what the worker's loop calls every turn."""
    from stream_retrain.engines.kafka.relay import RelayThread

    if pipeline.labels.topic is None:
        yield lambda _: None
        return
    with RelayThread(pipeline, settings, instance, watchdog, tell) as relay:
        yield relay.look


def verify_pipeline(
    pipeline: Pipeline, settings: Settings, keyring: Keyring, wanted: RunRange, progress: Progress = lambda *_: None
) -> RunReport:
    """Replay a live run, and compare it with what its topics hold; nothing is written.

    Raises `SettingsError`, `BrokerError`, `StoreError`.
    """
    from stream_retrain.engines.kafka.past import KafkaPast
    from stream_retrain.engines.kafka.registry import with_registry

    pipeline = with_registry(pipeline, settings)
    stores = connect(settings.redis_url, keyring=keyring)
    kept = KeptStates(stores.checkpoints.load, stores.artifacts.load, stores.parts.load)
    with contextlib.closing(KafkaPast(settings, pipeline)) as past:
        return verify_run(
            pipeline,
            past,
            kept,
            keyring,
            wanted,
            group=settings.group_of(pipeline.name),
            record_bytes_max=settings.record_bytes_max,
            progress=progress,
        )


def warm_start_pipeline(pipeline: Pipeline, settings: Settings, keyring: Keyring, asked: WarmStart) -> list[Warmed]:
    """Give the shards of a pipeline that never ran the models of another's. Raises what `engines.kafka.warm_start` raises."""
    from stream_retrain.engines.kafka.warm_start import warm_start

    stores = connect(settings.redis_url, keyring=keyring, group=settings.group_of(pipeline.name))
    return warm_start(pipeline, asked, settings, keyring, stores)


def _labels(pipeline: Pipeline, handlers: Sequence[NamedHandler] = ()) -> PipelineLabels:
    """What the metrics of a pipeline are labelled with."""
    return PipelineLabels(
        name=pipeline.name,
        task=pipeline.task,
        topic=pipeline.source,
        model=" | ".join(type(step).__name__ for step in getattr(pipeline.model, "steps", {"": pipeline.model}).values()),
        watches=tuple((watch.detector_name, watch.signal) for watch in pipeline.watch),
        handlers=tuple(each.name for each in handlers),
        reactions=tuple(type(rule.do).__name__ for rule in pipeline.react),
        metrics=tuple((type(metric).__name__, bool(metric.bigger_is_better)) for metric in pipeline.scores.metrics),
    )


def run_workers(
    pipeline: Pipeline, commands: Sequence[WorkerCommand], sockets: Sequence[Path], settings: Settings, stop: Callable[[], bool]
) -> int:
    """Several worker processes, and one HTTP server for all of them, until `stop()`; the exit code.

    Each process serves at its socket, and must do so. Raises `SettingsError` where the port cannot be listened on.
    """
    starts = [0] * len(commands)

    def started(number: int) -> None:
        starts[number] += 1

    with ExitStack() as stack:
        if settings.http:
            fleet = FleetView(sockets, lambda: starts)
            shown = {"status": fleet.status, "history": fleet.history, "models": fleet.models}
            pages = Pages(metrics=fleet.metrics, healthy=fleet.healthy, ready=fleet.ready, **shown)
            stack.enter_context(served_by(settings, pages, pipeline))
        return run_fleet(commands, stop, settings.shutdown_timeout_s + 1.5, started)


def all_of(*views: Tell) -> Tell:
    """Tells each of these views every fact, in order."""

    def tell(fact: WorkerFact) -> None:
        for view in views:
            view(fact)

    return tell
