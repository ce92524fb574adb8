"""Values in Redis that are not the genuine ones: near them, far from them, or of another type."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, Final

from benchmarks.fuzz_world import GROUP, KEYRING, World
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import seal, unseal

__all__ = ["Mutations", "mutated"]

NUMBERS: Final = tuple(
    b"-1 0 1 9007199254740991 9007199254740992 9007199254740993 4503599627370496 18446744073709551616 1e30 1e400 nan -nan inf"
    b" -inf 0x10 1.5 +7 00012 _1 1_0 '' NaN 99999999999999999999999999999999".split()
)
STRANGER: Final = Keyring.unsigned()
WRONG_TYPES: Final[tuple[Callable[[Any, str], Any], ...]] = (
    lambda client, key: client.set(key, b"some text"),
    lambda client, key: client.rpush(key, b"a", b"b"),
    lambda client, key: client.hset(key, b"a", b"b"),
    lambda client, key: client.sadd(key, b"a"),
    lambda client, key: client.zadd(key, {b"a": 1}),
    lambda client, key: client.xadd(key, {b"a": b"b"}, id="7-7"),
)


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
        self.signed = False

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
            case "artifact_times":
                value = mutated(self._chance, b"2")
                self.shown = repr(value)
                if self._client.type(key) not in (b"zset", b"none"):
                    self._client.delete(key)
                self._client.zadd(key, {value: self._chance.choice((0, 1e18, -1e300, 1.7e12, float("inf"), float("-inf")))})
            case _:
                self._hash(key)

    def ticket(self, genuine: bytes) -> bytes:
        """A ticket that is not the genuine one: near it, signed by a stranger, or `signed` by who has the key."""
        value, self.signed = mutated(self._chance, genuine), self._chance.random() < 0.15
        value += b"?" * (value == genuine)
        if self.signed or self._chance.random() < 0.2:
            header, payload = unseal(genuine, KEYRING)
            value = seal(header, mutated(self._chance, payload), KEYRING if self.signed else STRANGER)
        self.shown = f"a ticket {value[:300]!r}"
        return value

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
