"""Ids of versions: what is one, and of which partition."""

from __future__ import annotations

import pytest

from stream_retrain.facts.version import generation_id, import_id, is_version_id, partition_of, training_id


@pytest.mark.parametrize(
    ("text", "is_one", "partition"),
    [
        (generation_id(2, 14), True, 2),
        (training_id(0, 3), True, 0),
        (import_id("0123456789ab" * 3), True, None),
        ("import-0123456789aB", False, None),
        ("import-0123", False, None),
        ("previous", False, None),
        ("2-x3", False, None),
        ("-1-g3", False, None),
        ("2-g14 ", False, None),
        ("1234567890-g3", False, None),
        ("", False, None),
    ],
)
def test_an_id_says_of_which_partition_it_is(text: str, is_one: bool, partition: int | None) -> None:
    assert (is_version_id(text), partition_of(text)) == (is_one, partition)
