"""`stream-retrain status` of a group: the same numbers as a value and as a table, and nothing that a terminal would obey."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_retrain.cli.group_status import group_status, show_group
from stream_retrain.facts.worker import WorkerStateChanged
from stream_retrain.stores.ports import WorkerTold
from stream_retrain.stores.worker_status import WorkerStatus, status_of
from tests.views.made import MadeWorker


def status(first: int, partitions: int = 2, *, total: int = 4, ready: bool = True) -> WorkerStatus:
    worker = MadeWorker(partitions, first=first, total=total, seconds_ago=100)
    worker.run(100)
    if not ready:
        worker.tell(WorkerStateChanged(state="degraded", detail="Kafka does not answer"))
    return status_of(worker.status.snapshot(), f"http://127.0.0.1:{9_464 + first}")


@pytest.fixture(scope="module")
def both() -> list[WorkerTold]:
    return [WorkerTold(status(0), 0.5), WorkerTold(status(2), 1.5)]


def test_a_group_is_ready_where_every_worker_is_and_every_partition_has_one(both: list[WorkerTold]) -> None:
    found = group_status("shop", both)
    assert (found["group"], found["ready"]) == ("shop", True)
    assert found["partitions"] == {"total": 4, "owned": [0, 1, 2, 3], "unowned": [], "held_twice": []}
    shards = [shard for told in both for shard in told.status.shards]
    assert found["lag_records"] == sum(shard.lag_records or 0 for shard in shards)
    assert found["waiting"] == sum(shard.pending for shard in shards)
    assert (found["dead_letters"], found["unmatched"], found["drifts"]) == (12, 12, 2)
    assert (found["trainings"], found["duels"]) == (2, 2)
    assert [worker["told_age_s"] for worker in found["workers"]] == [0.5, 1.5]


def test_partitions_that_nobody_has_are_listed(both: list[WorkerTold]) -> None:
    found = group_status("shop", both[:1])
    assert (found["ready"], found["partitions"]["unowned"]) == (False, [2, 3])


def test_a_partition_that_two_workers_name_is_told(both: list[WorkerTold]) -> None:
    assert group_status("shop", [*both, both[0]])["partitions"]["held_twice"] == [0, 1]


def test_a_worker_that_is_not_ready_makes_the_group_so(both: list[WorkerTold]) -> None:
    assert not group_status("shop", [both[0], WorkerTold(status(2, ready=False), 0.1)])["ready"]


def test_without_a_worker_nothing_is_known() -> None:
    found = group_status("shop", [])
    assert (found["ready"], found["workers"], found["partitions"]["total"], found["partitions"]["unowned"]) == (False, [], None, None)
    assert found["lag_records"] is None, "where nobody reads, no lag is known, and 0 would say that all is read"


def shown(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    show_group(found)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


def test_the_tables_have_the_numbers_of_the_value(both: list[WorkerTold], capsys: pytest.CaptureFixture[str]) -> None:
    found = group_status("shop", [both[0], WorkerTold(status(2, ready=False, total=5), 0.1)])
    text = shown(found, capsys)
    assert "group shop: not ready" in text
    assert "4 of 5 partitions have a worker; nobody has 4" in text
    assert f"lag {found['lag_records']} records, {found['waiting']} waiting for labels, {found['unmatched']} unmatched" in text
    assert "host-2 is not ready: committing: the worker is degraded" in text
    assert "host-2 is not ready: Kafka does not answer" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()[:1].isdigit()}
    for worker in found["workers"]:
        assert worker["url"] in text
        for shard in worker["shards"]:
            row = lines[str(shard["partition"])]
            for name in ("offset", "lag_records", "pending", "unmatched", "dead_letters", "events_seen", "generation", "drifts"):
                assert str(shard[name]) in row.split(), (name, row)
            assert f"Accuracy {shard['rolling']['Accuracy']:.3f}" in row
            if shard["duel"]:
                assert f"best evidence {shard['duel']['e_value']:.2f} of 10.0" in row
            if shard["training"]:
                assert f"training {shard['training']}" in row


def test_a_terminal_obeys_nothing_that_stands_in_the_store(both: list[WorkerTold], capsys: pytest.CaptureFixture[str]) -> None:
    told = msgspec.structs.replace(both[0].status, instance="\x1b[31mred\n[bold]x", detail="\x07", ready=False, store="\x9b2J")
    text = shown(group_status("shop\x1b]0;x", [WorkerTold(told, 0.5)]), capsys)
    assert not any(sign in text for sign in "\x1b\x07\x9b")
    assert "[31mred" in text
    assert "[bold]x" in text


def test_what_is_not_known_yet_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    early = MadeWorker(1)
    early.status._group = None
    found = group_status("shop", [WorkerTold(status_of(early.status.snapshot()), 0.1)])
    assert found["lag_records"] is None
    text = shown(found, capsys)
    assert "1 partitions have a worker; how many there are, nobody has said yet" in text
    assert "lag - records" in text
