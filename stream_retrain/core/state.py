"""Parts of a snapshot: each has a name, a schema number and exactly the keys it says.

Whatever runs in a shard saves itself as such a part and is built from one. A part that lacks a key, has one too many or another
number is migrated or refused, never restored in part: a champion that is silently untrained would be worse than none (law 13).

To change what a part holds: raise its schema number, and add a migration from the number before, a function of the saved values
to those of the next number; without one, states of that number are refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from stream_retrain.errors import StateError

__all__ = ["REMEDY", "SCHEMA", "Part", "Saved"]

SCHEMA: Final = "schema"
Saved: TypeAlias = dict[str, Any]
Migration: TypeAlias = Callable[[Saved], Saved]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What one part of a snapshot holds; `migrations` are by the number they start from."""

    name: str
    schema: int
    keys: frozenset[str]
    migrations: Mapping[int, Migration]

    @classmethod
    def of(cls, name: str, *keys: str, schema: int = 1, migrations: Mapping[int, Migration] = MappingProxyType({})) -> Part:
        """The declaration of a part."""
        return cls(name, schema, frozenset(keys), migrations)

    def save(self, **values: Any) -> Saved:
        """The values under their keys and the schema number."""
        assert values.keys() == self.keys, f"{self.name} saves {sorted(values)} and declares {sorted(self.keys)}"
        return {SCHEMA: self.schema, **values}

    def load_whole(self, saved: Any, *parts: str) -> Saved:
        """As `load`, where each of `parts` is a part of its own and must be there. Raises `StateError`."""
        values = self.load(saved)
        if absent := [name for name in parts if values[name] is None]:
            raise StateError(f"the part {self.name!r} of the saved state is not whole: it has no {', '.join(absent)}. {REMEDY}")
        return values

    def load(self, saved: Any) -> Saved:
        """The values of a saved part. Raises `StateError` where it is none, lacks a key, has another, or is of a number nobody migrates."""
        if not isinstance(saved, dict) or not isinstance(saved.get(SCHEMA), int):
            raise StateError(f"the part {self.name!r} of the saved state has no schema number. {REMEDY}")
        number, values = saved[SCHEMA], {key: value for key, value in saved.items() if key != SCHEMA}
        while number != self.schema:
            if number not in self.migrations:
                raise StateError(
                    f"the part {self.name!r} of the saved state has schema {number}, and this release reads {self.schema}: start the"
                    f" release that wrote it. {REMEDY}"
                )
            number, values = number + 1, self.migrations[number](values)
        if values.keys() != self.keys:
            lacks, more = sorted(self.keys - values.keys()), sorted(values.keys() - self.keys)
            listed = "; ".join(f"{what} {', '.join(keys)}" for what, keys in (("it lacks", lacks), ("it has besides", more)) if keys)
            raise StateError(f"the part {self.name!r} of the saved state is not whole: {listed}. {REMEDY}")
        return values


REMEDY: Final = (
    "To learn again from what the topic retains, start with --rebuild; to begin with a model trained on the window, with --warm-restart"
)
"""What to do about a state that cannot be used, as a sentence."""
