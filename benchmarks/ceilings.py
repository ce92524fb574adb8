"""A forest without a bound, under each reaction to a ceiling of memory.

    python -m benchmarks.ceilings [--events 12000] [--limit-bytes 4000000] [--json FILE]

`ARFClassifier(5)` of River learns Agrawal, whose concept changes each quarter, through a shard: without a limit, and under `On.memory`
with each reaction. `challenge` lets a mixture of `stream_retrain.models` race it from half of the limit on, and resets at the limit. Of
each: accuracy; what the models of the shard took at most (measured every `EVERY` events by the same measure, beside the shard's own), and
at the end; how often the limit was passed, models were pruned, reset or replaced; CPU time an event, and what measuring took of it.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from river import forest
from river.datasets import synth

from stream_retrain import Challenge, Challenger, On, Pipeline, Schema, Shard
from stream_retrain.core.contest.ceiling import Ceiling
from stream_retrain.facts.values import Event
from stream_retrain.models import adaptive_classifier
from stream_retrain.models.packing import memory_bytes_of

__all__ = ["REACTIONS", "measured", "rules"]

EVERY: Final = 100
REACTIONS: Final = ("no limit", "ignore", "prune", "reset", "challenge", "stop")


def rules(reaction: str, limit_bytes: int) -> list[On]:
    """What is declared."""
    match reaction:
        case "no limit":
            return []
        case "challenge":
            small = Challenge(challengers=[Challenger(name="small", model=adaptive_classifier())], rematch=False)
            return [
                On.memory(model_bytes_max=limit_bytes // 2, do=small, cooldown_events=1_000_000),
                On.memory(model_bytes_max=limit_bytes, do="reset"),
            ]
        case _:
            return [On.memory(model_bytes_max=limit_bytes, do=reaction)]  # type: ignore[arg-type]


def events(count: int) -> list[Event]:
    """Agrawal in four concepts."""
    made = [
        pair for part in range(4) for pair in synth.Agrawal(classification_function=part, seed=part + 1, perturbation=0.05).take(count // 4)
    ]
    return [
        Event(offset, str(offset), float(offset), {name: float(v) for name, v in x.items()}, bool(y)) for offset, (x, y) in enumerate(made)
    ]


def measured(reaction: str, count: int, limit_bytes: int) -> dict[str, Any]:
    """The figures of one reaction; one that stops is told up to there."""
    coming = events(count)
    schema = Schema(id="id", label="y", features=dict.fromkeys(coming[0].x or {}, float))
    model = forest.ARFClassifier(n_models=5, seed=1)
    shard = Shard(Pipeline(name="ceiling", task="binary", source="events", schema=schema, model=model, react=rules(reaction, limit_bytes)))
    told: collections.Counter[str] = collections.Counter()
    peak, cpu_s, gauge_s, stopped_at = 0, 0.0, 0.0, None
    plain = Ceiling.measure

    def timed(self: Ceiling, *given: Any) -> bool:
        nonlocal gauge_s
        started_s = time.process_time()
        new = plain(self, *given)
        gauge_s += time.process_time() - started_s
        return new

    Ceiling.measure = timed  # type: ignore[method-assign]
    try:
        for first in range(0, count, EVERY):
            started_s = time.process_time()
            outcome = shard.process(coming[first : first + EVERY])
            cpu_s += time.process_time() - started_s
            told.update(type(fact).__name__ for fact in outcome.facts)
            now = sum(map(memory_bytes_of, shard._reactor.succession.models()))
            peak = max(peak, now)
            if outcome.commands:
                stopped_at = first + EVERY
                break
    finally:
        Ceiling.measure = plain  # type: ignore[method-assign]
    learned = stopped_at or count
    return {
        "reaction": reaction,
        "events": learned,
        "accuracy": round(shard.observe().running["Accuracy"], 4),
        "peak_bytes": peak,
        "end_bytes": now,
        "us_per_event": round(cpu_s / learned * 1e6, 1),
        "measuring_percent": round(100 * gauge_s / cpu_s, 2),
        **{name: told[name] for name in ("MemoryReached", "ModelPruned", "ModelReset", "LeadChanged")},
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=12_000)
    parser.add_argument("--limit-bytes", type=int, default=4_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    print("| reaction | events | accuracy | peak | at the end | passed | pruned | reset | lead changed | us an event | measuring |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for reaction in REACTIONS:
        each = measured(reaction, options.events, options.limit_bytes)
        found.append(each)
        happened = " | ".join(str(each[name]) for name in ("MemoryReached", "ModelPruned", "ModelReset", "LeadChanged"))
        print(
            f"| {reaction} | {each['events']:,} | {each['accuracy']:.3f} | {each['peak_bytes'] / 1e6:.1f} MB |"
            f" {each['end_bytes'] / 1e6:.1f} MB | {happened} | {each['us_per_event']:.0f} | {each['measuring_percent']:.1f} % |",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
