"""What keeps a duel from promoting against the metric that its pipeline is judged by.

A loss of probabilities and a metric of labels may disagree: a model behind an under-sampler finds the positives and has wrong
probabilities, and the same model without it has right ones and, cut at one half, finds none. So where the first metric a pipeline declares
is of labels (recall, F1, accuracy), a contestant that the evidence favours is given the lead only if by this metric, on the same recent
events of the duel, it is not worse than the served model by more than a margin.

- It can only hold a change of lead up, so the promise of the evidence stands.
- It needs labels of the rarest class to say anything, `RAREST_MIN` of them; until then nobody is given the lead.
- *Recent*: the last one or two spans, each of `SPAN_EVENTS` events and `RAREST_SPAN` labels of the rarest class. They are kept as counts of
  (label, predicted label), so any metric of labels can be computed when it is asked for, which is seldom.
- A metric is foreign code. One that raises here, or has no number to show, holds nobody up; it is told where it scores the served model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from stream_retrain.core.state import Part, Saved

__all__ = ["MetricGuard"]

RAREST_MIN: Final = 10
RAREST_SPAN: Final = 50
SPAN_EVENTS: Final = 1_000
SPAN_EVENTS_MAX: Final = 20_000
AGAIN_EVENTS: Final = 50
"""Events after which a contestant that was held up is looked at again."""
_GUARD: Final = Part.of("metric guard", "older", "newer", "held")


class MetricGuard:
    """The labels that each contestant predicted in one duel, and what the metric makes of them."""

    __slots__ = ("_held", "_margin", "_metric", "_newer", "_older", "name")

    def __init__(self, metric: Any, margin: float, saved: Saved | None = None) -> None:
        """`metric`: a River metric of labels, never updated itself. Raises `StateError`."""
        values: Saved = {"older": ((), ()), "newer": ((), ()), "held": None} if saved is None else _GUARD.load(saved)
        self._metric = metric
        self._margin = margin
        self._older, self._newer = _Span(*values["older"]), _Span(*values["newer"])
        self._held: int | None = values["held"]
        """Events since it last held a contestant up."""
        self.name = type(metric).__name__

    @property
    def holds(self) -> bool:
        """Whether it has held somebody up of late."""
        return self._held is not None and self._held <= AGAIN_EVENTS

    def count(self, y: Any, predicted: Sequence[Any]) -> None:
        """Take a label, and what each contestant predicted; None where it predicted nothing."""
        self._older.count(y, predicted)
        self._newer.count(y, predicted)
        if self._newer.full:
            self._older, self._newer = self._newer, _Span()
        if self._held is not None:
            self._held += 1

    def joined(self) -> None:
        """There is another contestant: it has the same events as the others from here."""
        self._older, self._newer, self._held = _Span(), _Span(), None

    def allows(self, served: int, rival: int) -> bool:
        """Whether the rival may be given the served model's lead."""
        if self._held is not None and self._held < AGAIN_EVENTS:
            return False
        span = self._older
        if span.rarest < RAREST_MIN and span.events < SPAN_EVENTS_MAX:
            return False
        was, would_be = (self._value(span, contestant) for contestant in (served, rival))
        if was is None or would_be is None:
            return True
        worse = was - would_be if self._metric.bigger_is_better else would_be - was
        self._held = 0 if worse > self._margin else None
        return self._held is None

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        return _GUARD.save(older=self._older.plain(), newer=self._newer.plain(), held=self._held)

    def _value(self, span: _Span, contestant: int) -> float | None:
        metric = self._metric.clone()
        try:
            for (y, y_pred), times in span.pairs_of(contestant):
                for _ in range(times):
                    metric.update(y, y_pred)
            value = float(metric.get())
        except Exception:  # noqa: BLE001 - a metric is foreign code; see the module's docstring
            return None
        return value if math.isfinite(value) else None


class _Span:
    """Counts of labels, and by contestant of (label, predicted label)."""

    __slots__ = ("_labels", "_pairs", "events")

    def __init__(self, labels: Sequence[tuple[Any, int]] = (), pairs: Sequence[Sequence[tuple[tuple[Any, Any], int]]] = ()) -> None:
        self._labels = dict(labels)
        self._pairs = [dict(each) for each in pairs]
        self.events = sum(self._labels.values())

    @property
    def rarest(self) -> int:
        """Labels of all classes but the most frequent."""
        return self.events - max(self._labels.values(), default=0)

    @property
    def full(self) -> bool:
        return self.events >= SPAN_EVENTS and (self.rarest >= RAREST_SPAN or self.events >= SPAN_EVENTS_MAX)

    def count(self, y: Any, predicted: Sequence[Any]) -> None:
        while len(self._pairs) < len(predicted):
            self._pairs.append({})
        self.events += 1
        self._labels[y] = self._labels.get(y, 0) + 1
        for pairs, y_pred in zip(self._pairs, predicted, strict=False):
            if y_pred is not None:
                pairs[y, y_pred] = pairs.get((y, y_pred), 0) + 1

    def pairs_of(self, contestant: int) -> Sequence[tuple[tuple[Any, Any], int]]:
        return list(self._pairs[contestant].items()) if contestant < len(self._pairs) else []

    def plain(self) -> tuple[Any, Any]:
        return tuple(self._labels.items()), tuple(tuple(each.items()) for each in self._pairs)
