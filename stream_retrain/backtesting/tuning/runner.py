"""Runs candidates over the first records of a spool, side by side, and says how each did.

Candidates share a job as the variants of a backtest do, at most `LANES_MAX` of them, so that memory grows neither with the records nor with
the trials. Which ones share a job makes no difference to what comes of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Final

from stream_retrain.backtesting.grouping import groups_for
from stream_retrain.backtesting.recording import Recording
from stream_retrain.backtesting.run import Options, interval_of, jobs_over, place_for
from stream_retrain.backtesting.spool import Spool
from stream_retrain.backtesting.tuning.candidates import Candidate
from stream_retrain.backtesting.tuning.result import Score
from stream_retrain.backtesting.variants import Variant

__all__ = ["Runner"]

LANES_MAX: Final = 8


class Runner:
    """Scores of candidates; those whose pipelines are the same are run once."""

    def __init__(self, spool: Spool, options: Options, on_progress: Callable[[int], None], stopped: Callable[[], bool]) -> None:
        self._spool = spool
        self._options = dataclasses.replace(options, decisions=None)  # nobody reads those of a trial
        self._on_progress = on_progress
        self.stopped = stopped
        self._known: dict[tuple[str, int], Score] = {}
        self.notes: list[str] = []
        """What a reader must know of where they ran."""

    def scores(self, candidates: Sequence[Candidate], records: int) -> list[Score | None]:
        """How each does over the first so many records; None of one that is refused, and of one that an interruption kept from its end."""
        new = {each.digest: each for each in candidates if each.pipeline is not None and (each.digest, records) not in self._known}
        variants = [Variant(name=digest, pipeline=each.pipeline) for digest, each in new.items() if each.pipeline is not None]
        if variants and not self.stopped():
            self._run(variants, records)
        runs = sum(each.pipeline is not None for each in candidates)
        self._on_progress((runs - len(variants)) * records)
        return [self._known.get((each.digest, records)) for each in candidates]

    def _run(self, variants: Sequence[Variant], records: int) -> None:
        spool = self._spool.before(records)
        place = place_for(variants, self._options)
        self.notes = place.notes
        count = max(groups_for(len(variants), len(spool.partitions), place.processes), -(-len(variants) // LANES_MAX))
        if place.processes < 0:  # a cluster, of which nobody knows how large it is
            count = len(variants)
        groups = [tuple(range(first, len(variants), count)) for first in range(count)]
        jobs = jobs_over(variants, spool, groups, interval_of(self._spool), self._options)
        of: dict[str, list[Recording]] = {variant.name: [] for variant in variants}
        for done in place.run(jobs, self._on_progress, self.stopped):
            for recording in done.recordings:
                of[recording.variant].append(recording)
        for digest, recordings in of.items():
            if len(recordings) == len(spool.partitions) and all(each.stopped_in is None for each in recordings):
                self._known[digest, records] = _score(recordings, records)


def _score(recordings: Sequence[Recording], records: int) -> Score:
    rows = [row for each in sorted(recordings, key=lambda each: each.partition) for row in each.intervals]
    losses = sum(row.losses for row in rows)
    return Score(
        records=records,
        loss=math.fsum(row.loss_sum for row in rows) / losses if losses else None,
        labelled=sum(each.labelled for each in recordings),
        drifts=sum(each.drifts for each in recordings),
        replacements=sum(each.replacements for each in recordings),
    )
