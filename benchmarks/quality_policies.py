"""What the quality benchmark compares: champions, and what is done about drift around them or instead of them.

A new reaction is one line in `REACTIONS`; a new model that needs no reaction is one in `MODELS`.

Reactions and controls are run around each champion. A model that adapts by itself stands for itself: it is run once, under the
first champion's name, and its cost is told in that one's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from river import compose, drift, dummy, ensemble, forest, linear_model, multiclass, preprocessing, tree
from river.drift import binary

from benchmarks.quality_models import BlindlyClassifier, BlindlyRegressor, Ledger, NotedClassifier, NotedRegressor, PreviousTarget
from benchmarks.quality_streams import Pair
from stream_retrain import Challenge, FineTune, On, Pipeline, Reset, Retrain, Schema, Watch, Window
from stream_retrain.core.watch.calibration import watch_and_react
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareClassifier,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingRegressor,
    adaptive_classifier,
    adaptive_regressor,
)

SEED: Final = 1
FAST: Final[dict[str, Any]] = {"grace_period": 50, "delta": 1e-3, "tau": 0.1}
NUMBERS: Final = (int, float)


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """What a policy may know of the stream it is built for."""

    task: str
    features: dict[str, Any]

    @classmethod
    def of(cls, task: str, pairs: Sequence[Pair]) -> Setting:
        """Types of the features, and whether one is sometimes missing."""
        kinds: dict[str, type] = {}
        seen: dict[str, int] = {}
        for x, _ in pairs:
            for name, value in x.items():
                kinds[name] = float if type(value) in NUMBERS else type(value)
                seen[name] = seen.get(name, 0) + 1
        return cls(task, {name: kind if seen[name] == len(pairs) else kind | None for name, kind in kinds.items()})

    @property
    def has_strings(self) -> bool:
        """Whether a feature is not a number."""
        return any(kind in (str, str | None) for kind in self.features.values())


Make: TypeAlias = Callable[[Setting], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What is done about drift: it says what a shard runs around a champion, or in its place."""

    name: str
    model: Callable[[Any, Ledger], Any]
    react: Callable[[], Any] | None = None
    """The reaction to a drift."""
    watch: Callable[[str], list[Watch]] | None = None
    """What is watched for a task; None: what the project recommends."""
    around: bool = True
    alarmed: bool = True
    """Whether what it replaces tells that it noticed something."""
    slow: bool = False

    def pipeline(self, champion: Any, setting: Setting, ledger: Ledger) -> Pipeline:
        """What a shard runs; without a reaction nothing is watched either, and replacements are entered in the ledger."""
        reaction = self.react() if self.react else None
        watches = self.watch(setting.task) if self.watch else recommended_watches(setting.task)
        return Pipeline(
            name="quality",
            task=setting.task,  # type: ignore[arg-type]
            source="stream",
            schema=Schema(label="target of the stream", features=setting.features),
            model=self.model(champion, ledger),
            watch=watches if reaction else [],
            react=[On.drift(watch.signal, reaction) for watch in watches] if reaction else [],
        )


def recommended_watches(task: str) -> list[Watch]:
    """What `watch_and_react` gives a new pipeline."""
    watches: list[Watch] = watch_and_react(task)["watch"]  # type: ignore[arg-type]
    return watches


def hddma(_: str) -> list[Watch]:
    """A detector of 0/1 errors that fires more often where errors come in runs, and costs more."""
    return [Watch("error", binary.HDDMA())]


def scaled(model: Any, setting: Setting) -> Any:
    """A linear model behind a scaler; strings become columns of their own."""
    if not setting.has_strings:
        return preprocessing.StandardScaler() | model
    numbers = compose.SelectType(NUMBERS) | preprocessing.StandardScaler()
    return (numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder())) | model


def logistic(setting: Setting) -> Any:
    one = linear_model.LogisticRegression()
    return scaled(multiclass.OneVsRestClassifier(one) if setting.task == "multiclass" else one, setting)


CHAMPIONS: Final[dict[str, Make]] = {
    "HoeffdingTree": lambda _: tree.HoeffdingTreeClassifier(),
    "HoeffdingTree (fast)": lambda _: tree.HoeffdingTreeClassifier(**FAST),
    "StandardScaler | LogisticRegression": logistic,
}
REGRESSION_CHAMPIONS: Final[dict[str, Make]] = {
    "HoeffdingTreeRegressor": lambda _: tree.HoeffdingTreeRegressor(),
    "StandardScaler | LinearRegression": lambda setting: scaled(linear_model.LinearRegression(), setting),
}


def champions(task: str) -> dict[str, Make]:
    """The models drift is dealt with around, trees first; the first is the measure of cost for those that stand for themselves."""
    return REGRESSION_CHAMPIONS if task == "regression" else CHAMPIONS


REACTIONS: Final[dict[str, Callable[[], Any]]] = {
    "Reset": Reset,
    "Challenge": Challenge,
    "Challenge, own family": lambda: Challenge(challengers=("fresh", "since_change")),
    "Retrain 1000": lambda: Retrain(window=Window(rows=1_000)),
    "FineTune 1000": lambda: FineTune(window=Window(rows=1_000)),
}
ON_HDDMA: Final = ("Reset", "Challenge", "Challenge, own family")
"""The reactions that are also run on that detector, for 0/1 errors."""


def retraining(detector: Callable[[], Any], *, background: bool) -> Callable[[Any, Ledger], Any]:
    """River's wrapper; its replacements are known by its model being another object than before."""

    def make(champion: Any, ledger: Ledger) -> Any:
        wrapper = drift.DriftRetrainingClassifier(champion, detector(), train_in_background=background)
        return NotedClassifier(wrapper, identity_of_model, ledger)

    return make


def identity_of_model(wrapper: Any) -> int:
    return id(wrapper.model)


def switched_subtrees(model: Any) -> int:
    return int(model._n_switch_alternate_trees)


def drifts_of_trees(model: Any) -> int:
    return int(model.n_drifts_detected())


def drifts_of_patches(model: Any) -> int:
    return sum(member.n_drifts_detected for member in model)


def detected_changes(model: Any) -> int:
    return int(model.n_detected_changes)


def restarts(model: Any) -> int:
    return sum(model.standing().restarts)


def blindly(events: int, *, regression: bool) -> Policy:
    kind = BlindlyRegressor if regression else BlindlyClassifier
    return Policy(f"blind reset {events}", lambda champion, ledger: kind(champion, events, ledger), alarmed=False)


def two_members() -> FixedShareClassifier:
    """The recommended mixture without the tree that never restarts."""
    return FixedShareClassifier({"restarting_tree": RestartingClassifier(QuickTree()), "additive": AdditiveClassifier()})


class Model:
    """A model that stands for itself, and how its replacements are counted, if it has any."""

    def __init__(self, make: Callable[[], Any], count: Callable[[Any], Any] | None = None, *, slow: bool = False) -> None:
        self.make = make
        self.count = count
        self.slow = slow

    def policy(self, name: str, *, regression: bool) -> Policy:
        noted = NotedRegressor if regression else NotedClassifier

        def model(_: Any, ledger: Ledger) -> Any:
            return noted(self.make(), self.count, ledger) if self.count else self.make()

        return Policy(name, model, around=False, alarmed=self.count is not None, slow=self.slow)


MODELS: Final = {
    "adaptive_classifier": Model(adaptive_classifier, restarts),
    "two members": Model(two_members, restarts),
    "QuickTree": Model(QuickTree),
    "Restarting(QuickTree)": Model(lambda: RestartingClassifier(QuickTree()), restarts),
    "Additive": Model(AdditiveClassifier),
    "HAT": Model(lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=SEED), switched_subtrees),
    "ARF10": Model(lambda: forest.ARFClassifier(n_models=10, seed=SEED), drifts_of_trees, slow=True),
    "LeveragingBagging10": Model(
        lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=10, seed=SEED), detected_changes, slow=True
    ),
    "SRP10": Model(lambda: ensemble.SRPClassifier(tree.HoeffdingTreeClassifier(), n_models=10, seed=SEED), drifts_of_patches, slow=True),
    "previous label": Model(dummy.NoChangeClassifier),
}
REGRESSION_MODELS: Final = {
    "adaptive_regressor": Model(adaptive_regressor, restarts),
    "Restarting(QuickTreeRegressor)": Model(lambda: RestartingRegressor(QuickTreeRegressor()), restarts),
    "Additive": Model(AdditiveRegressor),
    "HATR": Model(lambda: tree.HoeffdingAdaptiveTreeRegressor(seed=SEED), switched_subtrees),
    "ARFRegressor10": Model(lambda: forest.ARFRegressor(n_models=10, seed=SEED), drifts_of_trees, slow=True),
    "previous label": Model(PreviousTarget),
}


def policies(task: str) -> list[Policy]:
    """Everything that is compared on streams of a task, `none` first."""
    regression = task == "regression"
    found = [Policy("none", as_it_is, alarmed=False)]
    found += [Policy(name, as_it_is, react) for name, react in REACTIONS.items()]
    if not regression:
        found += [Policy(f"{name} (HDDMA)", as_it_is, REACTIONS[name], hddma) for name in ON_HDDMA]
        found += [
            Policy("DRC(DDM)", retraining(binary.DDM, background=True)),
            Policy("DRC(HDDMA)", retraining(binary.HDDMA, background=True)),
            Policy("DRC(ADWIN)", retraining(drift.ADWIN, background=False)),
        ]
    found += [blindly(events, regression=regression) for events in (100, 1_000)]
    table = REGRESSION_MODELS if regression else MODELS
    return found + [model.policy(name, regression=regression) for name, model in table.items()]


def as_it_is(champion: Any, _: Ledger) -> Any:
    return champion
