"""Digests of long runs: another machine, Python or implementation that computes one bit otherwise shows here.

`digests.json` has what `python -m benchmarks.digests --events 20000` prints as `digests`. It changes only with a model; if it does and the
checkpoints of before can still be loaded, the version of the arithmetic has to change too.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import pytest

from benchmarks.digests import MARKS, MODELS, WITHOUT_FMA, digests, of_other, stream
from stream_retrain.native import NATIVE_SETTING
from tests.models.twins import computing, needs_extension

FEW, MANY = MARKS[:2]
GOLDEN: dict[str, dict[str, dict[str, str]]] = json.loads((Path(__file__).parent / "digests.json").read_text())


@needs_extension
@pytest.mark.parametrize("name", MODELS)
def test_a_long_run_of_the_compiled_models_is_the_same_everywhere(name: str) -> None:
    with computing("compiled"):
        assert digests(name, MANY) == {int(mark): each for mark, each in GOLDEN[name].items()}


@pytest.mark.parametrize("name", MODELS)
def test_so_is_the_beginning_of_one_in_python(name: str) -> None:
    with computing("Python"):
        assert digests(name, FEW)[FEW] == GOLDEN[name][str(FEW)]


@needs_extension
@pytest.mark.slow
def test_so_it_is_where_the_c_library_computes_otherwise() -> None:
    """Its variants for FMA are switched off, where it is glibc and the processor has any."""
    told = of_other(sys.executable, {"GLIBC_TUNABLES": WITHOUT_FMA, NATIVE_SETTING: "on"}, list(MODELS), MANY)
    assert (told["models"], told["digests"]) == ("compiled", GOLDEN)


def test_a_longer_stream_begins_as_a_shorter_one_and_drifts_on_the_way() -> None:
    longer = list(itertools.islice(stream("multiclass", 10**9), 3_000))
    assert list(stream("multiclass", 500)) == longer[:500]
    assert {y for _, y in longer} == {"a", "b", "c"}
    assert any("s" not in x for x, _ in longer)
    first, second = (
        sum(((x.get("a", 0.0) > 0) == y) - 0.5 for x, y in itertools.islice(stream("binary", 3_000), begin, end))
        for begin, end in ((0, 1_000), (1_000, 3_000))
    )
    assert first > 100
    assert second < -200
