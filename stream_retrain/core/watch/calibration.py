"""Detectors by what they cost: at most one false alarm in so many events.

The table was measured (`benchmarks/calibrate.py` says how): false alarms where nothing changes, delays where something does. Of the
settings whose false alarms, at the upper end of a 95 % interval and at the worst of several error rates, are rare enough, the
quickest is taken. The detector of the rank has a calibration of its own (`core.watch.rank`). The rates hold for values that do not depend
on each other; errors that come in runs raise more alarms.
"""

from __future__ import annotations

import math
from typing import Any, Final

from river import drift
from river.drift import binary

from stream_retrain.core.react.reactions import Challenge, Ignore
from stream_retrain.core.react.rules import On
from stream_retrain.core.schema import Task
from stream_retrain.core.watch.calibration_table import TABLE
from stream_retrain.core.watch.rank import RankDetector
from stream_retrain.core.watch.watch import RANK, Watch
from stream_retrain.models import FastADWIN

__all__ = ["FALSE_ALARM_EVERY_EVENTS", "detector_for", "watch_and_react"]

FALSE_ALARM_EVERY_EVENTS: Final = 100_000
KINDS: Final[dict[str, Any]] = {
    "ADWIN": FastADWIN,
    "HDDMA": binary.HDDMA,
    "HDDMW": binary.HDDMW,
    "PageHinkley": drift.PageHinkley,
    "KSWIN": drift.KSWIN,
}
FIXED: Final[dict[str, dict[str, Any]]] = {
    "ADWIN": {"clock": 8},
    "PageHinkley": {"alpha": 1.0},
    "KSWIN": {"window_size": 100, "stat_size": 30, "seed": 1},
}
"""Parameters that are the same in every row of the table."""


def detector_for(signal: str = "error", *, false_alarm_every_events: int = FALSE_ALARM_EVERY_EVENTS, kind: str | None = None) -> Any:
    """The quickest detector that raises at most one false alarm in `false_alarm_every_events`.

    signal
        "error": of a classifier (0 and 1). "rank": of its rarer classes. Any other name: a number, such as a feature, the
        loss or a regressor's error.
    kind
        One of the detectors that were measured for it, such as "ADWIN"; None: whichever is the quickest.

    Raises ValueError where no setting that was measured is that quiet; the message names the quietest.
    """
    if signal == RANK:
        if kind not in (None, RankDetector.__name__):
            raise ValueError(f"{kind} was not measured on {signal}; use {RankDetector.__name__}")
        return RankDetector(false_alarm_every_events)
    measured = [row for row in TABLE if row[0] == ("error" if signal == "error" else "feature") and kind in (None, row[1])]
    if not measured:
        raise ValueError(f"{kind} was not measured on {signal}; use one of {', '.join(sorted({row[1] for row in TABLE}))}")
    quiet = [row for row in measured if row[4] * false_alarm_every_events <= 1e6]
    if not quiet:
        _, name, parameter, value, alarms, *_ = min(measured, key=lambda row: row[4])
        raise ValueError(
            f"no setting that was measured raises fewer than one false alarm in {false_alarm_every_events:,} events;"
            f" the quietest is {name}({parameter}={value:g}), one in {1e6 / alarms:,.0f}"
        )
    _, name, parameter, value, *_ = min(quiet, key=lambda row: (_delay(row[5]) + _delay(row[6]), row[4]))
    return KINDS[name](**{**FIXED.get(name, {}), parameter: value})


def watch_and_react(task: Task, *, adapts: bool = False, false_alarm_every_events: int = FALSE_ALARM_EVERY_EVENTS) -> dict[str, Any]:
    """`watch` and `react` to begin with: `Pipeline(..., **watch_and_react("binary"))`.

    The error is watched for getting worse, of a classifier the rank of its rarer classes too, and challengers race the model when one does.

    `adapts`: the model does so by itself, such as `adaptive_classifier()`. The same is watched, and an alarm is told and nothing else:
    that of the error says that the stream is another one now, and that of the rank that its rare classes are, which the error hides.
    """
    signal = "error" if task != "regression" else "loss"
    detector = detector_for(signal, false_alarm_every_events=false_alarm_every_events, kind="ADWIN" if task == "regression" else None)
    watch = [Watch(signal, detector)]
    if task != "regression":
        watch.append(Watch(RANK, detector_for(RANK, false_alarm_every_events=false_alarm_every_events)))
    return {"watch": watch, "react": [On.drift(each.signal, Ignore() if adapts else Challenge()) for each in watch]}


def _delay(events: float | None) -> float:
    return math.inf if events is None else events
