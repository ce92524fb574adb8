"""A Kafka of one process, for one consumer group: what its transactions, group and offsets promise, and nothing about bytes on a wire.

What is modelled, because exactly-once rests on it:

- a partition is a list of entries, control records among them; an entry belongs to a transaction or to none. A reader of committed
  records sees nothing from the first open transaction on, and nothing of aborted ones;
- a transactional id has an epoch: `init_transactions` raises it and aborts what was open; every call with an older one is fenced.
  A transaction that is open for longer than its timeout is aborted, and its epoch is raised too;
- offsets sent to a transaction count when it commits. Meanwhile the group answers no offset for those partitions (KIP-447), and
  takes offsets only from a member of the current generation;
- a group rebalances cooperatively: it waits until every member has joined again or its session has expired; then the generation rises.
  A partition goes to a new member only after its owner has given it up. Members learn of it with a heartbeat, each in its time;
- a static member that comes back under its instance gets its partitions without a rebalance, and its former self is fenced.

Time passes only where `advance` is called. It is checked against a real Kafka by `test_model_against_kafka`.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException

SESSION_TIMEOUT_S = 6.0
TRANSACTION_TIMEOUT_S = 4.0


def failure(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "the model says so", fatal=fatal, retriable=retriable, txn_requires_abort=abort))


class Entry(NamedTuple):
    """What stands at an offset; `value` of a control record means nothing."""

    key: bytes | None
    value: bytes | None
    headers: Any
    transaction: Transaction | None
    control: bool = False


@dataclasses.dataclass(eq=False, slots=True)
class Transaction:
    started_s: float
    state: str = "open"
    partitions: set[tuple[str, int]] = dataclasses.field(default_factory=set)
    offsets: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class TransactionalId:
    epoch: int = 0
    transaction: Transaction | None = None


@dataclasses.dataclass(eq=False, slots=True)
class Member:
    """A member as the coordinator knows it. `owned` is what it said it has when it last joined."""

    id: int
    instance: str | None
    heartbeat_s: float
    joined: bool = False
    owned: frozenset[int] = frozenset()
    assigned: frozenset[int] = frozenset()


class Broker:
    """Logs, transaction coordinator and group coordinator."""

    def __init__(self, source: str, partitions: int, rng: random.Random) -> None:
        self.source = source
        self.rng = rng
        self.now_s = 1e9
        self.logs: dict[tuple[str, int], list[Entry]] = {(source, partition): [] for partition in range(partitions)}
        self.partitions = partitions
        self.ids: dict[str, TransactionalId] = {}
        self.committed: dict[int, int] = {}
        self.members: dict[int, Member] = {}
        self.generation = 0
        self.preparing = False
        self._member_ids = 0
        self.living: list[Callable[[], None]] = []
        """A heartbeat for every client whose process runs: its threads work, whatever its loop does."""

    # time

    def advance(self, seconds: float) -> None:
        """Let time pass: running clients send heartbeats, sessions and transactions expire."""
        self.now_s += seconds
        for heartbeat in self.rng.sample(self.living, len(self.living)):
            heartbeat()
        for id_ in self.ids.values():
            if id_.transaction is not None and self.now_s - id_.transaction.started_s > TRANSACTION_TIMEOUT_S:
                id_.epoch += 1
                self._end(id_, "aborted")
        for member in list(self.members.values()):
            if self.now_s - member.heartbeat_s > SESSION_TIMEOUT_S:
                self.leave(member.id)

    # logs

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Any = None) -> int:
        log = self.logs.setdefault((topic, partition), [])
        log.append(Entry(key, value, headers, None))
        return len(log) - 1

    def readable(self, topic: str, partition: int, start: int, limit: int) -> list[tuple[int, Entry]]:
        """Committed records from an offset on, up to the first open transaction."""
        found: list[tuple[int, Entry]] = []
        log = self.logs.get((topic, partition), [])
        for offset in range(start, len(log)):
            entry = log[offset]
            if entry.transaction is not None:
                if entry.transaction.state == "open":
                    break
                if entry.transaction.state == "aborted" or entry.control:
                    continue
            found.append((offset, entry))
            if len(found) == limit:
                break
        return found

    def end_of(self, topic: str, partition: int) -> int:
        """How far committed records can be read: the first open transaction, or the end."""
        log = self.logs.get((topic, partition), [])
        opened = (offset for offset, entry in enumerate(log) if entry.transaction is not None and entry.transaction.state == "open")
        return next(opened, len(log))

    # transactions

    def init(self, transactional_id: str) -> int:
        id_ = self.ids.setdefault(transactional_id, TransactionalId())
        id_.epoch += 1
        self._end(id_, "aborted")
        return id_.epoch

    def check(self, transactional_id: str, epoch: int) -> TransactionalId:
        id_ = self.ids[transactional_id]
        if id_.epoch != epoch:
            raise failure(KafkaError._FENCED, fatal=True)
        return id_

    def produce(self, transactional_id: str, epoch: int, place: tuple[str, int], entry: Entry) -> None:
        transaction = self._open(self.check(transactional_id, epoch))
        transaction.partitions.add(place)
        self.logs.setdefault(place, []).append(entry._replace(transaction=transaction))

    def add_offsets(self, transactional_id: str, epoch: int, offsets: dict[int, int], metadata: tuple[int, int]) -> None:
        id_ = self.check(transactional_id, epoch)
        member, generation = metadata
        if member != -1:
            if member not in self.members:
                raise failure(KafkaError.UNKNOWN_MEMBER_ID, abort=True)
            if generation != self.generation:
                raise failure(KafkaError.ILLEGAL_GENERATION, abort=True)
        self._open(id_).offsets.update(offsets)

    def end(self, transactional_id: str, epoch: int, state: str) -> None:
        self._end(self.check(transactional_id, epoch), state)

    def _open(self, id_: TransactionalId) -> Transaction:
        if id_.transaction is None:
            id_.transaction = Transaction(self.now_s)
        return id_.transaction

    def _end(self, id_: TransactionalId, state: str) -> None:
        transaction, id_.transaction = id_.transaction, None
        if transaction is None:
            return
        transaction.state = state
        for place in transaction.partitions:
            self.logs[place].append(Entry(None, None, None, transaction, control=True))
        if state == "committed":
            self.committed.update(transaction.offsets)

    # the group

    def stable_offset(self, partition: int) -> int | None:
        """The committed offset, -1 for none; None while a transaction may still change it."""
        if any(id_.transaction is not None and partition in id_.transaction.offsets for id_ in self.ids.values()):
            return None
        return self.committed.get(partition, -1)

    def join(self, instance: str | None) -> int:
        """A new member; one whose instance is known takes its place."""
        self._member_ids += 1
        member = Member(self._member_ids, instance, self.now_s)
        former = next((each for each in self.members.values() if instance is not None and each.instance == instance), None)
        if former is None:
            self.members[member.id] = member
            self.rebalance()
            member.joined = True
        else:
            member.assigned = former.assigned
            del self.members[former.id]
            self.members[member.id] = member
            if self.preparing:
                member.joined = True
            elif former.owned != former.assigned:  # it had not yet given up, or taken, what the last rebalance said
                self.rebalance()
                member.joined = True
        self._complete()
        return member.id

    def heartbeat(
        self, member_id: int, owned: frozenset[int], wants_rebalance: bool, unserved: bool = False
    ) -> tuple[int, frozenset[int]] | None:
        """What the member has now, by the generation it is in; None: it is no member any more."""
        member = self.members.get(member_id)
        if member is None:
            return None
        member.heartbeat_s = self.now_s
        if wants_rebalance:
            self.rebalance()
        if self.preparing and not unserved and (wants_rebalance or not member.joined):
            member.joined, member.owned = True, owned
            self._complete()
        return self.generation, member.assigned

    def leave(self, member_id: int) -> None:
        if self.members.pop(member_id, None) is not None:
            self.rebalance()
            self._complete()

    def rebalance(self) -> None:
        if not self.preparing:
            self.preparing = True
            for member in self.members.values():
                member.joined = False

    def _complete(self) -> None:
        """Once all have joined: a new generation, in which each keeps what it has up to its share, and what nobody has is given out."""
        if not self.preparing or not all(member.joined for member in self.members.values()):
            return
        self.preparing = False
        self.generation += 1
        members = sorted(self.members.values(), key=lambda member: member.id)
        if not members:
            return
        share, more = divmod(self.partitions, len(members))
        free = set(range(self.partitions)) - set().union(*(member.owned for member in members))
        kept: dict[int, set[int]] = {}
        for number, member in enumerate(members):
            quota = share + (number < more)
            kept[member.id] = set(sorted(member.owned)[:quota])
        for partition in sorted(free):
            least = min(members, key=lambda member: len(kept[member.id]))
            kept[least.id].add(partition)
        for member in members:
            member.assigned = frozenset(kept[member.id])
