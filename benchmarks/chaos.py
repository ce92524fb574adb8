"""Exactly once under fire, and progress: real workers, Kafka and Valkey, and faults at seeded random until the time is over.

    python -m benchmarks.chaos [--seconds 300] [--seed 1] [--rate 400] [--brokers 3] [--engine faust] [--faults KIND,KIND] [--keep FOLDER]

Events are published all the while. Faults come every few seconds and overlap:

- workers: SIGKILL; SIGSTOP past the session timeout, then SIGCONT (a zombie); SIGTERM; one more joins, one leaves (two or three run);
- Valkey: suspended, killed and started again, emptied (FLUSHALL);
- brokers: one at a time is killed (SIGKILL) and started again; the one that leads the source, the group's offsets or the
  transactions as often as any. With `--brokers 1` it is the only one, so every kill comes in the middle of the workers' commits, and
  most faults are such kills, unless `--faults every` is given;
- topics: dead letters or decisions are deleted (and made anew by a worker), the source gets one more partition;
- offsets: Kafka forgets the group's; the workers have to refuse, and go on when they are told to rebuild.

Then everything is healed, the workers catch up and are stopped, and `engines.replay.verifier` judges every committed output and the
state of every shard against an uninterrupted run; checkpoints were watched meanwhile. Of a topic that was deleted, what came
after it is judged. Progress is judged too: every partition must move again within 30 s of the last fault, and whoever is told to
stop must be gone within `shutdown_timeout_s` and 2 s. The time in which all are stopped so that offsets expire is no standstill.
The last line of output is JSON with `seed`, `faults`, `events`, `lost`, `duplicated`, `different`, `state_equal`, `standstill_s`
(the longest of any partition, faults included), `moved_again_s` and `stop_s` (the longest); the exit code is 0 only if all is well.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.chaos_faults import EVERY_KIND, MOSTLY_BROKERS, WORKERS_MIN, Chaos, say
from benchmarks.chaos_fleet import STOP_LIMIT_S, Fleet
from benchmarks.chaos_judge import CheckpointSampler, ProgressSampler, judge, wait_until_committed
from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.replay.verifier import Verdict
from stream_retrain.errors import StreamRetrainError
from stream_retrain.loading import load_pipeline
from stream_retrain.local import LocalStack
from stream_retrain.settings import load_settings

PARTITIONS = 4
MOVE_LIMIT_S = 30.0
LAST_EVENTS = 400
HEAL_TIMEOUT_S = 150.0


@dataclasses.dataclass(frozen=True, slots=True)
class Came:
    """What a run came to."""

    verdict: Verdict
    faults: collections.Counter[str]
    wrong: list[str]
    """With checkpoints, with progress, with whoever was told to stop."""
    standstill_s: float
    moved_again_s: float
    stop_s: float


def storm(stack: LocalStack, seconds: float, seed: int, rate: float, faults: dict[str, int], engine: str = "kafka") -> Came:
    """One run on a stack of one broker or three."""
    name, replication = f"chaos-{seed}", min(3, len(stack.kafka.brokers))
    file = stack.directory / "chaos_pipeline.py"
    file.write_text(PIPELINE.format(name=name, source=f"{name}.events"))
    pipeline: Pipeline = load_pipeline(str(file))
    settings = load_settings(
        None, {}, {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url, "topic_replication": replication}
    )
    create_topic(settings, pipeline.source, PARTITIONS, {"retention.ms": "-1"})
    publisher = Publisher(settings, pipeline.source, PARTITIONS, seed, rate)
    fleet = Fleet(stack, file, replication, engine)
    progress = ProgressSampler(settings, pipeline, lambda: publisher.partitions)
    sampler = CheckpointSampler(settings, pipeline, lambda: publisher.partitions, lambda: chaos.flushes)

    @contextlib.contextmanager
    def pause() -> Iterator[None]:
        with progress.paused(), sampler.paused():
            yield

    chaos = Chaos(stack, fleet, settings, pipeline, publisher, seed, faults=faults, pause=pause)
    try:
        for _ in range(WORKERS_MIN):
            fleet.add()
        publisher.start()
        sampler.start()
        progress.start()
        chaos.run(seconds)
        fleet.resume_all()
        moved_s = moved_again(progress, publisher, fleet)
        publisher.stop()
        publisher.publish(LAST_EVENTS)
        wait_until_committed(settings, pipeline, publisher.partitions, fleet.look_after, HEAL_TIMEOUT_S)
        sampler.stop()
        progress.stop()
        fleet.stop()
        say(f"workers: {fleet.summary()}")
        longest = {number: round(took_s, 1) for number, took_s in sorted(progress.longest_s.items())}
        say(f"longest standstill by partition: {longest}; looks that failed: {dict(progress.failures)}")
        for partition, began_s, took_s in progress.long:
            say(f"partition {partition} stood still for {took_s:.1f} s from {began_s - chaos.started_s:.1f} s on")
        verdict = judge(settings, pipeline, publisher.published, frozenset(chaos.deleted))
        stop_s = max(fleet.obeyed_s, default=0.0)
        wrong = [*sampler.watch.faults, *chaos.wrong]
        wrong += [f"{moved_s:.0f} s after the last fault not every partition had moved"] if moved_s > MOVE_LIMIT_S else []
        wrong += [f"a worker was told to stop and took {stop_s:.1f} s"] if stop_s > STOP_LIMIT_S else []
        return Came(verdict, chaos.done, wrong, max(progress.longest_s.values(), default=0.0), moved_s, stop_s)
    except StreamRetrainError:
        say(fleet.tails())
        raise
    finally:
        publisher.stop()
        sampler.stop()
        progress.stop()
        fleet.end()


def moved_again(progress: ProgressSampler, publisher: Publisher, fleet: Fleet) -> float:
    """How long after the last fault was healed every partition had moved; more than the limit where one did not."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < MOVE_LIMIT_S + 1:
        fleet.look_after()
        moved = progress.moved_since(began_s)
        if len(moved) == publisher.partitions:
            return max(moved.values())
        time.sleep(0.1)
    return time.monotonic() - began_s


def chosen(kinds: str | None, brokers: int) -> dict[str, int]:
    """Kinds of faults, and how often each comes beside the others."""
    if kinds is None:
        return MOSTLY_BROKERS if brokers == 1 else EVERY_KIND
    return EVERY_KIND if kinds == "every" else {kind: EVERY_KIND[kind] for kind in kinds.split(",")}


def main() -> int:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description="Exactly once, with everything killed all the time.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults come (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="what the faults and events are made from (default 1)")
    parser.add_argument("--rate", type=float, default=400.0, help="events a second (default 400)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3, help="how many brokers there are (default 3)")
    parser.add_argument("--engine", choices=("kafka", "faust"), default="kafka", help="what the workers run with (default kafka)")
    parser.add_argument("--faults", metavar="KINDS", help=f"these only, or 'every' kind of {', '.join(EVERY_KIND)}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of workers and brokers there")
    arguments = parser.parse_args()
    with LocalStack.start(brokers=arguments.brokers, on_progress=say) as stack:
        try:
            faults = chosen(arguments.faults, arguments.brokers)
            came = storm(stack, arguments.seconds, arguments.seed, arguments.rate, faults, arguments.engine)
        finally:
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                for log in stack.directory.glob("**/log"):
                    shutil.copy(log, arguments.keep / f"{log.parent.name}.log")
    verdict = came.verdict
    for line in [*verdict.examples, *came.wrong]:
        say(line)
    say(f"faults: {dict(came.faults)}; checkpoints, progress and stops {'as they should be' if not came.wrong else 'WRONG'}")
    shown = {"seed": arguments.seed, "faults": came.faults.total(), "events": verdict.events}
    shown |= {"lost": verdict.lost, "duplicated": verdict.duplicated, "different": verdict.different, "state_equal": verdict.state_equal}
    times = {"standstill_s": came.standstill_s, "moved_again_s": came.moved_again_s, "stop_s": came.stop_s}
    print(json.dumps(shown | {name: round(took_s, 1) for name, took_s in times.items()}), flush=True)
    return 0 if verdict.holds and not came.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
