"""Every error stream_retrain raises, by whose fault it is.

The docstring of an error is its meaning and names the remedy; the message given at the raise says what was wrong and where.

    StreamRetrainError
    ├── PipelineError      the author of the pipeline: raised at load, lists every fault
    ├── SettingsError      the operator: a setting, a file or an environment variable
    ├── RequestError       who asks something of a shard: a request that cannot be taken
    ├── EventError         the producer: becomes a `Rejected` fact and a dead letter
    ├── StateError         the state kept for a shard cannot be used as it is
    ├── StoreError         the world: Redis; retried by the driver
    │   ├── RequestsFullError  as many requests wait for a shard as may
    │   ├── StaleEpochError    another worker owns the shard now: never retried
    │   └── WindowGapError     it has lost rows: the worker appends them again
    ├── BrokerError        the world: Kafka; retried by the engine
    │   ├── FormatUnavailableError    the Schema Registry does not answer: records wait until it does
    │   └── FencedError        another took this worker's place, or a transaction timed out: retried a few times
    ├── LimitError         a limit was reached whose reaction is to stop
    ├── BacktestError      a backtest could not be run: a process or a machine of it was lost
    ├── TrainingError      a training came to nothing, and would again: its model, its window or a limit
    ├── CallbackError      a callback's own process could not be made ready: its module, or a secret, is not as it was
    ├── WebhookError       what came is no webhook of who has the secret
    └── LocalStackError    the local Kafka or Valkey could not be had
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = [
    "BacktestError",
    "BrokerError",
    "CallbackError",
    "EventError",
    "FencedError",
    "FormatUnavailableError",
    "InstanceHeldError",
    "LimitError",
    "LocalStackError",
    "PipelineError",
    "RequestError",
    "RequestsFullError",
    "SettingsError",
    "StaleEpochError",
    "StateError",
    "StoreError",
    "StreamRetrainError",
    "TrainingError",
    "WebhookError",
    "WindowGapError",
]


class StreamRetrainError(Exception):
    """Something stream_retrain could not do; the message says what to change."""


class PipelineError(StreamRetrainError):
    """The pipeline is declared wrongly: correct every fault in `faults` and load it again."""

    def __init__(self, faults: Sequence[str], where: str = "pipeline") -> None:
        self.faults = tuple(faults)
        self.where = where
        listed = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{where} has {len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}:\n{listed}")

    def __reduce__(self) -> tuple[type[PipelineError], tuple[tuple[str, ...], str]]:
        return type(self), (self.faults, self.where)


class SettingsError(StreamRetrainError):
    """A setting is missing, unknown or out of range: correct the file or the variable that is named."""


class RequestError(StreamRetrainError):
    """A request cannot be taken as it was asked: correct what the message names; nothing was asked of any shard.

    `problem` says of which kind: "invalid" where a value is none, "unknown" where what it names is not there, "conflict" where the
    pipeline cannot do it.
    """

    def __init__(self, problem: Literal["invalid", "unknown", "conflict"], detail: str) -> None:
        self.problem = problem
        super().__init__(detail)

    def __reduce__(self) -> tuple[type[RequestError], tuple[str, str]]:
        return type(self), (self.problem, str(self))


class EventError(StreamRetrainError):
    """A record is not an event of the schema: it goes to the dead-letter topic; mend its producer, then replay it.

    `reason` is one of the closed set `facts.records.RejectReason`; `field` is the field at fault, if one is.
    """

    def __init__(self, reason: str, detail: str, field: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.field = field
        super().__init__(detail)

    def __reduce__(self) -> tuple[type[EventError], tuple[str, str, str | None]]:
        return type(self), (self.reason, self.detail, self.field)


class StateError(StreamRetrainError):
    """A shard's checkpoint is missing, corrupt, wrongly signed, or does not fit the log: the message names the choices."""


class StoreError(StreamRetrainError):
    """The store did not answer, or refused: see that Redis runs, can be reached and has memory; work goes on when it does."""


class RequestsFullError(StoreError):
    """As many requests wait for a shard as may: see that a worker has it, that it is not paused, and that events come, which take them."""


class StaleEpochError(StoreError):
    """Another worker has claimed the shard since: this one must drop it, and write nothing more for it."""


class WindowGapError(StoreError):
    """The store has lost rows of a window: see that it persists what it is given, and that nobody empties it."""


class BrokerError(StreamRetrainError):
    """Kafka did not answer, or refused: see that it runs and that topics and rights are as the message says."""


class FormatUnavailableError(BrokerError):
    """The schema of a record cannot be had now: see that the Schema Registry runs and that its settings are right; records wait for it."""


class FencedError(BrokerError):
    """Another worker has taken this one's place, or a transaction took too long: give each worker its own instance name."""


class InstanceHeldError(FencedError):
    """The group still has a member of this worker's name, and keeps its partitions: it is removed, and this worker joins again."""


class TrainingError(StreamRetrainError):
    """A training came to nothing: mend what the message names, or raise the limit it ran into; the champion goes on meanwhile."""


class LimitError(StreamRetrainError):
    """A limit was reached whose reaction is to stop: raise it, declare another reaction, or use a smaller model; then start again."""


class BacktestError(StreamRetrainError):
    """A backtest could not be run to its end: see what the message says of the process or the machine, and run it again."""


class CallbackError(StreamRetrainError):
    """The process that calls a callback could not be made ready: mend what the message names; decisions wait until then."""


class WebhookError(StreamRetrainError):
    """A request is no webhook of who has the secret: answer it with 400, and do nothing else."""


class LocalStackError(StreamRetrainError):
    """The local Kafka, Valkey or demo data could not be had: install what the message names."""
