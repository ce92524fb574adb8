"""Who is told of a pipeline's decisions: functions, webhooks and integrations, as its module declares them.

They are no part of what a pipeline is: two pipelines that differ in nothing else have the same digest and learn the same. They are not
pickled with it either. Whoever calls them loads the module.

A secret is never a value here. It is named by the environment variable or the file that holds it, and read by the process that needs it.
"""

from __future__ import annotations

import collections
import dataclasses
import inspect
import re
import typing
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from stream_retrain.facts.decision import Decision
from stream_retrain.facts.occasions import Occasion
from stream_retrain.facts.version import Version

__all__ = [
    "Callback",
    "Callbacks",
    "Integration",
    "NamedHandler",
    "Secret",
    "VersionFile",
    "VersionsTold",
    "Webhook",
    "handler_faults",
    "handlers_of",
    "limit_faults",
    "url_faults",
]

Callback: TypeAlias = Callable[[Decision], object]
"""What it returns is not looked at; what it raises is a failure."""
OCCASION_NAMES: Final = typing.get_args(Occasion)
ATTEMPTS_MAX: Final = 100
TIMEOUT_S_MAX: Final = 3_600.0
PAUSE_S_MAX: Final = 300.0
MEMORY_BYTES_MIN: Final = 64 * 1024**2
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_KIND: Final = re.compile(r"[a-z]+\.[a-z_]+")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")
_OURS: Final = ("webhook-", "content-", "host", "user-agent", "transfer-encoding")
"""How the names of headers begin that are set by the sender."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is: an environment variable, or a file that nobody else can read. Give one of the two."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"${self.env}" if self.env is not None else str(self.file)

    def faults(self) -> Iterator[str]:
        """What is wrong with the declaration; whether the secret is there is not looked at."""
        if (self.env is None) == (self.file is None):
            yield "a Secret names one place: Secret(env=...) or Secret(file=...)"
        elif self.env is not None and not (isinstance(self.env, str) and _VARIABLE.fullmatch(self.env)):
            yield "env is not the name of an environment variable; give its name, never the secret itself"
        elif self.file is not None and not (isinstance(self.file, str) and self.file):
            yield "file is not a path"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Functions of the user's, each called with a `Decision`, in a process of its own.

    timeout_s
        A call that takes longer is ended, with everything it started.
    attempts_max, pause_s
        A call that raises, ends its process or takes too long is made again after a pause, which doubles each time (with jitter, and at
        most 300 s). After the last attempt the decision becomes a dead letter.
    memory_bytes_max
        Memory that a function may take beyond what its process has when it is ready.
    """

    on_drift: Callback | None = None
    on_challenge: Callback | None = None
    on_promotion: Callback | None = None
    on_rollback: Callback | None = None
    on_success: Callback | None = None
    on_failure: Callback | None = None
    on_completion: Callback | None = None
    timeout_s: float = 30.0
    attempts_max: int = 5
    pause_s: float = 1.0
    memory_bytes_max: int = 512 * 1024**2

    def functions(self) -> dict[Occasion, Callback]:
        """The functions that are given, by occasion."""
        given = {occasion: getattr(self, f"on_{occasion}") for occasion in OCCASION_NAMES}
        return {occasion: function for occasion, function in given.items() if function is not None}

    def faults(self) -> Iterator[str]:
        """What is wrong with the declaration."""
        for occasion, function in self.functions().items():
            if not callable(function):
                yield f"on_{occasion} is {function!r}; give a function of one argument"
            elif inspect.iscoroutinefunction(function):
                yield f"on_{occasion} is a coroutine function; give a plain one, which may call asyncio.run"
            elif not _takes_one(function):
                yield f"on_{occasion} must take one argument, the decision"
        if not isinstance(self.memory_bytes_max, int) or self.memory_bytes_max < MEMORY_BYTES_MIN:
            yield f"memory_bytes_max is {self.memory_bytes_max!r}; use a whole number of at least {MEMORY_BYTES_MIN:,}"
        yield from limit_faults(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that decisions are posted to, each as a CloudEvent in structured JSON.

    on
        Occasions ("drift", "promotion", ...), or kinds of decision by their names ("training.failed").
    secret
        What requests are signed with, by the Standard Webhooks specification: `whsec_` and 24 to 64 bytes in base64. None: not signed.
    headers
        More headers of each request; a value may be a `Secret`.
    name
        What metrics, logs and dead letters call it; default: `webhook:` and the host.
    timeout_s, attempts_max, pause_s
        As for `Callbacks`. Made again is what answers 408, 425, 429 or 5xx, what answers nothing in time, and what cannot be reached; a
        `Retry-After` up to 300 s is obeyed. Any other answer that is no 2xx is final.
    ca_file
        Certificates in PEM to trust in place of the system's.
    """

    url: str
    on: Sequence[str] = OCCASION_NAMES
    secret: Secret | None = None
    headers: Mapping[str, str | Secret] = dataclasses.field(default_factory=dict)
    name: str = ""
    timeout_s: float = 10.0
    attempts_max: int = 10
    pause_s: float = 1.0
    ca_file: str | None = None

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or f"webhook:{urllib.parse.urlsplit(self.url).hostname}"

    def faults(self) -> Iterator[str]:
        """What is wrong with the declaration."""
        yield from url_faults(self.url)
        yield from _on_faults(self.on)
        if self.secret is not None:
            yield from self.secret.faults() if isinstance(self.secret, Secret) else ("secret must be a Secret: name where it is",)
        if not isinstance(self.headers, Mapping):
            yield "headers must be a dict"
            return
        for name, value in self.headers.items():
            if not isinstance(name, str) or not _HEADER.fullmatch(name) or name.lower().startswith(_OURS):
                yield f"headers: {name!r} is no header that can be set"
            elif isinstance(value, Secret):
                yield from (f"headers {name}: {fault}" for fault in value.faults())
            elif not isinstance(value, str) or not value.isascii() or not value.isprintable():
                yield f"headers {name}: a value is a Secret, or text of printable ASCII"
        yield from limit_faults(self)


class VersionFile(typing.NamedTuple):
    """The model of a version, as `stream-retrain models export` writes it to a file, and its card."""

    sealed: bytes
    """`stream_retrain.load_model` opens it."""
    card: str
    """In Markdown."""


class VersionsTold(Protocol):
    """What an integration may look up: the versions of the pipeline of whose decisions it is told."""

    @property
    def pipeline(self) -> str:
        """Its name."""
        ...

    @property
    def source(self) -> str:
        """The topic it reads."""
        ...

    def model_words(self, family: str) -> str:
        """The model that is declared for a family, in words; of the pipeline itself: an empty family."""
        ...

    def of(self, partition: int) -> list[Version]:
        """The versions of a shard, the oldest first. Raises `StoreError`."""
        ...

    def file(self, partition: int, version: str) -> VersionFile:
        """The model of a version, verified. Raises `StateError` where it cannot be had or does not verify; `StoreError`."""
        ...


@runtime_checkable
class Integration(Protocol):
    """Something that takes decisions to another system: a frozen declaration, whose `build` gives the running function.

    `build` is called in the process that makes the calls, before the first of them. The function may be called more than once with the
    same decision.
    """

    @property
    def called(self) -> str:
        """What metrics, logs and dead letters call it."""
        ...

    @property
    def on(self) -> Sequence[str]:
        """The occasions and kinds it takes."""
        ...

    @property
    def timeout_s(self) -> float: ...
    @property
    def attempts_max(self) -> int: ...
    @property
    def pause_s(self) -> float: ...

    def faults(self) -> Iterator[str]:
        """What is wrong with the declaration."""
        ...

    def missing(self) -> str:
        """What has to be installed before it can be built, as a command; empty: nothing. It imports nothing."""
        ...

    def build(self, versions: VersionsTold) -> Callback:
        """The function."""
        ...

    def trial(self) -> Callback:
        """What is called in its place to try it: it asks whether the other system answers, and changes nothing there."""
        ...


class NamedHandler(typing.NamedTuple):
    """A function, a webhook or an integration, by its name, with what it asks for."""

    name: str
    on: tuple[str, ...]
    declared: Callbacks | Webhook | Integration
    occasion: Occasion | None = None
    """Of a function: which one of the `Callbacks`."""


def handlers_of(pipeline: Any) -> list[NamedHandler]:
    """Everything that is told of a pipeline's decisions, in the order in which it is declared."""
    functions: Callbacks | None = pipeline.callbacks
    found = [] if functions is None else [NamedHandler(f"on_{each}", (each,), functions, each) for each in functions.functions()]
    found += [NamedHandler(each.called, tuple(each.on), each) for each in (*pipeline.webhooks, *pipeline.integrations)]
    return found


def handler_faults(pipeline: Any) -> Iterator[str]:
    """What is wrong with who is told of a pipeline's decisions."""
    if isinstance(pipeline.callbacks, Callbacks):
        yield from (f"callbacks: {fault}" for fault in pipeline.callbacks.faults())
    elif pipeline.callbacks is not None:
        yield f"callbacks must be a Callbacks, not {type(pipeline.callbacks).__name__}"
    sound = True
    for kind, of in (("webhooks", Webhook), ("integrations", Integration)):
        if isinstance(getattr(pipeline, kind), str) or not isinstance(getattr(pipeline, kind), Sequence):
            yield f"{kind} must be a list of {of.__name__}"
            return
        for number, each in enumerate(getattr(pipeline, kind)):
            faults = list(each.faults()) if isinstance(each, of) else [f"{type(each).__name__} is no {of.__name__}"]
            yield from (f"{kind} {number}: {fault}" for fault in faults)
            sound = sound and not faults
    if sound and (pipeline.callbacks is None or isinstance(pipeline.callbacks, Callbacks)):
        names = [each.name for each in handlers_of(pipeline)]
        yield from (f"two are called {name!r}: give each a name" for name, count in collections.Counter(names).items() if count > 1)
        yield from (f"{name!r} is no name: use letters, digits, . : - and _" for name in names if not _NAME.fullmatch(name))


def _takes_one(function: Callback) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # of some built-in functions nothing is known
        return True
    return True


def limit_faults(limits: Any) -> Iterator[str]:
    """What is wrong with `timeout_s`, `attempts_max` and `pause_s`."""
    if not isinstance(limits.timeout_s, int | float) or not 0 < limits.timeout_s <= TIMEOUT_S_MAX:
        yield f"timeout_s is {limits.timeout_s!r}; use seconds above 0, at most {TIMEOUT_S_MAX:g}"
    if not isinstance(limits.attempts_max, int) or not 1 <= limits.attempts_max <= ATTEMPTS_MAX:
        yield f"attempts_max is {limits.attempts_max!r}; use a whole number from 1 to {ATTEMPTS_MAX}"
    if not isinstance(limits.pause_s, int | float) or not 0 < limits.pause_s <= PAUSE_S_MAX:
        yield f"pause_s is {limits.pause_s!r}; use seconds above 0, at most {PAUSE_S_MAX:g}"


def _on_faults(on: Any) -> Iterator[str]:
    if isinstance(on, str) or not isinstance(on, Sequence) or not on:
        yield f"on is {on!r}; use a tuple of {', '.join(OCCASION_NAMES)}"
        return
    for name in on:
        if name not in OCCASION_NAMES and not (isinstance(name, str) and _KIND.fullmatch(name)):
            yield f"on: {name!r} is no occasion ({', '.join(OCCASION_NAMES)}) and no kind of decision"


def url_faults(url: Any, name: str = "url", instead: str = "give headers={'Authorization': Secret(...)}") -> Iterator[str]:
    """What is wrong with an address; `instead`: what to do in place of writing a password into it."""
    try:
        split = urllib.parse.urlsplit(url)
        sound = split.scheme in ("http", "https") and split.hostname and (split.port or 1) and url.isascii() and url.isprintable()
    except (ValueError, AttributeError, TypeError):
        sound = False
    if not sound or " " in url:
        yield f"{name} is no http:// or https:// address"
    elif split.username is not None or split.password is not None:
        yield f"{name} has a user or a password in it; {instead} instead"
