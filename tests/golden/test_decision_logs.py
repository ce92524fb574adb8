"""Golden decision logs: what each seeded drift stream leads to, committed and compared.

A log has one decision a line, the numbers rounded to `DIGITS` significant digits, and without the digests of models, which cannot be
rounded; `predictions.json` has a digest of each stream's predictions, rounded as well. Where a change of behaviour is meant, rewrite
them and read the difference: it is the review.

    python -m tests.golden.test_decision_logs
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from stream_retrain.engines.replay.replay import replay
from stream_retrain.lane.batch import Record
from stream_retrain.lane.step import DECISIONS, PREDICTIONS
from tests.golden.streams import STREAMS, encoded

HERE: Final = Path(__file__).parent
DIGESTS: Final = HERE / "predictions.json"
DIGITS: Final = 6
NOT_OF_THE_MODEL: Final = ("time_s", "model")
"""Of a prediction: the event's own, and the digest of a declaration, which is another one with another release of River."""
JOINS_AFTER_EVENTS: Final = 250
REMEDY: Final = "If this is meant, run `python -m tests.golden.test_decision_logs`, and let the difference be reviewed."


class Replayed(NamedTuple):
    """What a stream leads to."""

    decisions: list[str]
    predictions: str
    """A digest of them."""


@functools.cache
def replayed(name: str) -> Replayed:
    """Replay a stream of `STREAMS`."""
    pipeline, rows = STREAMS[name]()
    records = [Record(offset, b"k", value, offset) for offset, value in enumerate(encoded(rows))]
    decisions: list[str] = []
    predictions = hashlib.sha256()
    for _, step in replay(pipeline, records, joins_after_events=JOINS_AFTER_EVENTS):
        for kind, _, key, value, _ in step.outputs:
            assert key == b"k"
            if kind == DECISIONS:
                decisions.append(line(value))
            elif kind == PREDICTIONS:
                predictions.update(line(value, NOT_OF_THE_MODEL).encode() + b"\n")
    return Replayed(decisions, predictions.hexdigest())


def line(value: bytes | None, without: tuple[str, ...] = ()) -> str:
    """An output as a line that is the same on every machine."""
    held = {name: each for name, each in json.loads(value or b"").items() if name not in without}
    return json.dumps(rounded(held), sort_keys=True, separators=(",", ":"))


def rounded(value: Any) -> Any:
    """The same with its numbers rounded."""
    match value:
        case float():
            return float(f"{value:.{DIGITS}g}")
        case dict():
            return {name: "..." if name == "digest" and held else rounded(held) for name, held in value.items()}
        case list():
            return [rounded(held) for held in value]
        case _:
            return value


def log_of(name: str) -> Path:
    return HERE / f"{name}.jsonl"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_leads_to_the_decisions_of_its_log(name: str) -> None:
    committed, made = log_of(name).read_text().splitlines(), replayed(name).decisions
    difference = "\n".join(difflib.unified_diff(committed, made, f"{name}.jsonl", "replayed", lineterm="", n=1))
    assert committed == made, f"the decisions on {name!r} are others than those committed.\n{REMEDY}\n{difference}"


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_leads_to_the_predictions_of_its_digest(name: str) -> None:
    committed = json.loads(DIGESTS.read_text())
    assert replayed(name).predictions == committed[name], f"the predictions on {name!r} are others than those committed.\n{REMEDY}"


def test_there_is_a_log_of_each_stream_and_of_no_other() -> None:
    assert {path.stem for path in HERE.glob("*.jsonl")} == set(STREAMS)
    assert json.loads(DIGESTS.read_text()).keys() == STREAMS.keys()


def test_the_streams_lead_to_decisions_of_every_kind() -> None:
    seen = {json.loads(each)["type"].split(".", 2)[2] for name in STREAMS for each in log_of(name).read_text().splitlines()}
    assert seen >= {
        "drift.detected.v1",
        "drift.warned.v1",
        "policy.decided.v1",
        "model.reset.v1",
        "training.requested.v1",
        "training.joined.v1",
        "member.restarted.v1",
        "member.leads.v1",
        "duel.started.v1",
        "duel.lead_changed.v1",
        "duel.ended.v1",
    }


def rewrite() -> None:
    """Make the committed files what the streams lead to now."""
    for name in STREAMS:
        log_of(name).write_text("".join(f"{each}\n" for each in replayed(name).decisions))
    DIGESTS.write_text(json.dumps({name: replayed(name).predictions for name in STREAMS}, indent=2) + "\n")


if __name__ == "__main__":
    rewrite()
