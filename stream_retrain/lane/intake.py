"""How many of the last records were refused, and where that is more than the pipeline allows.

A limit is reached at a refused record: when, with it, a declared share of the last `rejects_over_records` records was refused. It is told
there, and counting begins anew with the next record; so it is told again only after as many refusals more. All of that is a function of the
log, however it is cut into batches.

A lane of a worker takes nothing further then (`Lane.pauses`): the shard is *paused* while no record came after the one at which the limit
was reached. A restart finds it so; a record that is taken all the same, because somebody said so, ends it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from typing import Any, ClassVar

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.records import IntakePaused, Rejected
from stream_retrain.lane.batch import Records

__all__ = ["Intake"]


class Intake:
    """Counts the refused records of one shard."""

    PART: ClassVar = Part.of("intake", "records", "rejected", "paused")

    def __init__(self, pipeline: Pipeline, saved: Saved | None = None) -> None:
        """Fresh, or as it was saved. Raises `StateError`."""
        share_max, over = pipeline.rejects_share_max, pipeline.rejects_over_records
        self.limited = share_max is not None
        self._over = over
        self._reached_by = math.ceil((share_max or 1.0) * over)
        values: Saved = {"records": 0, "rejected": (), "paused": False} if saved is None else self.PART.load(saved)
        self._records: int = values["records"]
        """Since the limit was last reached."""
        self._rejected: list[int] = list(values["rejected"])
        """The numbers of those among the last that were refused, counted from there."""
        self.paused: bool = values["paused"]

    @property
    def room(self) -> int:
        """So many records cannot reach the limit, unless the last of them does."""
        return self._reached_by - len(self._rejected)

    def take(self, records: Records, rejected: Iterable[Rejected]) -> list[IntakePaused]:
        """Count records, of which some were refused; where the limit was reached."""
        facts: list[IntakePaused] = []
        first = 0
        for refused in rejected:
            row = bisect.bisect_left(records.offsets, refused.offset)
            number = self._records + row - first
            self._rejected.append(number)
            self._forget(number)
            if len(self._rejected) >= self._reached_by:
                told: dict[str, Any] = {"rejected": len(self._rejected), "over_records": self._over, "reason": refused.reason}
                facts.append(IntakePaused(offset=refused.offset, time_s=records.timestamps_ms[row] / 1000, **told))
                self._records, self._rejected, first = 0, [], row + 1
        self._records += len(records) - first
        self._forget(self._records - 1)
        if len(records):
            self.paused = bool(facts) and first == len(records)
        return facts

    def _forget(self, newest: int) -> None:
        del self._rejected[: bisect.bisect_right(self._rejected, newest - self._over)]

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        return self.PART.save(records=self._records, rejected=tuple(self._rejected), paused=self.paused)
