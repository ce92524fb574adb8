"""Rare classes and late labels: what raises an alarm, how soon, how often for nothing, and what the reactions make of it.

    python -m benchmarks.rare [--alarms] [--curves] [--seeds N] [--events N]

Streams of six features, of which the positives differ in two; the change comes in the middle. Its kinds:

- `swap`: from there on the positives differ in two other features; `gradual`: the same, over a fifth of the stream; `flip`: they differ
  the other way;
- `prevalence`: there are three times as many, and nothing else changes; `none`: nothing changes. Every alarm on these is a false one.

Labels come at once, or after 10 to 30 % of the stream. Alarms are told by detector (`detected`: within the rest of the stream, in per
cent of the runs; `delay`: the median, in events; `false`: alarms in 100,000 events without a drift). Curves are the areas under the
ROC curve of the predictions asked for after the change (`after`) and in the last quarter of the stream (`end`), means over the seeds.

The same command gives the same figures.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from river import linear_model, metrics, preprocessing, tree

from stream_retrain import Challenge, Ignore, On, Pipeline, Reset, Schema, watch_and_react
from stream_retrain.engines.replay.replay import replay_events
from stream_retrain.facts.shard import DriftDetected, LeadChanged
from stream_retrain.facts.values import Event, Features
from stream_retrain.models import AdditiveClassifier

FEATURES: Final = tuple("abcdef")
SHIFT: Final = 1.5
KINDS: Final = ("swap", "gradual", "flip", "prevalence", "none")
COME: Final = {False: "at once", True: "late"}
CHANGES: Final = ("swap", "gradual", "flip")
NO_SKILL: Final = On.below("rocauc", 0.75, do=Challenge(), cooldown_events=20_000)

MODELS: Final[dict[str, Callable[[], Any]]] = {
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "tree": tree.HoeffdingTreeClassifier,
    "additive": AdditiveClassifier,
}


class Run(NamedTuple):
    """A stream, and the model that meets it."""

    kind: str
    positives: float
    model: str
    late: bool
    seed: int
    events: int


class Made(NamedTuple):
    """The log of a stream, and the truth about each question."""

    log: list[Event]
    truth: list[bool]


def made(run: Run) -> Made:
    """The stream of a run; a question's id is its number."""
    rng = random.Random(run.seed * 1_000 + round(run.positives * 1_000))
    log: list[Event] = []
    truth: list[bool] = []
    late: list[tuple[int, int, bool]] = []
    for number in range(run.events):
        while late and late[0][0] <= number:
            _, earlier, label = heapq.heappop(late)
            log.append(Event(len(log), str(earlier), float(number), None, label))
        x, y = drawn(run, rng, number)
        truth.append(y)
        log.append(Event(len(log), str(number), float(number), x, None if run.late else y))
        if run.late:
            heapq.heappush(late, (number + int(run.events * rng.uniform(0.1, 0.3)), number, y))
    while late:
        at, earlier, label = heapq.heappop(late)
        log.append(Event(len(log), str(earlier), float(at), None, label))
    return Made(log, truth)


def drawn(run: Run, rng: random.Random, number: int) -> tuple[Features, bool]:
    middle, width = run.events // 2, run.events // 5
    changed = number >= middle
    if run.kind == "gradual":
        changed = rng.random() < (number - middle + width / 2) / width
    y = rng.random() < run.positives * (3 if run.kind == "prevalence" and changed else 1)
    x: dict[str, Any] = {name: rng.gauss(0, 1) for name in FEATURES}
    if y:
        first = 2 if changed and run.kind in ("swap", "gradual") else 0
        shift = -SHIFT if changed and run.kind == "flip" else SHIFT
        for name in FEATURES[first : first + 2]:
            x[name] += shift
    return x, y


def pipeline(run: Run, **parts: Any) -> Pipeline:
    return Pipeline(
        name="rare",
        task="binary",
        source="stream",
        schema=Schema(id="id", label="y", features=dict.fromkeys(FEATURES, float)),
        model=MODELS[run.model](),
        metrics=[metrics.ROCAUC()],
        window_rows_max=0,
        **parts,
    )


class Alarm(NamedTuple):
    """What was asked and what was labelled when a detector fired."""

    signal: str
    question: int
    positives: int


def alarms(run: Run) -> list[Alarm]:
    """All alarms of the recommended detectors, with a model that nobody replaces."""
    watches = watch_and_react("binary")["watch"]
    declared = pipeline(run, watch=watches, react=[On.drift(each.signal, Ignore()) for each in watches])
    log, _ = made(run)
    asked, labelled = counts(log)
    return [
        Alarm(fact.signal, asked[fact.offset], labelled[fact.offset])
        for _, step in replay_events(declared, log)
        for fact in step.facts
        if isinstance(fact, DriftDetected)
    ]


def counts(log: Sequence[Event]) -> tuple[list[int], list[int]]:
    """At each offset, the questions asked and the positives labelled so far."""
    asked, labelled = [], []
    questions = positives = 0
    for event in log:
        questions += event.x is not None
        positives += bool(event.y)
        asked.append(questions)
        labelled.append(positives)
    return asked, labelled


POLICIES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "none": dict,
    "watch_and_react": lambda: watch_and_react("binary"),
    "the same and the no-skill rule": lambda: with_no_skill(watch_and_react("binary")),
    "rank -> Reset": lambda: {"watch": (watches := watch_and_react("binary")["watch"]), "react": [On.drift(watches[1].signal, Reset())]},
}


def with_no_skill(parts: dict[str, Any]) -> dict[str, Any]:
    return {**parts, "react": [*parts["react"], NO_SKILL]}


class Curve(NamedTuple):
    """Areas under the ROC curve, and how often another model took the lead."""

    after: float
    end: float
    leads: int


def curve(run: Run, policy: str) -> Curve:
    """What a policy makes of a stream."""
    log, truth = made(run)
    after, end, leads = metrics.ROCAUC(n_thresholds=50), metrics.ROCAUC(n_thresholds=50), 0
    for _, step in replay_events(pipeline(run, **POLICIES[policy]()), log):
        leads += sum(isinstance(fact, LeadChanged) for fact in step.facts)
        for each in step.predicted:
            number = int(each.id)
            if number >= run.events // 2:
                after.update(truth[number], each.probability or 0.0)
            if number >= run.events * 3 // 4:
                end.update(truth[number], each.probability or 0.0)
    return Curve(float(after.get()), float(end.get()), leads)


def runs(options: argparse.Namespace, kinds: Sequence[str], late: bool) -> Iterator[Run]:
    for kind in kinds:
        for positives in options.positives:
            for model in MODELS:
                for seed in range(options.seeds):
                    yield Run(kind, positives, model, late, seed, options.events)


def table_of_alarms(options: argparse.Namespace) -> Iterator[str]:
    yield row("labels", "signal", "detected swap / gradual / flip", "delay of swap (positives)", "false: nothing changes", "more positives")
    yield row("---", "---", "---:", "---:", "---:", "---:")
    for late in (False, True):
        found = [(run, alarms(run)) for run in runs(options, KINDS, late)]
        for signal in ("error", "rank"):
            seen = [(run, [alarm for alarm in told if alarm.signal == signal]) for run, told in found]
            yield row(COME[late], signal, detected(seen), delay(seen), false(seen, "none"), false(seen, "prevalence"))


Seen = Sequence[tuple[Run, list[Alarm]]]


def first_after(run: Run, told: list[Alarm]) -> Alarm | None:
    """The first alarm that can be for the change: of a gradual one from its beginning."""
    begins = run.events // 2 - (run.events // 10 if run.kind == "gradual" else 0)
    return next((alarm for alarm in told if alarm.question >= begins), None)


def detected(seen: Seen) -> str:
    def share(kind: str) -> float:
        hits = [first_after(run, told) is not None for run, told in seen if run.kind == kind]
        return 100 * sum(hits) / len(hits)

    return " / ".join(f"{share(kind):.0f}" for kind in CHANGES)


def delay(seen: Seen) -> str:
    firsts = [(run, first) for run, told in seen if run.kind == "swap" and (first := first_after(run, told))]
    if not firsts:
        return "-"
    events = statistics.median(first.question - run.events // 2 for run, first in firsts)
    positives = statistics.median((first.question - run.events // 2) * run.positives for run, first in firsts)
    return f"{events:,.0f} ({positives:.0f})"


def false(seen: Seen, kind: str) -> str:
    """In 100,000 events; beside a change of prevalence only what comes after it."""
    told = [
        (run, [alarm for alarm in alarms_ if kind == "none" or alarm.question >= run.events // 2])
        for run, alarms_ in seen
        if run.kind == kind
    ]
    events = sum(run.events if kind == "none" else run.events - run.events // 2 for run, _ in told)
    return f"{100_000 * sum(len(each) for _, each in told) / events:.2f}"


def table_of_curves(options: argparse.Namespace) -> Iterator[str]:
    yield row("labels", "positives", "model", "policy", "after", "end", "replaced")
    yield row("---", "---:", "---", "---", "---:", "---:", "---:")
    for late in (False, True):
        for positives in options.positives:
            for model in MODELS:
                for policy in POLICIES:
                    found = [curve(Run("swap", positives, model, late, seed, options.events), policy) for seed in range(options.seeds)]
                    after, end = (statistics.fmean(values) for values in zip(*[each[:2] for each in found], strict=True))
                    replaced = statistics.fmean(each.leads for each in found)
                    yield row(COME[late], f"{positives:.0%}", model, policy, f"{after:.3f}", f"{end:.3f}", f"{replaced:.1f}")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables that were asked for; both unless told."""
    parser = argparse.ArgumentParser(description="Rare classes and late labels: alarms and reactions.")
    parser.add_argument("--alarms", action="store_true", help="the table of alarms only")
    parser.add_argument("--curves", action="store_true", help="the table of curves only")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="streams of each kind")
    parser.add_argument("--events", type=int, default=20_000, metavar="N", help="events of a stream")
    parser.add_argument("--positives", type=float, nargs="+", default=[0.01, 0.05], metavar="SHARE", help="shares of the positive class")
    options = parser.parse_args(arguments)
    tables = [table for table, asked in ((table_of_alarms, options.alarms), (table_of_curves, options.curves)) if asked]
    for table in tables or [table_of_alarms, table_of_curves]:
        for line in table(options):
            print(line, flush=True)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
