"""The comparison of digests finds the one that differs, and tries each interpreter in each way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.digests import WITHOUT_FMA, compare

TELL = """#!/bin/sh
echo "$@" >> {asked}
cat <<END
{{"python": "{name}", "models": "${{STREAM_RETRAIN_NATIVE:-on}}", "libm": "${{GLIBC_TUNABLES:-as it is}}", "seconds": 1,
 "digests": {{"additive": {{"2000": {{"predictions": "a", "state": "b"}}, "9000": {{"predictions": "c", "state": "{state}"}}}}}}}}
END
"""


@pytest.fixture
def interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two that tell what the command would; the second has another state at the end."""
    for setting in ("STREAM_RETRAIN_NATIVE", "GLIBC_TUNABLES"):
        monkeypatch.delenv(setting, raising=False)
    made = []
    for name, state in (("one", "d"), ("other", "e")):
        script = tmp_path / name
        script.write_text(TELL.format(asked=tmp_path / "asked", name=name, state=state))
        script.chmod(0o755)
        made.append(str(script))
    return made


def test_equal_ones_are_equal_in_every_way(interpreters: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(interpreters[:1], ["additive"], 9_000, fallback=True)
    *told, rest = capsys.readouterr().out.split("\n", 3)
    assert told == [
        "Python one, on, libm as it is: equal, 1 s",
        f"Python one, on, libm {WITHOUT_FMA} (no FMA): equal, 1 s",
        "Python one, off, libm as it is: equal, 1 s",
    ]
    assert json.loads(rest)["additive"]["9000"] == {"predictions": "c", "state": "d"}
    assert (tmp_path / "asked").read_text() == "-m benchmarks.digests --events 9000 --model additive\n" * 3


def test_one_that_differs_is_named_and_the_others_are_tried(interpreters: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not compare(interpreters, ["additive"], 9_000, fallback=False)
    told = capsys.readouterr().out.splitlines()[:4]
    assert [line.split(": ", 1)[1] for line in told] == ["equal, 1 s"] * 2 + ["differs: additive at 9000, 1 s"] * 2
