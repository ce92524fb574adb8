"""Models of the quality benchmark that River does not have: controls, and a shell that notes when a model replaced a part of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import base

__all__ = ["BlindlyClassifier", "BlindlyRegressor", "Ledger", "NotedClassifier", "NotedRegressor", "PreviousTarget"]


class Ledger(list[int]):
    """The events at which a model replaced a part of itself; clones and copies of the model write into the same one."""

    def __deepcopy__(self, _: Any) -> Ledger:
        return self


class PreviousTarget(base.Regressor):  # type: ignore[misc]
    """Answers with the target before; the control of `river.dummy.NoChangeClassifier` for numbers."""

    def __init__(self) -> None:
        self.before = 0.0

    def predict_one(self, _: Any) -> float:
        return self.before

    def learn_one(self, _: Any, y: float) -> None:
        self.before = y


class _Blindly(base.Wrapper):  # type: ignore[misc]
    """Begins afresh after every `events` labels, whatever they are."""

    def __init__(self, model: Any, events: int, ledger: Ledger) -> None:
        self.model = model
        self.events = events
        self.ledger = ledger
        self._learned = 0

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    def learn_one(self, x: Any, y: Any) -> None:
        self.model.learn_one(x, y)
        self._learned += 1
        if self._learned % self.events == 0:
            self.model = self.model.clone()
            self.ledger.append(self._learned - 1)


class BlindlyClassifier(_Blindly, base.Classifier):  # type: ignore[misc]
    """A classifier that begins afresh every so often."""

    def predict_proba_one(self, x: Any) -> dict[Any, float]:
        proba: dict[Any, float] = self.model.predict_proba_one(x)
        return proba


class BlindlyRegressor(_Blindly, base.Regressor):  # type: ignore[misc]
    """A regressor that begins afresh every so often."""

    def predict_one(self, x: Any) -> float:
        answer: float = self.model.predict_one(x)
        return answer


class _Noted(base.Wrapper):  # type: ignore[misc]
    """Passes everything on, and notes the events at which `count` of the model rose: what it replaced, and when."""

    def __init__(self, model: Any, count: Callable[[Any], Any], ledger: Ledger) -> None:
        self.model = model
        self.count = count
        self.ledger = ledger
        self._learned = 0
        self._before = count(model)

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    def learn_one(self, x: Any, y: Any) -> None:
        self.model.learn_one(x, y)
        now = self.count(self.model)
        if now != self._before:
            self.ledger.append(self._learned)
            self._before = now
        self._learned += 1


class NotedClassifier(_Noted, base.Classifier):  # type: ignore[misc]
    """A classifier, noted."""

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Any) -> dict[Any, float]:
        proba: dict[Any, float] = self.model.predict_proba_one(x)
        return proba


class NotedRegressor(_Noted, base.Regressor):  # type: ignore[misc]
    """A regressor, noted."""

    def predict_one(self, x: Any) -> float:
        answer: float = self.model.predict_one(x)
        return answer
