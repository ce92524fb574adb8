"""Law 13 on a shard in the middle of everything: what was saved is restored whole, or refused by the name of the part at fault."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import pytest

from stream_retrain import Shard, core, lane
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.core.digest import digest
from stream_retrain.core.state import SCHEMA, Part, Saved
from stream_retrain.errors import StateError
from stream_retrain.facts.shard import ChallengerJoined, Requested
from stream_retrain.facts.values import Event
from tests.lane.rich import DELAY, PREDICTS, RICH, predicts
from tests.lane.support import contestants, joined, of, restored, succession, wanted

Path: TypeAlias = tuple[Any, ...]
Change: TypeAlias = Callable[[Saved], Saved]


def declared_parts() -> Iterator[Part]:
    """Every `Part` that a module of the core or the lane declares, for itself or in a class."""
    for package in (core, lane):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            held = vars(importlib.import_module(module.name))
            of_classes = [vars(each).get("PART") for each in held.values() if isinstance(each, type) and each.__module__ == module.name]
            yield from (each for each in [*held.values(), *of_classes] if isinstance(each, Part))


NAMES: dict[frozenset[str], set[str]] = {}
for part in declared_parts():
    NAMES.setdefault(part.keys, set()).add(part.name)


def saved_parts(value: Any, path: Path = ()) -> Iterator[tuple[Path, Saved]]:
    """Every part in a snapshot and where it stands: dicts with a schema number, however deep in dicts, lists and tuples."""
    if isinstance(value, dict):
        if SCHEMA in value:
            yield path, value
        for key, held in value.items():
            yield from saved_parts(held, (*path, key))
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from saved_parts(held, (*path, index))


def with_change(value: Any, path: Path, change: Change) -> Any:
    """A copy of a snapshot in which the part at `path` is changed; all else is shared."""
    if not path:
        return change(value)
    first, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, first: with_change(value[first], rest, change)}
    copied = [*value]
    copied[first] = with_change(copied[first], rest, change)
    return type(value)(copied) if type(value) in (list, tuple) else type(value)(*copied)


def without(key: str) -> Change:
    return lambda part: {name: held for name, held in part.items() if name != key}


def renamed(key: str) -> Change:
    return lambda part: {f"{name}_renamed" if name == key else name: held for name, held in part.items()}


def with_more(part: Saved) -> Saved:
    return {**part, "more": 1}


def of_schema(number: Any) -> Change:
    return lambda part: {**part, SCHEMA: number}


def changes_of(part: Saved) -> Iterator[tuple[Change, str]]:
    """What must be refused, and what the refusal says."""
    for key in part:
        said = "has no schema number" if key == SCHEMA else f"is not whole: it lacks {key}"
        yield without(key), said
        yield renamed(key), said if key == SCHEMA else f"{said}; it has besides {key}_renamed"
    yield with_more, "is not whole: it has besides more"
    yield of_schema(part[SCHEMA] + 1), f"has schema {part[SCHEMA] + 1}, and this release reads {part[SCHEMA]}"
    yield of_schema(0), f"has schema 0, and this release reads {part[SCHEMA]}"
    if "requests_taken" in part:
        yield of_schema(1), "is not whole: it lacks requests_taken"
    yield of_schema(None), "has no schema number"


@pytest.mark.parametrize("name", RICH)
def test_a_part_that_is_not_as_declared_is_refused_by_its_name(name: str) -> None:
    pipeline, made = RICH[name]
    shard, _ = made()
    snapshot, before = shard.snapshot(), shard.digest()
    assert Shard(pipeline, with_change(snapshot, (), dict)).digest() == before, "as it is it is restored"
    tried = 0
    for path, saved in saved_parts(snapshot):
        names = NAMES[frozenset(saved) - {SCHEMA}]
        for change, said in changes_of(saved):
            with pytest.raises(StateError) as caught:
                Shard(pipeline, with_change(snapshot, path, change))
            told = str(caught.value)
            assert any(f"the part {each!r} of the saved state {said}" in told for each in names), (path, told)
            assert "--rebuild" in told
            tried += 1
    assert tried > 100
    assert shard.digest() == before, "what was refused has changed nothing"


def test_what_is_no_part_at_all_is_refused_by_its_name() -> None:
    nothing: tuple[Any, ...] = ({}, [], "state", {SCHEMA: "1"})
    for given in nothing:
        with pytest.raises(StateError, match="the part 'shard' of the saved state has no schema number"):
            Shard(PREDICTS, given)


def test_the_two_shards_hold_every_part_there_is() -> None:
    """A part that is declared and not in here would not be tried above."""
    met: dict[frozenset[str], int] = {}
    for _, made in RICH.values():
        for _, saved in saved_parts(made()[0].snapshot()):
            keys = frozenset(saved) - {SCHEMA}
            met[keys] = met.get(keys, 0) + 1
    assert set(met) == set(NAMES)
    assert all(met[keys] >= len(names) for keys, names in NAMES.items())


def test_a_shard_of_schema_1_is_migrated_and_its_requests_are_forgotten() -> None:
    pipeline, made = RICH["classifies"]
    shard, _ = made()
    saved = {key: value for key, value in shard.snapshot().items() if key != "requests_taken"}
    again = Shard(pipeline, {**saved, SCHEMA: 1, "requests_through": 1_764_000_000_000})
    assert tuple(again.requests_taken) == ()
    assert again.events_seen == shard.events_seen


def test_the_two_shards_are_in_the_middle_of_everything() -> None:
    _, made = RICH["classifies"]
    shard, _ = made()
    seen = shard.observe()
    assert seen.pending == DELAY
    assert seen.members is not None
    assert (seen.duel.number, seen.training, tuple(shard.requests_taken)) == (0, 0, ("3",))
    assert [name for name, *_ in contestants(shard)] == ["champion", "fresh", "since_change", "additive"]
    assert any(at is not None for at in next(each["held_at"] for _, each in saved_parts(shard.snapshot()) if "held_at" in each))
    shard, _ = predicts()
    seen = shard.observe()
    assert (seen.pending, seen.duel.number, seen.training) == (DELAY, 0, None)
    assert seen.generation > 0
    assert len(succession(shard)["waiting"]) == 1


def goes_on(shard: Shard, coming: list[Event]) -> tuple[Any, str]:
    """What a shard makes of what comes next, the challenger of its training among it, and how it is then."""
    outcomes = [shard.process(coming[:150])]
    asked = wanted(shard)
    if asked is not None:
        learned = Trained(training=asked.training.number, model=shard._pipeline.model.clone(), lessons=0, learned_through=-1)
        shard.receive(learned)
    outcomes += [shard.process(coming[start : start + 70]) for start in range(150, len(coming), 70)]
    return joined(outcomes), shard.digest()


@pytest.mark.slow
@pytest.mark.parametrize("name", RICH)
def test_from_its_bytes_it_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    pipeline, made = RICH[name]
    shard, coming = made()
    again = restored(pipeline, shard)
    assert again.digest() == shard.digest()
    assert digest(again.outstanding()) == digest(shard.outstanding())
    assert again.observe() == shard.observe()
    twice = restored(pipeline, again)
    expected = goes_on(shard, coming)
    assert goes_on(again, coming) == goes_on(twice, coming) == expected
    (predicted, learned, facts), _ = expected
    assert len(predicted) + len(learned) == len(coming)
    if name == "classifies":
        assert of(Requested, facts)
        assert of(ChallengerJoined, facts)


def test_a_guard_of_another_kind_is_not_taken_for_one_s_own() -> None:
    shard, _ = predicts()
    sampled = with_change(
        shard.snapshot(), ("reactions", "watches", "watches", 0, "guard"), lambda _: {SCHEMA: 1, "inner": None, "seen": 3}
    )
    with pytest.raises(StateError, match="the part 'guard of ADWIN' of the saved state is not whole"):
        Shard(PREDICTS, sampled)
