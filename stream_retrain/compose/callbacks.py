"""Who makes the calls of callbacks and webhooks: `stream-retrain callbacks`, which an operator starts, or a worker beside itself."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stream_retrain.core.callbacks import Callbacks, NamedHandler, Webhook, handlers_of
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.announce import Announcer, without_shards
from stream_retrain.engines.callbacks import callbacks_group
from stream_retrain.engines.callbacks.deliver import Delivery
from stream_retrain.engines.callbacks.keeper import CallbacksKept
from stream_retrain.engines.callbacks.trial import Tried, try_handlers
from stream_retrain.engines.fleet import WorkerCommand
from stream_retrain.errors import SettingsError
from stream_retrain.facts.callbacks import CallbackFact, CallbacksChanged
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Tell
from stream_retrain.lane.decision_examples import example_decisions
from stream_retrain.logs import fields_with
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.keys import keyring_of
from stream_retrain.stores.versions_told import RegistryAccess
from stream_retrain.views.callbacks import CallbacksStanding

__all__ = ["beside_worker", "chosen", "serve_callbacks", "try_callbacks"]

LOG: Final = logging.getLogger("stream_retrain.callbacks")


def chosen(pipeline: Pipeline, names: Sequence[str]) -> list[NamedHandler]:
    """The handlers of a pipeline that have these names; all, where none is given. Raises `SettingsError` for a name that is not there."""
    handlers = handlers_of(pipeline)
    there = [each.name for each in handlers]
    if unknown := [name for name in names if name not in there]:
        raise SettingsError(f"pipeline {pipeline.name} has no {unknown[0]!r}; it has {', '.join(there) or 'no callbacks and no webhooks'}")
    return [each for each in handlers if not names or each.name in names]


def serve_callbacks(
    pipeline: Pipeline,
    handlers: Sequence[NamedHandler],
    target: str,
    settings: Settings,
    stop: Callable[[], bool],
    telling: Callable[[CallbackFact], None],
    *,
    once: bool = False,
    start: Any = None,
) -> dict[str, Any]:
    """Make the calls until `stop()`, or until what is there is done with: `once`, or from `start` on. How they stand at the end.

    Raises `SettingsError` where a secret cannot be read, `CallbackError`, and with `start` also `BrokerError`.
    """
    from stream_retrain.engines.kafka.callbacks_run import CallbackRun

    registry = _checked(handlers, settings)
    standing, began_s = CallbacksStanding(), time.monotonic()

    def tell(fact: CallbackFact) -> None:
        standing(fact)
        telling(fact)

    run = CallbackRun(settings, pipeline.name, handlers, target, stop, tell, registry)
    if start is not None:
        run.tell_again(start)
        return standing.snapshot() or {}
    group = callbacks_group(settings.group_of(pipeline.name))
    name = f"{socket.gethostname()}-callbacks-{os.getpid()}-{secrets.token_hex(3)}"
    shown = functools.partial(_shown, standing, name, pipeline.name, began_s)
    with Announcer(connect(settings.redis_url).workers, group, name, shown):
        run.follow(once=once)
    return standing.snapshot() or {}


def log_callbacks(fact: CallbackFact) -> None:
    """What a person reading the process's standard error wants to know; each failure has a line of its own already."""
    if isinstance(fact, CallbacksChanged):
        level = logging.WARNING if fact.state == "degraded" else logging.INFO
        words = f": {fact.detail}" if fact.detail else ""
        LOG.log(level, "callbacks are %s%s", fact.state, words, extra=fields_with(kind=f"callbacks.{fact.state}"))


def try_callbacks(pipeline: Pipeline, handlers: Sequence[NamedHandler], target: str, settings: Settings) -> Iterator[Tried]:
    """Call handlers with an example of each kind of decision that they ask for. Raises `SettingsError`, `CallbackError`."""
    _checked(handlers, settings)
    return try_handlers(handlers, target, example_decisions(ShardId(pipeline.name, pipeline.source, 0)))


def not_installed(handlers: Sequence[NamedHandler]) -> list[str]:
    """What integrations need and is not installed here, in words."""
    declared = [(each.name, each.declared) for each in handlers if not isinstance(each.declared, Callbacks | Webhook)]
    return [f"{name} needs {missing}" for name, each in declared if (missing := each.missing())]


def _checked(handlers: Sequence[NamedHandler], settings: Settings) -> RegistryAccess | None:
    """Where integrations find versions, if there are any.

    Raises `SettingsError` where a secret or a certificate of a webhook cannot be read, or an integration is not installed or has no key.
    """
    for each in handlers:
        if isinstance(each.declared, Webhook):
            Delivery(each.declared)
    if missing := not_installed(handlers):
        raise SettingsError("; ".join(missing))
    if all(isinstance(each.declared, Callbacks | Webhook) for each in handlers):
        return None
    keyring_of(settings)
    return RegistryAccess(redis_url=settings.redis_url, artifacts_url=settings.artifacts_url, signing_key_file=settings.signing_key_file)


@contextlib.contextmanager
def beside_worker(command: WorkerCommand | None, settings: Settings, tell: Tell) -> Iterator[Callable[[float], None]]:
    """The process of callbacks for as long as a worker runs, if there is a command for it; what the worker's loop calls every turn."""
    if command is None:
        yield lambda _: None
        return
    with CallbacksKept(command, tell, settings.shutdown_timeout_s + 1.0) as kept:
        yield kept.look


def _shown(standing: CallbacksStanding, instance: str, pipeline: str, began_s: float) -> dict[str, Any]:
    """How the process stands, as `engines.announce` tells it: a worker without shards."""
    now = standing.snapshot() or {"state": "starting"}
    return without_shards(instance, pipeline, standing.words, began_s, now["state"])
