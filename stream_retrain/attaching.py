"""The composition root of the Faust engine: a worker beside Faust's event loop, in an app of our own or in a team's.

It is apart from `compose`, because nothing but this needs Faust, and whoever runs the other engine does not import it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import Equipment, equipped, keyring_of
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.faust.app import data_folder, pipeline_app, run_app
from stream_retrain.engines.faust.attachment import Attachment, BothTurn, Work
from stream_retrain.engines.faust.records import Decision, Prediction
from stream_retrain.engines.faust.web import add_pages
from stream_retrain.engines.fleet import WorkerCommand
from stream_retrain.engines.kafka.clients import Clients
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.engines.kafka.worker import run_worker
from stream_retrain.engines.supervise import supervise
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import FencedError
from stream_retrain.facts.worker import Tell
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from stream_retrain.settings import Settings, load_settings
from stream_retrain.views.access import Access
from stream_retrain.views.http import Pages
from stream_retrain.views.server import HEADERS, Site

__all__ = ["Attached", "attach", "run_in_faust"]


class Attached:
    """A pipeline in a team's Faust app; `attach` makes it.

    `predictions`, `decisions` and `dead_letters` are topics of the app, for agents to subscribe to: `@app.agent(attached.predictions)`.
    """

    def __init__(self, app: Any, pipeline: Pipeline, settings: Settings, keyring: Keyring) -> None:
        self._told = threading.Event()
        self._site: Site | None = None
        self._pages: Pages | None = None
        self._attachment = attachment = Attachment(app, pipeline, settings, self._told)
        raw: dict[str, Any] = {"key_type": bytes, "key_serializer": "raw"}
        self.predictions = app.topic(output_topic(pipeline.name, PREDICTIONS), value_type=Prediction, **raw)
        self.decisions = app.topic(output_topic(pipeline.name, DECISIONS), value_type=Decision, **raw)
        self.dead_letters = app.topic(output_topic(pipeline.name, DEAD_LETTERS), value_type=bytes, value_serializer="raw", **raw)

        def work(clients: Clients) -> None:
            with equipped(pipeline, settings, keyring, self._told.is_set) as given:
                self._pages = given.pages
                supervise(lambda: _attempt(given, attachment, given.watchdog, clients), given.watchdog, given.tell)

        async def begin(*_: Any, **__: Any) -> None:
            attachment.start(work)

        async def crash_with_it() -> None:
            await attachment.watch(until=self._told.is_set)
            if attachment.error is not None:
                await app.crash(attachment.error)

        async def end(*_: Any, **__: Any) -> None:
            self._told.set()
            await attachment.watch(until=lambda: False)

        attachment.before_subscribing(begin)
        app.task(crash_with_it)
        app.on_before_shutdown.connect(end)
        add_pages(app, f"/stream_retrain/{pipeline.name}", self._answer, HEADERS)

    def status(self) -> object:
        """What /status says; empty until the worker has begun."""
        return self._pages.status() if self._pages is not None else {}

    def _answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        if self._site is None and self._pages is not None:
            self._site = self._pages.site(frozenset(), Access())
        if self._site is None:
            return 503, "text/plain; charset=utf-8", b"the pipeline has not begun yet\n"
        status, (kind, content) = self._site.answer(path, accept)
        return status, kind, content


def attach(app: Any, pipeline: Pipeline, settings: Settings | None = None, *, keyring: Keyring | None = None) -> Attached:
    """Put a pipeline into a Faust app, beside its agents. Call it once the app is configured, and before it starts.

    The pipeline's group is the app's id. Without `settings` they come from the environment, and Kafka is where the app's broker is;
    of given ones, too, `group`, `http` and `static_membership` are not taken: the group is Faust's, and so is the web server.
    Raises `SettingsError` where the app cannot take it: one with `exactly_once`, with another driver than aiokafka, or that runs already.
    """
    ours: dict[str, Any] = {"group": app.conf.id, "http": False, "static_membership": False}
    if settings is None:
        servers = ",".join(f"{url.host}:{url.port or 9092}" for url in app.conf.broker)
        given = load_settings(overrides={"kafka_bootstrap_servers": servers, **ours})
    else:
        given = dataclasses.replace(settings, **ours)
    return Attached(app, pipeline, given, keyring or keyring_of(given))


def run_in_faust(
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
    """What `compose.run_pipeline` does, with Faust as the member of the group; the parameters are the same."""
    spare_the_collector()
    told = threading.Event()
    equipment = equipped(pipeline, settings, keyring, lambda: stop() or told.is_set(), watching, target, socket, callbacks)
    with data_folder() as folder, equipment as given:
        app = pipeline_app(pipeline, settings, given.instance, folder)
        attachment = Attachment(app, pipeline, settings, told)
        run_app(app, attachment, _work(given, attachment), given.watchdog)


def _work(given: Equipment, attachment: Attachment) -> Work:
    """What the thread beside Faust's loop does, with the clients that it is given there."""
    stop = BothTurn(given.watchdog, attachment)
    return lambda clients: supervise(lambda: _attempt(given, attachment, stop, clients), stop, given.tell)


def _attempt(given: Equipment, attachment: Attachment, stop: Stop, clients: Clients) -> None:
    stores, settings, beside = given.stores, attachment.settings, given.beside
    try:
        run_worker(given.pipeline, settings, stores, given.keyring, given.instance, stop, given.tell, given.trainer, clients, beside)
    except FencedError:
        attachment.distrust()
        raise
