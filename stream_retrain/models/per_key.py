"""One model for each value of a field, such as a store or a device, in bounded memory; and a shared one for all others.

The shared model learns every event, and predicts alone where the key is missing or new. A key gets an untrained model with its first label.
From then on the prediction is the weighted mean of both: the weight of the key's model rises where it predicts better than the shared one,
event by event, as in a mixture (`fixed_share`). So a key whose concept is that of all is predicted as well as by one model, and no number
of events must be given after which a key is trusted.

The keys used last have their models in memory, ready to predict; those of the others are packed into few bytes (`keyed_models`). Keys are
dropped that were not used for `idle_events_max` events, and those used longest ago while there are more than `keys_max` or the packed ones
take more than `cold_bytes_max`. A key that was dropped begins anew when it comes again.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from typing import Any, Final

from river import base, linear_model, preprocessing, tree

from stream_retrain.facts.observation import KeysHeld
from stream_retrain.models.keyed_models import Kept, KeyedModels, KeyLimits
from stream_retrain.models.packing import memory_bytes_of
from stream_retrain.models.probabilities import probabilities
from stream_retrain.models.segments import Key, Segment
from stream_retrain.models.targets import Targets, learnable

__all__ = ["PerKey", "PerKeyClassifier", "PerKeyRegressor"]

KEY_CHARS_MAX: Final = 200
"""A longer text is no key, and the shared model answers."""
KEY_MAX: Final = 1 << 63
WEIGHT_AT_FIRST: Final = 0.1
SHARE: Final = 0.01
"""The part of the weight that is distributed equally after each label, so that none falls to 0."""
LEAST: Final = 0.02
"""A model's probability of the true label is clipped to this and 1 minus this, so that one event cannot decide the weights."""


class PerKey(base.Wrapper, base.Estimator, abc.ABC):  # type: ignore[misc]
    """A model for each value of the field `by`, and a shared one.

    `PerKey(model, by="store_id")` makes a `PerKeyClassifier` or a `PerKeyRegressor`, according to the model.

    Parameters
    ----------
    model
        The model that each key has a clone of.
    by
        The feature whose value is the key: a number, a boolean, or a text of at most 200 characters. Where it is missing, null or longer,
        the shared model predicts and only it learns.
    shared
        The model that learns all events; None: a clone of `model`.
    sees_key
        Whether the models see the field `by` as a feature. Those of one key never need to.
    hot_keys_max
        Keys whose models are ready to predict, and at most `keys_max`; the one used longest ago is put away.
    hot_bytes_max
        About how much memory these may take. It is measured when a model's events have doubled; the model used last always stays.
    keys_max
        Keys that have a model, those put away included; the one used longest ago is dropped.
    cold_bytes_max
        How much memory the models that were put away may take.
    idle_events_max
        A key that was not used for so many events (of all keys) is dropped; None: it stays.

    """

    def __new__(cls, model: Any = None, *_: Any, **__: Any) -> PerKey:
        """Choose the class for the model; unpickling gives no model, and then the class is already the right one."""
        if cls is PerKey:
            cls = PerKeyRegressor if isinstance(model, base.Regressor) else PerKeyClassifier
        made: PerKey = super().__new__(cls)
        return made

    def __init__(
        self,
        model: Any,
        by: str,
        shared: Any = None,
        sees_key: bool = False,
        hot_keys_max: int = 500,
        hot_bytes_max: int = 4_000_000,
        keys_max: int = 100_000,
        cold_bytes_max: int = 256_000_000,
        idle_events_max: int | None = None,
    ) -> None:
        limits = KeyLimits(hot_keys_max, hot_bytes_max, keys_max, cold_bytes_max, idle_events_max)
        if not isinstance(by, str) or not by:
            raise ValueError(f"by is {by!r}; give the name of a feature")
        _check(limits)
        for name, given in {"model": model, "shared": model if shared is None else shared}.items():
            if not isinstance(given, base.Classifier | base.Regressor):
                raise ValueError(f"{name} is {given!r}; give a classifier or a regressor of River, or a pipeline that ends in one")
        self.model = model
        self.by = by
        self.shared = shared
        self.sees_key = sees_key
        self.hot_keys_max = hot_keys_max
        self.hot_bytes_max = hot_bytes_max
        self.keys_max = keys_max
        self.cold_bytes_max = cold_bytes_max
        self.idle_events_max = idle_events_max
        self._everyone = (model if shared is None else shared).clone()
        """The shared model."""
        self._models = KeyedModels(limits)
        self._targets = Targets()
        """Of a regressor."""
        self._shared_answers = 0

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    @property
    def keys_held(self) -> KeysHeld:
        """How many keys have a model, and what became of models so far."""
        return self._models.held(self._shared_answers)

    @property
    def segments(self) -> list[Segment]:
        """The segments of models that were put away; a checkpoint writes each once."""
        return self._models.cold.whole

    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        return self._models.bytes + memory_bytes_of(self._everyone)

    def put_all_away(self) -> None:
        """Put every model away, as if none was used for long; each comes back when its key is used."""
        self._models.put_all_away()

    def shrink(self) -> bool:
        """Drop the half of the keys that were used longest ago; whether there was one to drop."""
        keys = len(self._models)
        self._models.drop_to(keys // 2)
        return keys > 0

    def learn_one(self, x: Any, y: Any, **kwargs: Any) -> None:
        """Let the key's model learn, which is made if it has none; and the shared one."""
        key = self._key_of(x)
        seen = self._seen(x, key)
        if key is not None:
            kept = self._models.use(key) or Kept(self.model.clone(), 0, WEIGHT_AT_FIRST, self._models.clock)
            own, shared = self._merits(kept.model, seen, y)
            kept.model.learn_one(seen, y, **kwargs)
            total = kept.weight * own + (1.0 - kept.weight) * shared
            kept.weight = SHARE / 2 + (1.0 - SHARE) * kept.weight * own / total
            kept.events += 1
            self._models.keep(key, kept)
        self._everyone.learn_one(seen, y, **kwargs)
        self._models.tick()

    def _asked(self, x: Any) -> tuple[Kept | None, Any]:
        """What is kept of the key, and what the models see of `x`."""
        key = self._key_of(x)
        kept = None if key is None else self._models.use(key)
        if kept is None:
            self._shared_answers += 1
        return kept, self._seen(x, key)

    @abc.abstractmethod
    def _merits(self, model: Any, seen: Any, y: Any) -> tuple[float, float]:
        """By what the weights of a key's model and of the shared one are multiplied after a label: each above 0."""

    def _key_of(self, x: Any) -> Key | None:
        key: Any = x.get(self.by) if isinstance(x, dict) else None
        kind = key.__class__
        if kind is str:
            fits = len(key) <= KEY_CHARS_MAX and (key.isascii() or _is_text(key))
        elif kind is int:
            fits = -KEY_MAX <= key < KEY_MAX
        else:
            fits = kind is bool or (kind is float and -math.inf < key < math.inf)
        return key if fits else None

    def _seen(self, x: Any, key: Key | None) -> Any:
        """What the models see."""
        if self.sees_key or (key is None and (not isinstance(x, dict) or self.by not in x)):
            return x
        seen = x.copy()
        del seen[self.by]
        return seen


class PerKeyClassifier(PerKey, base.Classifier):  # type: ignore[misc]
    """A classifier for each value of a field, and a shared one; the parameters are those of `PerKey`."""

    @property
    def _multiclass(self) -> bool:
        return bool(self.model._multiclass and self._everyone._multiclass)

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[base.typing.ClfTarget, float]:
        """The weighted mean of the probabilities of the key's model and the shared one; {} while neither has any."""
        kept, seen = self._asked(x)
        shared = probabilities(self._everyone, seen, **kwargs)
        own = {} if kept is None else probabilities(kept.model, seen, **kwargs)
        if kept is None or not own or not shared:
            return own or shared
        weight, rest = kept.weight, 1.0 - kept.weight
        mixed = {label: rest * p + weight * own.get(label, 0.0) for label, p in shared.items()}
        return mixed if own.keys() <= mixed.keys() else mixed | {label: weight * p for label, p in own.items() if label not in mixed}

    def _merits(self, model: Any, seen: Any, y: Any) -> tuple[float, float]:
        own, shared = probabilities(model, seen), probabilities(self._everyone, seen)
        if not own or not shared:
            return 1.0, 1.0
        high = 1.0 - LEAST
        return min(max(own.get(y, 0.0), LEAST), high), min(max(shared.get(y, 0.0), LEAST), high)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": preprocessing.StandardScaler() | linear_model.LogisticRegression(), "by": "a key that no event has"}
        yield {"model": tree.HoeffdingTreeClassifier(), "by": "x", "hot_keys_max": 2}


class PerKeyRegressor(PerKey, base.Regressor):  # type: ignore[misc]
    """A regressor for each value of a field, and a shared one; the parameters are those of `PerKey`.

    Predictions are clipped to the range of the targets seen, extended by 10 % on both sides.
    """

    def predict_one(self, x: Any, **kwargs: Any) -> float:
        """The weighted mean of the predictions of the key's model and the shared one; 0 before any target."""
        kept, seen = self._asked(x)
        shared = self._of(self._everyone, seen, **kwargs)
        own = None if kept is None else self._of(kept.model, seen, **kwargs)
        if kept is None or own is None or shared is None:
            return (own if shared is None else shared) or 0.0
        return kept.weight * own + (1.0 - kept.weight) * shared

    def learn_one(self, x: Any, y: float, **kwargs: Any) -> None:
        """As `PerKey.learn_one`. Raises ValueError where the target is not a finite number."""
        y = learnable(y)
        super().learn_one(x, self._targets.usual(y), **kwargs)
        self._targets.update(y)

    def _merits(self, model: Any, seen: Any, y: Any) -> tuple[float, float]:
        """1 less each one's part in the sum of both squared errors: it has no unit."""
        own, shared = self._of(model, seen), self._of(self._everyone, seen)
        if own is None or shared is None:
            return 1.0, 1.0
        own, shared = (own - y) ** 2, (shared - y) ** 2
        if not 0.0 < (total := own + shared) < math.inf:
            return 1.0, 1.0
        return max(shared / total, LEAST), max(own / total, LEAST)

    def _of(self, model: Any, seen: Any, **kwargs: Any) -> float | None:
        """What a model predicts, clipped; None where it cannot predict yet."""
        y_pred = model.predict_one(seen, **kwargs)
        return None if y_pred is None else self._targets.clip(y_pred)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": preprocessing.StandardScaler() | linear_model.LinearRegression(), "by": "a key that no event has"}
        yield {"model": tree.HoeffdingTreeRegressor(), "by": "x", "hot_keys_max": 2}


def _check(limits: KeyLimits) -> None:
    """Raise ValueError for limits that cannot be."""
    for name, limit in limits._asdict().items():
        if limit is None and name == "idle_events_max":
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise ValueError(f"{name} is {limit!r}; give a whole number of at least 1")


def _is_text(key: str) -> bool:
    """Whether it is Unicode."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
