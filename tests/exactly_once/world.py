"""A group of workers on the model broker and a store that fails: everything that can happen to them, one step at a time.

The workers are the real `kafka.worker.Worker`, with the real driver, shards, seals and memory stores. One step is one call into one
worker, or one event of the world between such calls; a crash is an exception that no code of the worker catches, raised at a fail
point. `settle` ends a history: all faults are over, everything is read, every worker stops; `judge` says whether it was exactly once.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import itertools
import json
import random
from collections.abc import Callable
from typing import Any, Literal

from river import drift, linear_model

from stream_retrain import Evidence, On, Pipeline, Reset, Retrain, Schema, Watch, Window
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.digest import digest
from stream_retrain.engines import failpoints
from stream_retrain.engines.driver import window_feed
from stream_retrain.engines.failpoints import FailPoint
from stream_retrain.engines.kafka.worker import Worker
from stream_retrain.engines.replay.checkpoint_watch import CheckpointWatch
from stream_retrain.engines.replay.kept_artifacts import KeptArtifacts
from stream_retrain.engines.replay.recorded import recorded_in
from stream_retrain.engines.replay.replay import replay
from stream_retrain.engines.replay.verifier import Expected, Verdict, expected_of, verify
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.errors import FencedError, StateError, StoreError, StreamRetrainError
from stream_retrain.facts.request import Asked, RequestKind
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Processed, WorkerFact
from stream_retrain.lane.batch import Record
from stream_retrain.lane.put import Found, Put
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.settings import Settings
from stream_retrain.stores.memory import memory_stores
from stream_retrain.stores.ports import Stores
from tests.exactly_once.kept_versions import faults_of_versions
from tests.exactly_once.model_broker import SESSION_TIMEOUT_S, Broker
from tests.exactly_once.model_clients import Fences, Process, model_clients
from tests.versions_support import KnownVersions, at_once

PARTITIONS = 3
EVENTS = 48
"""Of each partition; the last few are published when all faults are over, so that every shard moves once more."""
HELD_BACK = 4
WORKERS = 3
WINDOW_ROWS = 15
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))


PIPELINE = Pipeline(
    name="model",
    task="binary",
    source="events",
    schema=Schema(id="id", label="y", features={"a": float, "b": float}),
    model=linear_model.LogisticRegression(),
    watch=[Watch("error", drift.PageHinkley(min_instances=8, threshold=1.5))],
    react=[On.drift("error", Reset())],
    window_rows_max=WINDOW_ROWS,
    rolling_events=5,
)
TAKES_INPUTS = dataclasses.replace(
    PIPELINE,
    name="inputs",
    react=[
        On.every(events=9, do=Retrain(window=Window(rows=500), evidence=Evidence(events_min=4, events_max=5, rarest_min=1))),
        On.drift("error", Reset()),
        On.request(Reset()),
    ],
)
"""The same with what comes from outside the log: challengers of a trainer, and requests."""
KINDS: tuple[tuple[RequestKind, str], ...] = (
    ("retrain", ""),
    ("promote", "{}-g1"),
    ("rollback", ""),
    ("reset", ""),
    ("promote", "import-0123456789ab"),
    ("promote", "{}-t99"),
)
"""What somebody may ask for; the last is a version that nobody has."""
OUTCOMES = frozenset({"policy.requested", "model.reset", "model.promoted", "request.refused"})
PAUSES = dataclasses.replace(PIPELINE, name="pauses", rejects_share_max=0.15, rejects_over_records=12)
"""The same with a limit of refused records, which each partition reaches twice; somebody lets it go on."""
vars(window_feed)["CHUNK_ROWS"] = 4  # so that a replay of a few dozen rows appends more than one chunk
StoreState = Literal["up", "down", "answer_lost"]


def _as_read(headers: Any) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text if isinstance(text, bytes) else text.encode()) for name, text in headers or ())


def known_version(shard: ShardId, wanted: str) -> tuple[str, Any]:
    """A version of each shard, and one of all; what served before is called one of another shard, so that each is another model."""
    if wanted.endswith("-t99"):
        raise StateError(f"{shard} has no version {wanted}")
    model = linear_model.LogisticRegression(l2=0.01 * (shard.partition + len(wanted)))
    for number in range(20):
        model.learn_one({"a": number % 3 - 1.0, "b": len(wanted) * 0.1}, number % 3 > 1)
    return "old-g0" if wanted == "previous" else wanted, model


class Crashed(BaseException):
    """The process is gone."""


@functools.cache
def log_of(partition: int) -> tuple[Record, ...]:
    """Events of all kinds: answered at once, answered late, no events; the concept turns around half-way."""
    rng = random.Random(partition)
    records: list[Record] = []
    waiting: dict[int, dict[str, Any]] = {}
    for number in range(EVENTS):
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
        y = (x["a"] > 0) != (number > EVENTS // 2)
        if number in waiting:
            row = waiting.pop(number)
        elif number % 7 == 3 and number < EVENTS - 20:
            row, waiting[number + 8] = {"id": f"e{number}", **x}, {"id": f"e{number}", "y": y}
        else:
            row = {"id": "bad"} if number % 11 == 5 else {"id": f"e{number}", **x, "y": y}
        records.append(Record(number, b"k%d" % partition, json.dumps(row).encode(), number * 1_000))
    return tuple(records)


@functools.cache
def oracle(partition: int) -> Expected:
    """Where nothing came from outside."""
    return expected_of(PIPELINE, partition, log_of(partition))


@functools.cache
def window_offsets(partition: int) -> list[int]:
    """The offsets of the last labelled rows."""
    return [row.offset for _, step in replay(PIPELINE, log_of(partition)) for row in step.learned][-WINDOW_ROWS:]


class FailingStores:
    """Memory stores between which and the workers something can stand; saved checkpoints are shown to a watch."""

    def __init__(self, on_saved: Callable[[ShardId, int], None]) -> None:
        self.state: StoreState = "up"
        self.real: Stores = memory_stores(KEYRING)
        self._kept: dict[Any, Any] = self.real.checkpoints._shards._kept  # type: ignore[attr-defined]
        self._on_saved = on_saved
        self._picture: dict[Any, Any] = {}
        self.lost_something = False

    def seen_by_a_worker(self) -> Stores:
        return dataclasses.replace(
            self.real,
            window=_Between(self.real.window, self, None),
            checkpoints=_Between(self.real.checkpoints, self, self._on_saved),
            requests=_Between(self.real.requests, self, None),
            parts=_Between(self.real.parts, self, None),
            artifacts=_Between(self.real.artifacts, self, None),
            versions=_Between(self.real.versions, self, None),
            models=_Between(self.real.models, self, None),
            ping=lambda: None,
        )

    def empty(self) -> None:
        self.lost_something = True
        self._kept.clear()

    def take_picture(self) -> None:
        self._picture = copy.deepcopy(self._kept)

    def go_back(self) -> None:
        """Come back without what was written since the picture."""
        self.lost_something = True
        self._kept.clear()
        self._kept.update(copy.deepcopy(self._picture))


class _Between:
    def __init__(self, real: Any, owner: FailingStores, on_saved: Callable[[ShardId, int], None] | None) -> None:
        self._real, self._owner, self._on_saved = real, owner, on_saved

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._owner.state == "down":
                raise StoreError("the store is down")
            answer = real(*args, **kwargs)
            if name == "save" and self._on_saved is not None:
                self._on_saved(args[0], args[2])
            if self._owner.state == "answer_lost":
                raise StoreError("the store did not answer")
            return answer

        return call


@dataclasses.dataclass(eq=False, slots=True)
class Slot:
    """A place for a worker process; `armed` is where, and the how many-th time, it dies next, `hangs` where it is suspended for long."""

    name: str
    process: Process = dataclasses.field(default_factory=Process)
    worker: Worker | None = None
    started: bool = False
    armed: tuple[FailPoint, int] | None = None
    hangs: FailPoint | None = None


class World:
    """Protocol of use: any steps, in any order; then `settle`, then `judge`."""

    def __init__(
        self,
        seed: int,
        *,
        static: bool = True,
        worker: type[Worker] = Worker,
        pipeline: Pipeline = PIPELINE,
        fences: Fences = "generation",
    ) -> None:
        self.pipeline = pipeline
        self.rng = random.Random(seed)
        self.broker = Broker(PIPELINE.source, PARTITIONS, self.rng)
        self.watch = CheckpointWatch()
        self.stores = FailingStores(self._saved)
        self.slots = [Slot(f"w{number}") for number in range(WORKERS)]
        self.reached: set[FailPoint] = set()
        self.crashes = 0
        self.replayed = 0
        self.let_go_on = 0
        self._static = static
        self._fences = fences
        self._worker = worker
        self._settings = Settings(
            commit_interval_ms=150,
            poll_records_max=10,
            commit_events_max=8,
            checkpoint_events=6,
            checkpoint_interval_s=2.0,
            replay_debt_events_max=25,
            session_timeout_ms=int(SESSION_TIMEOUT_S * 1000),
            static_membership=static,
            shutdown_timeout_s=5.0,
        )
        self._tokens = itertools.count()
        self._asked: list[list[Asked]] = [[] for _ in range(PARTITIONS)]
        self.taken: collections.Counter[str] = collections.Counter()
        """What was asked for and taken, by what came of it, once it was judged."""
        self._published = [0] * PARTITIONS
        self.publish(EVENTS // 3)

    # what can happen

    def publish(self, count: int) -> None:
        """So many more events in each partition, as far as there are any but the last few."""
        for partition in range(PARTITIONS):
            self._publish(partition, min(count, EVENTS - HELD_BACK - self._published[partition]))

    def start(self, slot: Slot) -> None:
        """A process begins in a slot that is free."""
        if slot.worker is not None:
            return
        slot.process = Process()

        def begin() -> None:
            stores = self.stores.seen_by_a_worker()
            clients = model_clients(self.broker, slot.process, static=self._static, fences=self._fences)
            trainer = InlineTrainer(self.pipeline, stores, KEYRING)
            ends = {"promotions": at_once(KnownVersions(known_version))}
            slot.worker = self._worker(self.pipeline, self._settings, stores, KEYRING, slot.name, clients, self._told, trainer, **ends)
            slot.worker.start()

        self._in(slot, begin)

    def turn(self, slot: Slot, seconds: float = 0.1) -> None:
        """A worker turns once, if one runs there."""
        if slot.worker is not None and slot.process.running:
            self._in(slot, slot.worker.turn)
            self._let_go_on(slot)
        self.broker.advance(seconds)

    def _let_go_on(self, slot: Slot) -> None:
        """Sooner or later somebody sees that a partition is paused."""
        driver = slot.worker.driver if slot.worker is not None else None
        for partition in driver.paused if driver is not None else ():
            if driver is not None and self.rng.random() < 0.3:
                self.stores.real.requests.resume(self._shard(partition), self._once("resume"), driver.position(partition))
                self.let_go_on += 1

    def stop(self, slot: Slot) -> None:
        """SIGTERM."""
        worker = slot.worker
        if worker is None or not slot.process.running:
            return

        def end() -> None:
            worker.stop()
            worker.close()

        self._in(slot, end)
        self._dead(slot)

    def kill(self, slot: Slot) -> None:
        """SIGKILL."""
        if slot.worker is not None:
            self.crashes += 1
            self._dead(slot)

    def suspend(self, slot: Slot) -> None:
        """SIGSTOP."""
        slot.process.running = False

    def resume(self, slot: Slot) -> None:
        """SIGCONT."""
        slot.process.running = slot.worker is not None

    def arm(self, slot: Slot, point: FailPoint, nth: int = 1) -> None:
        slot.armed = point, nth

    def request(self, partition: int, kind: int = 0) -> None:
        """Somebody asks for something of a pipeline whose store keeps what it is given: one of `KINDS`, or the same as before again."""
        if self.pipeline is not TAKES_INPUTS:
            return
        asked = self._asked[partition]
        do, version = KINDS[kind % len(KINDS)]
        given = Asked(token=f"{partition}.{len(asked)}", do=do, reason="asked", version=version.format(partition), by="test")
        if kind % 5 == 4 and asked:
            given = asked[-1]
        else:
            asked.append(given)
        self.stores.real.requests.ask(self._shard(partition), given)

    def pause(self, partition: int) -> None:
        """Somebody has a partition paused."""
        self.stores.real.requests.pause(self._shard(partition), self._once("pause"))

    def _once(self, do: Literal["pause", "resume"]) -> Asked:
        return Asked(token=f"{do}.{next(self._tokens)}", do=do)

    def go_on(self, partition: int) -> None:
        """And has it go on."""
        self.stores.real.requests.resume(self._shard(partition), self._once("resume"))

    def empty_store(self) -> None:
        self.stores.empty()
        self.watch.forget()

    def rewind_store(self) -> None:
        self.stores.go_back()
        self.watch.forget()

    # the end

    def settle(self) -> None:
        """No fault any more: all is published and read, every worker has stopped."""
        self.stores.state = "up"
        for partition in range(PARTITIONS):
            self.go_on(partition)
        for slot in self.slots:
            slot.armed = slot.hangs = None
            slot.process.faults.clear()
            self.resume(slot)
        self._run_until_read()
        for partition in range(PARTITIONS):
            self._publish(partition, EVENTS - self._published[partition])
        self._run_until_read()
        for slot in self.slots:
            self.stop(slot)

    def judge(self) -> Verdict:
        """The verdict on all partitions. Raises AssertionError for what was wrong with checkpoints or windows."""
        assert not self.watch.faults, self.watch.faults
        verdict = Verdict()
        for partition in range(PARTITIONS):
            id_ = self._shard(partition)
            stored = self.stores.real.checkpoints.load(id_)
            state, pending = None, ()
            if stored:
                header, payload = unseal(stored[0], KEYRING)
                saved = load_state(payload)
                state, pending = (header.offset, digest(saved)), saved["inputs"]
            found = self.put_out(partition)
            self._judge_requests(partition, found, [getattr(each, "token", "") for each in pending])
            inputs = [*recorded_in(found), *((EVENTS, given) for given in pending)]
            plain = not inputs and self.pipeline is PIPELINE
            expected = oracle(partition) if plain else self._expected(partition, inputs)
            verdict += verify(expected, [each.put for each in found], state, EVENTS)
            if not self.stores.lost_something:
                faults = faults_of_versions(found, self.stores.real, self.pipeline, id_, KEYRING)
                assert not faults, faults
            assert [row.offset for row in self.stores.real.window.last(id_, WINDOW_ROWS)] == window_offsets(partition), "window"
        return verdict

    def _judge_requests(self, partition: int, found: list[Found], pending: list[str]) -> None:
        """Each that was asked for was taken once, whatever crashed, or waits."""
        told: collections.Counter[str] = collections.Counter()
        for each in found:
            if each.identity.fact in OUTCOMES and (token := json.loads(each.put.value or b"")["data"]["token"]):
                told[token] += 1
                self.taken[each.identity.fact] += 1
        waiting = [asked.token for asked in self.stores.real.requests.look(self._shard(partition)).waiting]
        assert set(told.values()) <= {1}, (partition, told)
        assert set(told) | {*waiting, *pending} >= {asked.token for asked in self._asked[partition]}, (partition, told, waiting, pending)

    def _expected(self, partition: int, inputs: Any) -> Expected:
        """What came from outside is given again; every challenger that a decision names must be kept."""
        id_ = self._shard(partition)

        def load(name: str) -> bytes:
            sealed = self.stores.real.artifacts.load(id_, name)
            assert sealed is not None, f"a decision names artifact {name}, and it is not kept"
            return sealed

        artifacts = KeptArtifacts(load, self.pipeline, id_, KEYRING)
        return expected_of(self.pipeline, partition, log_of(partition), inputs, artifacts=artifacts)

    def put_out(self, partition: int) -> list[Found]:
        """What can be read as committed, kind by kind."""
        return [
            Found.of(at, Put(kind, entry.key, entry.value, _as_read(entry.headers)))
            for kind in OUTPUT_KINDS
            for at, entry in self.broker.readable(f"{self.pipeline.name}.{kind}", partition, 0, 10**9)
        ]

    def _shard(self, partition: int) -> ShardId:
        return ShardId(self.pipeline.name, self.pipeline.source, partition)

    def _run_until_read(self) -> None:
        for _ in range(1_000):
            if self._all_is_read():
                return
            for slot in self.slots[:2]:
                self.start(slot)
            for slot in self.slots:
                self.turn(slot, 0.06)
        raise AssertionError(f"not everything is read: {self.broker.committed} of {self._published}")

    def _all_is_read(self) -> bool:
        """Everything is committed, and every partition has an owner that is live."""
        drivers = [slot.worker.driver for slot in self.slots if slot.worker is not None]
        owned = sum(not lane.replaying for driver in drivers for lane in driver.lanes.values())
        read = all(self.broker.stable_offset(partition) == count for partition, count in enumerate(self._published))
        return read and owned == PARTITIONS

    def _publish(self, partition: int, count: int) -> None:
        first = self._published[partition]
        for record in log_of(partition)[first : first + count]:
            self.broker.append(PIPELINE.source, partition, record.key, record.value)
        self._published[partition] = first + max(0, count)

    def _in(self, slot: Slot, action: Callable[[], None]) -> None:
        """Let a process do something; it may die of it. What the supervised loop would retry begins anew with the next step."""
        left = slot.armed[1] if slot.armed else 0

        def at(point: FailPoint) -> None:
            nonlocal left
            self.reached.add(point)
            if slot.hangs == point:
                slot.hangs = None
                self._hang(slot)
                failpoints.arm(at)
            if slot.armed is not None and slot.armed[0] == point:
                left -= 1
                if left <= 0:
                    slot.armed = None
                    raise Crashed

        failpoints.arm(at)
        try:
            action()
        except Crashed:
            self.kill(slot)
        except StateError as error:
            raise AssertionError(f"a worker refused its state: {error}") from error
        except (FencedError, StreamRetrainError):
            self._attempt_again(slot)
        finally:
            failpoints.disarm()

    def _hang(self, slot: Slot) -> None:
        """Within a step: the process is suspended until the others have its partitions, and have gone on there; then it goes on itself."""
        self.suspend(slot)
        self.broker.advance(SESSION_TIMEOUT_S + 0.5)
        for _ in range(6):
            for other in self.slots:
                if other is not slot:
                    self.turn(other, 0.3)
        self.resume(slot)

    def _attempt_again(self, slot: Slot) -> None:
        """What `run_worker` and `supervise` do: let go of everything, and begin again in the same process."""
        try:
            if slot.worker is not None:
                slot.worker.close()
        except Crashed:
            self.crashes += 1
        self._dead(slot)

    def _dead(self, slot: Slot) -> None:
        slot.process.running = False
        slot.worker = None

    def _saved(self, id_: ShardId, offset: int) -> None:
        self.watch.saw(id_, offset, self.broker.committed.get(id_.partition))

    def _told(self, fact: WorkerFact) -> None:
        if isinstance(fact, Processed) and fact.replayed:
            self.replayed += fact.records
