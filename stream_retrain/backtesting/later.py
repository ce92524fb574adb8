"""The later part of a recording: what a lane did from an interval on, as if nothing before had been counted.

Running metrics are of all labels, so those of a part are not known, with the exception of the two that equal the mean loss.
"""

from __future__ import annotations

import dataclasses
import math

from stream_retrain.backtesting.recording import Recording
from stream_retrain.backtesting.result import GenerationSpan

__all__ = ["later"]


def later(recording: Recording, number: int, position: int) -> Recording:
    """The part of a recording from interval `number` on, which begins at `position`."""
    rows = [row for row in recording.intervals if row.number >= number]
    events, losses = sum(row.events for row in rows), sum(row.losses for row in rows)
    loss = math.fsum(row.loss_sum for row in rows) / losses if losses else None
    equal = {} if loss is None else {"Accuracy": 1 - loss, "MAE": loss}
    return dataclasses.replace(
        recording,
        intervals=rows,
        readings=[each for each in recording.readings if each.number >= number],
        duel_points=[each for each in recording.duel_points if each.position >= position],
        marks=[each for each in recording.marks if each.position >= position],
        generations=[
            _from(position, span) for span in recording.generations if span.until_position is None or span.until_position > position
        ],
        metrics={name: equal[name] for name in recording.metrics if name in equal},
        events=events,
        rejected=sum(row.rejected for row in rows),
        labelled=sum(row.labelled for row in rows),
        drifts=sum(row.drifts for row in rows),
        replacements=sum(row.replacements for row in rows),
        duels=sum(row.duels for row in rows),
        trainings=sum(row.trainings for row in rows),
        cpu_s=recording.cpu_s * events / max(1, recording.events),
    )


def _from(position: int, span: GenerationSpan) -> GenerationSpan:
    return dataclasses.replace(span, from_position=max(position, span.from_position))
