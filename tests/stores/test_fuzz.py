"""Mutated values in Redis end no worker and no trainer: a short run of `benchmarks.fuzz_redis` (100,000 values a kind: its command)."""

from __future__ import annotations

import os

import pytest

from benchmarks.fuzz_redis import KINDS, fuzz

VALUES = int(os.environ.get("STREAM_RETRAIN_FUZZ_VALUES", "150"))


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_mutated_value_ends_a_worker_or_a_trainer(own_valkey: str, kind: str) -> None:
    assert fuzz(own_valkey, kind, VALUES, turns=0.5).values == VALUES
