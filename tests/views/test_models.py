"""What `/models` shows: the versions that a worker knows, bounded, with the fields that `models list --json` has."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import msgspec
import pytest

from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version, aliases_of
from stream_retrain.facts.version_values import as_values
from stream_retrain.facts.worker import Released, Retrying, WorkerFact, WorkerStateChanged
from stream_retrain.views.models import SHOWN_MAX, SHOWN_MIN, SHOWN_OF_ALL, Models
from tests.views.support import OTHER, SHARD
from tests.views.versions import generations, trained


def models(*facts: WorkerFact) -> Models:
    made = Models("flights")
    for fact in facts:
        made(fact)
    return made


def shown(of: Models) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(of.snapshot()))
    return found


def ids(of: Models, partition: int = 3) -> list[str]:
    return [each["id"] for each in shown(of)["shards"][str(partition)]]


def whole(versions: list[Version], shard: ShardId = SHARD, **changes: Any) -> VersionsKnown:
    return VersionsKnown(shard=shard, versions=tuple(versions), whole=True, **changes)


def test_a_version_has_the_fields_of_the_command_line_and_a_shard_what_is_known() -> None:
    versions = generations(SHARD, 3)
    found = shown(models(whole(versions, unwritten=1)))
    aliases = aliases_of(versions)
    assert found == {
        "pipeline": "flights",
        "versions_max": SHOWN_MAX,
        "known": {"3": 3},
        "unwritten": {"3": 1},
        "shards": {"3": json.loads(msgspec.json.encode([as_values(each, aliases) for each in versions]))},
    }
    last = found["shards"]["3"][-1]
    assert (last["id"], last["aliases"], last["serves"], last["ended"]) == ("3-g2", ["champion"], True, None)
    assert {*dataclasses.asdict(versions[0]), "aliases", "serves"} == set(last)
    assert last["began"]["wall"] == "2026-01-01 00:02:00 UTC"
    assert [each["aliases"] for each in found["shards"]["3"]] == [[], ["previous"], ["champion"]]


def test_what_has_changed_takes_its_place_and_what_is_forgotten_goes() -> None:
    first, second, third = generations(SHARD, 3)
    made = models(whole([first, dataclasses.replace(second, ended=None, ended_by=None)]))
    made(VersionsKnown(shard=SHARD, versions=(second, third), unwritten=2))
    assert (ids(made), shown(made)["unwritten"]) == (["3-g0", "3-g1", "3-g2"], {"3": 2})
    made(VersionsKnown(shard=SHARD, versions=(third,), forgotten=("3-g0",)))
    found = shown(made)
    assert (ids(made), found["known"], found["unwritten"]) == (["3-g1", "3-g2"], {"3": 2}, {"3": 0})
    assert found["shards"]["3"][0]["ended_by"] == "promoted"
    made(whole([third]))
    assert ids(made) == ["3-g2"], "a shard that is opened again is told whole"


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (Released(shard=SHARD, how="revoked"), {"4"}),
        (Retrying(error="no broker", wait_s=1.0), set()),
        (WorkerStateChanged(state="stopped"), set()),
        (WorkerStateChanged(state="running"), {"3", "4"}),
    ],
)
def test_only_open_shards_are_shown_and_late_news_brings_none_back(gone: WorkerFact, left: set[str]) -> None:
    made = models(whole(generations(SHARD, 2)), whole(generations(OTHER, 2), OTHER), gone)
    assert set(shown(made)["shards"]) == left
    if "3" not in left:
        made(VersionsKnown(shard=SHARD, versions=tuple(generations(SHARD, 1))))
        assert set(shown(made)["shards"]) == left


def test_of_many_the_newest_are_shown_with_whatever_an_alias_names() -> None:
    served = generations(SHARD, 2)
    rejected = [trained(SHARD, number, after_s=200.0 + number) for number in range(300)]
    made = models(whole([*served, *rejected]))
    assert ids(made)[:3] == ["3-g0", "3-g1", f"3-t{300 - SHOWN_MAX}"], "the champion and the one before it are older than all of these"
    assert len(ids(made)) == SHOWN_MAX + 2
    assert shown(made)["known"] == {"3": 302}


@pytest.mark.parametrize("shards", [2, 64, 400])
def test_of_many_shards_fewer_are_shown_each(shards: int) -> None:
    made = Models("flights")
    for partition in range(shards):
        id_ = ShardId("flights", "t", partition)
        made(whole(generations(id_, 120 if partition == 0 else 2), id_))
    most = shown(made)["versions_max"]
    assert most == max(SHOWN_MIN, min(SHOWN_MAX, SHOWN_OF_ALL // shards))
    assert len(ids(made, 0)) == most


def test_no_value_of_a_record_is_shown_and_every_number_is_one() -> None:
    [version] = generations(SHARD, 1)
    endless = ContestantStanding(name="fresh", loss_mean=0.1, events=9, e_value=math.inf, e_value_against=0.0)
    failed = dataclasses.replace(version, error="learning raised ValueError: no such carrier 'Jane Doe'", standings=(endless,))
    [told] = shown(models(whole([failed])))["shards"]["3"]
    assert told["error"] == "learning raised ValueError"
    assert told["standings"][0]["e_value"] == 1e9


def test_a_shard_is_encoded_again_only_where_it_has_changed() -> None:
    made = models(whole(generations(SHARD, 5)), whole(generations(OTHER, 5), OTHER))
    before = made.snapshot()["shards"]
    made(VersionsKnown(shard=OTHER, versions=(trained(OTHER, 1, after_s=900.0),)))
    after = made.snapshot()["shards"]
    assert after["3"] is before["3"]
    assert after["4"] is not before["4"]
    made(Released(shard=SHARD, how="lost"))
    assert set(made.snapshot()["shards"]) == {"4"}
