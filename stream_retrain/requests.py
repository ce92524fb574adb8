"""Requests: where every door ends (the command line, HTTP, a topic), so that all of them take and answer the same.

Protocol of use, for a door:

1. It makes an `Asked` of what came, with a token of its own (`new_token`) where none was given, and says who asks (`by`).
2. `Requests.ask` checks it against the pipeline and puts it into the store, for one partition or for all. It raises `RequestError` and
   asks nothing where something is wrong with it.
3. It answers with `Answer.shown`.

A shard takes a request with its next event and once, however often the same token is asked (`core.contest.inputs`). Pausing and resuming
are no inputs: they hold from the moment they are stored.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.combinations import leaves
from stream_retrain.core.react.cron import Cron
from stream_retrain.core.react.triggers import Request
from stream_retrain.errors import RequestError, StateError
from stream_retrain.facts.request import BY_BYTES_MAX, REASON_BYTES_MAX, REQUEST_KINDS, TOKEN, Asked, due_in
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import is_version_id, partition_of
from stream_retrain.stores.ports import RequestStore, Stores
from stream_retrain.stores.worker_status import ShardBrief

__all__ = ["Answer", "Requests", "new_token"]


def new_token() -> str:
    """A token that no other request has."""
    return uuid.uuid4().hex


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a door answers."""

    pipeline: str
    asked: Asked
    partitions: tuple[int, ...]
    new: tuple[int, ...]
    """Those of the partitions where it was not asked before, or where it has changed something."""
    reactions: tuple[str, ...] = ()
    """Of a retrain: what the rules on requests do."""
    notes: tuple[str, ...] = ()
    """What stands in its way, in words."""

    def shown(self) -> dict[str, Any]:
        """As values for JSON."""
        asked = self.asked
        return {
            "pipeline": self.pipeline,
            "do": asked.do,
            "token": asked.token,
            "version": asked.version,
            "reason": asked.reason,
            "by": asked.by,
            "reactions": list(self.reactions),
            "requests": dict.fromkeys(self.partitions, asked.token),
            "new": list(self.new),
            "notes": list(self.notes),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Asks the shards of one pipeline."""

    pipeline: Pipeline
    stores: Stores
    group: str
    """The consumer group whose workers hold the shards."""
    count: Callable[[], int]
    """How many partitions the source has. May raise `BrokerError`."""
    known: Callable[[ShardId, str], object] | None = None
    """Raises `StateError` where a shard has no such version; None: the shard's owner finds out."""

    def ask(self, asked: Asked, partitions: Sequence[int] | None = None) -> Answer:
        """Check a request and put it into the store, for these partitions or for all.

        Raises `RequestError`; `RequestsFullError` where as many wait for a shard as may, after it was asked of those before it.
        """
        answer = self.checked(asked, partitions)
        numbers = answer.partitions
        shards = [ShardId(self.pipeline.name, self.pipeline.source, number) for number in numbers]
        for shard in shards if asked.do == "promote" and self.known is not None else ():
            self._known(shard, asked.version)
        workers = self.stores.workers.all(self.group)
        held = {shard.partition: shard for worker in workers for shard in worker.status.shards}
        new = tuple(shard.partition for shard in shards if self._put(shard, asked, held.get(shard.partition)))
        notes = _notes(asked, numbers, new, held, self.group if not workers else None)
        return dataclasses.replace(answer, new=new, notes=tuple(notes))

    def checked(self, asked: Asked, partitions: Sequence[int] | None = None) -> Answer:
        """What can be said of a request without the store; nothing is asked. Raises `RequestError`."""
        _check(asked)
        rules = [type(rule.do).__name__ for rule in self._rules(asked)]
        numbers = tuple(self._partitions(asked, partitions))
        return Answer(pipeline=self.pipeline.name, asked=asked, partitions=numbers, new=(), reactions=tuple(rules))

    def _known(self, shard: ShardId, version: str) -> None:
        try:
            if self.known is not None:
                self.known(shard, version)
        except StateError as error:
            raise RequestError("unknown", f"{error}; see stream-retrain models list") from None

    def _rules(self, asked: Asked) -> list[Any]:
        """The rules that a retrain asks."""
        if asked.do != "retrain":
            return []
        react, name = self.pipeline.react, self.pipeline.name
        if asked.rule is not None:
            if not 0 <= asked.rule < len(react):
                raise RequestError("unknown", f"pipeline {name!r} has no rule {asked.rule}")
            if not any(isinstance(each, Cron) for each in leaves(react[asked.rule].trigger)):
                raise RequestError("conflict", f"rule {asked.rule} of pipeline {name!r} is of no schedule: leave the rule out")
            return [react[asked.rule]]
        rules = [rule for rule in react if any(isinstance(each, Request) for each in leaves(rule.trigger))]
        if not rules:
            raise RequestError("conflict", f"pipeline {name!r} has no rule on requests; add On.request(Retrain(...)) to react")
        return rules

    def _partitions(self, asked: Asked, partitions: Sequence[int] | None) -> list[int]:
        """Those that were named, or all; the version of a shard is for that shard."""
        count, own = self.count(), partition_of(asked.version) if asked.do == "promote" else None
        if own is not None:
            if beyond := [number for number in partitions or () if number != own]:
                raise RequestError("conflict", f"version {asked.version} is of partition {own}, and cannot serve partition {beyond[0]}")
            partitions = [own]
        if beyond := [number for number in partitions or () if not 0 <= number < count]:
            raise RequestError("unknown", f"topic {self.pipeline.source!r} has partitions 0 to {count - 1}, and not {beyond[0]}")
        return sorted(set(partitions or range(count)))

    def _put(self, shard: ShardId, asked: Asked, held: ShardBrief | None) -> bool:
        """Whether it has changed anything in the store."""
        store: RequestStore = self.stores.requests
        match asked.do:
            case "pause":
                return store.pause(shard, asked)
            case "resume":
                refused = held is not None and held.state == "paused"
                return store.resume(shard, asked, held.offset if refused and held is not None else None)
            case _:
                return store.ask(shard, asked)


def _check(asked: Asked) -> None:
    """What can be wrong with a request by itself."""
    if asked.do not in REQUEST_KINDS:
        raise RequestError("invalid", f"{str(asked.do)[:40]!r} is no request; ask for one of {', '.join(REQUEST_KINDS)}")
    if not TOKEN.fullmatch(asked.token):
        raise RequestError("invalid", "a token has 1 to 100 letters of A-Z, a-z, 0-9, underscore, point, colon and hyphen")
    if due_in(asked.token) is not None:
        raise RequestError("invalid", "tokens like cron:0:1700000000 are those of schedules (On.cron); use another")
    for name, text, bytes_max in (("reason", asked.reason, REASON_BYTES_MAX), ("by", asked.by, BY_BYTES_MAX)):
        if len(text.encode("utf-8", "replace")) > bytes_max:
            raise RequestError("invalid", f"{name} has more than {bytes_max:,} bytes of UTF-8; say it in fewer words")
    if asked.do != "promote" and asked.version:
        raise RequestError("invalid", f"a {asked.do} has no version; ask for a promote")
    if asked.do == "promote" and not (is_version_id(asked.version) or asked.version in ("challenger", "previous")):
        how = "2-g14 (a generation), 2-t3 (a training), import-..., challenger or previous"
        raise RequestError("invalid", f"{asked.version[:80]!r} names no version that can be promoted; use one like {how}")


def _notes(asked: Asked, numbers: Sequence[int], new: Sequence[int], held: Mapping[int, ShardBrief], nobody: str | None) -> list[str]:
    """What stands in the way of requests, as the workers of the group last told how they stand."""
    if asked.do in ("pause", "resume"):
        before = "was paused before" if asked.do == "pause" else "was not paused"
        return [f"partition {number} {before}" for number in numbers if number not in new]
    if nobody is not None:
        return [f"no worker of group {nobody} runs: the request waits for one, for a week at most"]
    notes = [f"partition {number}: a request of this token waits already" for number in numbers if number not in new]
    in_the_way = ((number, _in_the_way(asked, held.get(number))) for number in numbers)
    return [*notes, *(f"partition {number}{note}" for number, note in in_the_way if note is not None)]


def _in_the_way(asked: Asked, shard: ShardBrief | None) -> str | None:
    if shard is None:
        return ": no worker has it now; the request waits until one does"
    if shard.state == "paused":
        return " is paused: the request is taken once it goes on (stream-retrain resume)"
    if shard.duel is not None and not shard.duel.rematch and asked.do == "retrain":
        return f": duel {shard.duel.number} is in progress, and while it lasts a request is refused"
    if shard.training is not None and asked.do == "retrain":
        return f": training {shard.training} is under way, and until it is over another one is refused"
    return None
