"""A live run in this process, with crashes, trainings and requests, and its topics as a verification reads them."""

from __future__ import annotations

import collections
import dataclasses
import json
import random
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from river import drift, tree

from stream_retrain import Evidence, On, Pipeline, Reset, Retrain, Watch, Window
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.driver.limits import VersionLimits
from stream_retrain.engines.driver.promotions import Versions
from stream_retrain.engines.replay.clock import SimulatedClock
from stream_retrain.engines.replay.past import KeptStates, Wanted
from stream_retrain.engines.replay.report import PartitionReport
from stream_retrain.engines.replay.verification import verify_partition
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.put import Found, put_of
from stream_retrain.lane.step import DECISIONS, OUTPUT_KINDS, OutputKind
from stream_retrain.requests import new_token
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Stores
from tests.core import streams
from tests.versions_support import at_once

COUNT = 3_000
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))
BATCH = 90


def declared(**changes: Any) -> Pipeline:
    """A pipeline that takes everything that can come from outside."""
    parts = {
        "model": tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1),
        "watch": [Watch("error", drift.ADWIN())],
        "react": [
            On.drift("error", Retrain(window=Window(rows=500), evidence=Evidence(events_max=300)), cooldown_events=200),
            On.every(events=800, do=Retrain(window=Window(rows=600), evidence=Evidence(events_max=200))),
            On.request(Reset()),
        ],
    }
    return streams.pipeline(**{**parts, **changes})


PIPELINE = declared()
PLAIN = declared(react=[On.drift("error", Reset(), cooldown_events=100)])


def log_of(count: int = COUNT, seed: int = 3) -> list[Record]:
    """Drifts, late labels, and records that are no events."""
    rng = random.Random(seed)
    late: dict[int, dict[str, Any]] = {}
    records: list[Record] = []
    for number, (x, y) in enumerate(streams.rows(count, flip_at=count // 2)):
        if number in late:
            row = late.pop(number)
        elif number % 50 == 7:
            row = {"id": 7}
        elif rng.random() < 0.1:
            row, late[number + 40] = {"id": f"e{number}", **x}, {"id": f"e{number}", "y": y}
        else:
            row = {"id": f"e{number}", **x, "y": y}
        records.append(Record(number, b"k%d" % (number % 3), json.dumps(row).encode(), number * 1_000))
    return records


RECORDS = log_of()


class LiveRun:
    """Workers of one partition, one after the other, on stores that outlive them. `topics` is what they have put out."""

    def __init__(self, records: Sequence[Record] = RECORDS, first: int = 0) -> None:
        self.records = records
        self.topics: dict[OutputKind, list[Found]] = collections.defaultdict(list)
        self.stores: Stores = connect("memory://", keyring=KEYRING)
        self.committed: int | None = None
        self.first = first
        """The first offset that is retained."""
        self.high = len(records)

    def work(
        self,
        until: int,
        pipeline: Pipeline = PIPELINE,
        *,
        requests_at: Sequence[int] = (),
        asks: Sequence[tuple[int, Asked]] = (),
        versions: Versions | None = None,
        keeps: VersionLimits | None = None,
        stop: bool = False,
        **limits: Any,
    ) -> None:
        """A worker begins, goes on up to an offset, and is killed there; or is stopped in good order. `asks`: at which offset, for what."""
        wall_s = limits.pop("wall_s", time.time)
        clock, log_changes, tell = SimulatedClock(), limits.pop("log", {}), limits.pop("tell", lambda _: None)
        allowed = DriverLimits(**{"checkpoint_events": 400, "versions": keeps, **limits})
        trainer, promotions = InlineTrainer(pipeline, self.stores, KEYRING), at_once(versions)
        driver = Driver(pipeline, self.stores, KEYRING, allowed, tell, clock, trainer, promotions=promotions, wall_s=wall_s)
        opened = driver.open(0, Log(self.committed, self.first, self.high, **log_changes), 0.0)
        at, asked = opened.offset, [(at, Asked(token=new_token(), reason=f"asked at {at}")) for at in requests_at]
        asked = sorted([*asked, *asks], key=lambda each: each[0])
        while at < until:
            end = min(at + BATCH, until)
            while asked and asked[0][0] < end:
                self.stores.requests.ask(opened.id, asked.pop(0)[1])
            driver.take(0, Records.of([each for each in self.records if at <= each.offset < end]))
            driver.reached(0, end)
            at = end
            unsent = driver.unsent()
            for output in unsent.outputs:
                put = put_of(output)
                self.topics[put.kind].append(Found.of(len(self.topics[put.kind]) * 2, put))
            driver.committed(unsent.offsets)
            self.committed = unsent.offsets.get(opened.id, self.committed)
            clock.advance(1.0)
            driver.settle(clock.now_s)
        if stop:
            driver.checkpoint(clock.now_s, float("inf"))
            driver.close()

    def past(self, **changes: Any) -> MemoryPast:
        return MemoryPast(self.records, {kind: list(self.topics[kind]) for kind in OUTPUT_KINDS}, **{"first": self.first, **changes})

    def of(self, fact: str) -> list[dict[str, Any]]:
        """The decisions of a kind."""
        return [json.loads(each.put.value or b"") for each in self.topics[DECISIONS] if each.identity.fact == fact]


@dataclasses.dataclass
class MemoryPast:
    """A `PartitionPast` of lists; what stands in `topics` may be changed before it is read."""

    all: Sequence[Record]
    topics: dict[OutputKind, list[Found]]
    first: int = 0
    holes: str = ""
    whole: dict[OutputKind, int] = dataclasses.field(default_factory=dict)
    chunk: int = 70

    def records(self, first: int, end: int) -> Generator[Records]:
        wanted = [each for each in self.all if max(first, self.first) <= each.offset < end]
        for at in range(0, len(wanted), self.chunk):
            yield Records.of(wanted[at : at + self.chunk])

    def outputs(self, kind: OutputKind, since: int) -> Generator[Found]:  # noqa: ARG002 - it may give some before
        yield from self.topics[kind]

    def whole_from(self, kind: OutputKind) -> int:
        return self.whole.get(kind, 0)

    def change(self, kind: OutputKind, at: int, edit: Callable[[bytes], bytes]) -> Found:
        """Change the value of the output that stands at a place among its kind; the one that was there."""
        found = self.topics[kind][at]
        self.topics[kind][at] = Found.of(found.at, found.put._replace(value=edit(found.put.value or b"")))
        return found


def verified(run: LiveRun, past: MemoryPast | None = None, pipeline: Pipeline = PIPELINE, **wanted: Any) -> PartitionReport:
    """The report on a run, as it was or as `past` has it; all of it, predictions too, unless `wanted` says otherwise."""
    kept = wanted.pop("kept", KeptStates(run.stores.checkpoints.load, run.stores.artifacts.load))
    keyring, record_bytes_max = wanted.pop("keyring", KEYRING), wanted.pop("record_bytes_max", 1_000_000)
    asked = Wanted(**{"from_offset": 0, "to_offset": run.committed or 0, "predictions": True, **wanted})
    id_ = ShardId(pipeline.name, pipeline.source, 0)
    return verify_partition(pipeline, id_, past or run.past(), kept, keyring, asked, record_bytes_max=record_bytes_max)


SMALL_ARTIFACTS = ArtifactLimits(bytes_max=1)
