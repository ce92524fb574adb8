"""Mutated values in Redis, one after the other, and the proof that none ends a worker or a trainer.

    python -m benchmarks.fuzz_redis --values 100000 [--kind window] [--seed 1] [--redis URL]

For each kind of key: change one genuine value, let the owner of the shard turn (a driver over the stores, as the worker drives it) and a
trainer look, and see that the owner has appended to its window and saved a checkpoint within `TURNS_MAX` turns. `StoreError` opens the
shard again, as the worker does. Anything else that is raised would end a worker: it ends the fuzzing, with the value shown.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import logging
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis
from river import linear_model, preprocessing

from stream_retrain import On, Pipeline, Reset, Retrain, Schema, Window
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.core.contest.training import Training
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.trainer import Job, TrainerLimits, train_job
from stream_retrain.engines.trainer.rq import RqTrainer, job_of
from stream_retrain.errors import StoreError, StreamRetrainError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect

__all__ = ["KINDS", "Report", "fuzz"]

KINDS: Final = ("epoch", "group", "window", "checkpoint", "checkpoint_previous", "requests", "job")
KEYRING: Final = Keyring(keys=(Key(id="k1", secret=b"a secret of the fuzz"),))
STEP: Final = 5
RETAINED: Final = 400
TURNS_MAX: Final = 6
GROUP: Final = "fuzzed"
NUMBERS: Final = tuple(
    b"-1 0 1 9007199254740991 9007199254740992 9007199254740993 4503599627370496 18446744073709551616 1e30 1e400 nan -nan inf"
    b" -inf 0x10 1.5 +7 00012 _1 1_0 '' NaN 99999999999999999999999999999999".split()
)
WRONG_TYPES: Final[tuple[Callable[[Any, str], Any], ...]] = (
    lambda client, key: client.set(key, b"some text"),
    lambda client, key: client.rpush(key, b"a", b"b"),
    lambda client, key: client.hset(key, b"a", b"b"),
    lambda client, key: client.sadd(key, b"a"),
    lambda client, key: client.zadd(key, {b"a": 1}),
    lambda client, key: client.xadd(key, {b"a": b"b"}, id="7-7"),
)


@dataclasses.dataclass
class Report:
    """How many values were tried, how often the shard was opened again, and how long it took."""

    kind: str
    values: int = 0
    opened_again: int = 0
    turns: int = 0
    seconds: float = 0.0
    raised: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def declared(name: str) -> Pipeline:
    return Pipeline(
        name=name,
        task="binary",
        source="fuzzed",
        schema=Schema(id="id", label="y", features={"a": float, "b": float}),
        model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        react=[On.request(Reset()), On.every(events=10**9, do=Retrain(window=Window(rows=50)))],
    )


class World:
    """A shard, its owner and a trainer, over one Redis, with a log that has no end and a clock that runs fast."""

    def __init__(self, url: str, name: str) -> None:
        self.pipeline = declared(name)
        self.shard = ShardId(self.pipeline.name, self.pipeline.source, 0)
        self.stores = connect(url, keyring=KEYRING, group=GROUP)
        self.client: Any = redis.Redis.from_url(url)
        self.now_s = 0.0
        self.committed = 0
        self.saved = 0
        self.driver: Driver | None = None
        self.trainer = RqTrainer(self.pipeline, url, self.stores.jobs, KEYRING, TrainerLimits(attempts_max=2))
        self.training = 0
        self.last_error: Exception | None = None

    def key(self, kind: str) -> str:
        return f"sr:{{{self.shard}}}:{kind}"

    def turn(self) -> bool:
        """One turn of the worker: open if need be, learn, commit, append, checkpoint; whether all of it was done."""
        self.now_s += 100.0
        try:
            if self.driver is None:
                self._open()
            driver = self.driver
            assert driver is not None
            at = driver.lanes[0].next_offset
            driver.take(0, Records.of([self._record(offset) for offset in range(at, max(self.committed, at) + STEP)]))
            unsent = driver.unsent()
            self.committed = unsent.offsets.get(self.shard, self.committed)
            before = self.saved
            driver.committed(unsent.offsets)
            driver.settle(self.now_s)
        except StoreError as error:
            self.driver = None
            self.last_error = error
            return False
        return self.saved > before

    def reopen(self) -> None:
        self.driver = None

    def _open(self) -> None:
        limits = DriverLimits(checkpoint_interval_s=0.0, checkpoint_events=1)
        driver = Driver(self.pipeline, self.stores, KEYRING, limits, self._tell, lambda: self.now_s)
        driver.open(0, Log(self.committed or None, max(0, self.committed - RETAINED), self.committed), self.now_s)
        self.driver = driver

    def _tell(self, fact: Any) -> None:
        if isinstance(fact, Checkpointed):
            self.saved = max(self.saved + 1, fact.offset)

    @staticmethod
    def _record(offset: int) -> Record:
        a, b = (offset * 37 % 101) / 50 - 1, (offset * 53 % 89) / 44 - 1
        return Record(offset, None, json.dumps({"id": str(offset), "a": a, "b": b, "y": a + b > 0}).encode(), offset * 1_000)

    def look(self) -> None:
        """The trainer reads the window and trains. Raises what would end it."""
        try:
            self.stores.window.span(self.shard)
            self.stores.window.after(self.shard, self.committed - 20, 50)
            job = Job(shard=self.shard, epoch=1, training=self._training())
            train_job(job, self.pipeline, self.stores.window, KEYRING)
        except StreamRetrainError:
            pass  # a training that fails, and is told

    def job_round(self, mutate: Callable[[], object]) -> None:
        """A job is asked for; its entry is changed; the trainer and the owner do their parts."""
        self.training += 1
        self.trainer.submit(Job(shard=self.shard, epoch=2**51 + self.training, training=self._training()))
        mutate()
        try:
            token = (self.client.hget(self.key("job"), "token") or b"none").decode("ascii", "replace")
            ticket = self.stores.jobs.take(self.shard, token)
            self.stores.jobs.heartbeat(self.shard, token, 3, None)
            if ticket is not None:
                job_of(self.shard, ticket)
        except (StreamRetrainError, redis.ResponseError):
            pass
        for _ in range(6):
            self.trainer._not_before_s = 0.0
            self.trainer.poll()
        self.trainer.cancel(self.shard)

    def _training(self) -> Training:
        through, now_s = max(0, self.committed - 1), float(self.committed)
        return Training(number=self.training, rule=1, challenger=0, through_offset=through, time_s=now_s, events_seen=through, cause="fuzz")


class _NoQueue:
    """RQ's queue, of which nothing is asked here: its entries would fill the memory."""

    def enqueue_call(self, *_: Any, **__: Any) -> None:
        pass


def mutated(chance: random.Random, value: bytes) -> bytes:
    """A value that is not the genuine one, near it or far from it."""
    match chance.randrange(8):
        case 0 if value:
            at = chance.randrange(len(value))
            return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
        case 1:
            return value[: chance.randrange(len(value) + 1)]
        case 2:
            at = chance.randrange(len(value) + 1)
            return value[:at] + chance.randbytes(chance.randrange(1, 9)) + value[at:]
        case 3:
            return chance.choice(NUMBERS)
        case 4:
            return chance.randbytes(chance.randrange(64))
        case 5:
            return b""
        case 6 if value:
            first, last = sorted(chance.randrange(len(value) + 1) for _ in range(2))
            return value[:first] + value[last:]
        case _:
            return str(chance.choice((1, -1)) * chance.randrange(2 ** chance.randrange(1, 70))).encode()


class Mutations:
    """Changes one value of a kind of key in a world."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._client = world.client
        self._chance = chance
        self.shown = ""

    def change(self, kind: str) -> None:
        key = self._world.key(kind)
        if self._chance.random() < 0.05:
            number = self._chance.randrange(len(WRONG_TYPES))
            self.shown = f"{kind} of type {number}"
            self._client.delete(key)
            WRONG_TYPES[number](self._client, key)
            return
        match kind:
            case "epoch" | "group":
                self._text(kind, key)
            case "window":
                self._window(key)
            case "requests":
                value = mutated(self._chance, b"0123456789abcdef a reason")
                self.shown = repr(value)
                if self._client.type(key) not in (b"zset", b"none"):
                    self._client.delete(key)
                self._client.zadd(key, {value: self._chance.choice((0, 1e18, -1e300, 1.7e12))})
            case _:
                self._hash(key)

    def _text(self, kind: str, key: str) -> None:
        value = mutated(self._chance, self._read_text(key) or GROUP.encode())
        if kind == "group" and re.fullmatch(rb"[A-Za-z0-9._-]{1,200}", value):
            value += b" "  # another group's name is refused, as it must be
        self.shown = repr(value)
        self._client.set(key, value)

    def _read_text(self, key: str) -> bytes | None:
        return self._client.get(key) if self._client.type(key) == b"string" else None  # type: ignore[no-any-return]

    def _hash(self, key: str) -> None:
        fields = self._client.hgetall(key) if self._client.type(key) == b"hash" else {}
        if not fields:
            return
        name = self._chance.choice(sorted(fields))
        if self._chance.random() < 0.1:
            self.shown = f"without {name!r}"
            self._client.hdel(key, name)
            return
        value = mutated(self._chance, fields[name])
        self.shown = f"{name!r} = {value[:200]!r}"
        self._client.hset(key, name, value)

    def _window(self, key: str) -> None:
        """A stream's entries cannot be changed, so the whole stream is written again with one changed."""
        entries = self._client.execute_command("XRANGE", key, "-", "+") if self._client.type(key) == b"stream" else []
        if not entries:
            return
        at = len(entries) - 1 if self._chance.random() < 0.5 else self._chance.randrange(len(entries))
        entry_id, fields = entries[at]
        flat = [each for pair in fields.items() for each in pair] if isinstance(fields, dict) else list(fields)
        place = self._chance.randrange(len(flat))
        match self._chance.randrange(8):
            case 0:
                entry_id = b"%d-0" % self._chance.randrange(2 ** self._chance.randrange(1, 63))
            case 1:
                del flat[place - place % 2 : place - place % 2 + 2]
            case 2:
                flat = [b"last_offset", b"9007199254740991"]
            case 3:  # genuine, and of another place
                flat = [each for pair in entries[0][1].items() for each in pair] if isinstance(fields, dict) else flat
            case _:
                flat[place] = mutated(self._chance, flat[place])
        self.shown = f"entry {at} of {len(entries)}: {entry_id!r} {flat!r}"[:600]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(key)
        for number, (other_id, other) in enumerate(entries):
            content = flat if number == at else [each for pair in other.items() for each in pair]
            if content:
                pipeline.execute_command("XADD", key, entry_id if number == at else other_id, *content)
        pipeline.execute(raise_on_error=False)


def fuzz(url: str, kind: str, values: int, seed: int = 1) -> Report:
    """Try `values` mutated values of a kind. Raises AssertionError with the value that ended something."""
    report, chance = Report(kind), random.Random(f"{kind} {seed}")
    world = World(url, f"fuzz-{kind.replace('_', '-')}-{seed}-{time.time_ns() % 10**9}")
    mutations = Mutations(world, chance)
    started_s = time.monotonic()
    world.trainer._queue = _NoQueue()
    for _ in range(4):
        assert world.turn()
    for number in range(values):
        try:
            if kind == "job":
                world.job_round(lambda: mutations.change(kind))
            else:
                mutations.change(kind)
                _goes_on(world, chance, report)
                if kind.startswith("checkpoint"):
                    _goes_on(world, chance, report)  # with both damaged a worker refuses to open the shard, as it must
        except Exception as error:
            raise AssertionError(f"{kind}, value {number} of seed {seed}: {mutations.shown}") from error
        report.values += 1
    report.seconds = time.monotonic() - started_s
    return report


def _goes_on(world: World, chance: random.Random, report: Report) -> None:
    """Turns until one is whole."""
    if chance.random() < 0.25:
        world.reopen()
    if chance.random() < 0.05:
        world.look()
    for _ in range(TURNS_MAX):
        report.turns += 1
        if world.turn():
            return
        report.opened_again += world.driver is None
        report.raised[type(world.last_error).__name__ if world.driver is None else "not saved"] += 1
    raise AssertionError(f"no whole turn of {TURNS_MAX}: {world.last_error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=2_000, help="mutated values for each kind of key")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", help="the URL of a Redis that may be written to (default: a Valkey of its own)")
    wanted = parser.parse_args()
    logging.getLogger("stream_retrain").setLevel(logging.CRITICAL)
    for kind in wanted.kind or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_reported(wanted.redis, Path(folder), kind, wanted.values, wanted.seed)), flush=True)


def _reported(url: str | None, folder: Path, kind: str, values: int, seed: int) -> dict[str, object]:
    if url is not None:
        return vars(fuzz(url, kind, values, seed))
    from stream_retrain.local.process import free_ports
    from stream_retrain.local.valkey import valkey_server

    [port] = free_ports(1)
    command = [str(valkey_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        connect(f"redis://127.0.0.1:{port}/0").ping()  # tries again while it starts
        return vars(fuzz(f"redis://127.0.0.1:{port}/0", kind, values, seed))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
