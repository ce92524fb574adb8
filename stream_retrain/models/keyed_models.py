"""The models of many keys in two tiers: those used last ready to predict (hot), the others packed (cold); all within limits.

Protocol of use: `use(key)` gives what is kept of a key, or None. After a label `keep(key, kept)` takes it (back); `tick()` ends the event.

A key is used when a question or a label of it comes. So the order of use, what is put away next and what is dropped are functions of the
events, and the state after a restore is the same. What is packed is a function of the model's values (`packing`), so its size is, too.
"""

from __future__ import annotations

import collections
from typing import Any, Final, NamedTuple

from stream_retrain.facts.observation import KeysHeld
from stream_retrain.models.packing import Names, memory_bytes_of
from stream_retrain.models.segments import Key, PackedModel, Segments

__all__ = ["Kept", "KeyLimits", "KeyedModels"]

MEASURED_FROM: Final = 16
"""A model's memory is measured when it is new, at this event of its own, and each time its events have doubled."""


class KeyLimits(NamedTuple):
    """What is kept; each as `PerKey` says."""

    hot_keys_max: int
    hot_bytes_max: int
    keys_max: int
    cold_bytes_max: int
    idle_events_max: int | None


class Kept:
    """A key's model that is ready to predict."""

    __slots__ = ("bytes", "events", "model", "used", "weight")

    def __init__(self, model: Any, events: int, weight: float, used: int) -> None:
        self.model = model
        self.events = events
        self.weight = weight
        """Its part in the key's predictions."""
        self.used = used
        self.bytes = 0


class KeyedModels:
    """The models of the keys."""

    def __init__(self, limits: KeyLimits) -> None:
        self.limits = limits
        self.cold = Segments()
        self._hot: collections.OrderedDict[Key, Kept] = collections.OrderedDict()
        """In the order of their last use."""
        self._hot_bytes = 0
        self._names = Names()
        self.clock = 0
        """Events that ended."""
        self._put_away = self._taken_back = self._dropped = 0

    def __len__(self) -> int:
        return len(self._hot) + len(self.cold)

    @property
    def bytes(self) -> int:
        """About how much memory they take."""
        return self._hot_bytes + self.cold.bytes

    def held(self, shared_answers: int) -> KeysHeld:
        """How many there are, and what became of them."""
        counted = (self._put_away, self._taken_back, self._dropped, shared_answers)
        return KeysHeld(len(self._hot), len(self.cold), self._hot_bytes, self.cold.bytes, *counted)

    def use(self, key: Key) -> Kept | None:
        """What is kept of a key, which is now the one used last; None where there is nothing."""
        kept = self._hot.get(key)
        if kept is not None:
            kept.used = self.clock
            self._hot.move_to_end(key)
            return kept
        put = self.cold.take(key)
        if put is None:
            return None
        kept = Kept(self._names.unpack(put.packed), put.events, put.weight, self.clock)
        kept.bytes = put.memory
        self._taken_back += 1
        self._add(key, kept)
        return kept

    def keep(self, key: Key, kept: Kept) -> None:
        """Take what has learned an event: of a new key, or of the one used last."""
        if key not in self._hot:
            kept.bytes = memory_bytes_of(kept.model)
            self._add(key, kept)
        elif kept.events >= MEASURED_FROM and not kept.events & (kept.events - 1):
            before, kept.bytes = kept.bytes, memory_bytes_of(kept.model)
            self._hot_bytes += kept.bytes - before
            self._make_room()

    def tick(self) -> None:
        """The event is over."""
        self.clock += 1
        if self.limits.idle_events_max is None:
            return
        used = self.clock - self.limits.idle_events_max
        while (oldest := self.cold.oldest_used()) is not None and oldest < used:
            self._drop_oldest()
        while self._hot and not len(self.cold) and next(iter(self._hot.values())).used < used:
            self._drop_oldest()

    def put_all_away(self) -> None:
        """Put every model away; each comes back when its key is used."""
        while self._hot:
            self._put_one_away()

    def drop_to(self, keys: int) -> None:
        """Drop those used longest ago until there are so many."""
        while len(self) > keys:
            self._drop_oldest()

    def _add(self, key: Key, kept: Kept) -> None:
        self._hot[key] = kept
        self._hot_bytes += kept.bytes
        self._make_room()

    def _make_room(self) -> None:
        limits = self.limits
        while len(self._hot) > limits.hot_keys_max or (self._hot_bytes > limits.hot_bytes_max and len(self._hot) > 1):
            self._put_one_away()
        while self.cold.bytes > limits.cold_bytes_max:
            self._drop_oldest()
        self.drop_to(limits.keys_max)

    def _put_one_away(self) -> None:
        """Pack the model used longest ago. It stays where it is if packing raises."""
        key, kept = next(iter(self._hot.items()))
        put = PackedModel(kept.events, kept.weight, kept.used, kept.bytes, self._names.pack(kept.model))
        del self._hot[key]
        self._hot_bytes -= kept.bytes
        self.cold.put(key, put)
        self._put_away += 1

    def _drop_oldest(self) -> None:
        if len(self.cold):
            self.cold.drop_oldest()
        else:
            _, kept = self._hot.popitem(last=False)
            self._hot_bytes -= kept.bytes
        self._dropped += 1
