"""Histories by seed: hundreds of steps of a world, chosen at random, with a crash armed at one fail point after another.

python -m tests.exactly_once.histories [--seconds 60] [--seed 1] [--fences epoch]
"""

from __future__ import annotations

import argparse
import collections
import random
import time

from stream_retrain import Pipeline
from stream_retrain.engines.failpoints import FAIL_POINTS, FailPoint
from stream_retrain.engines.kafka.worker import Worker
from tests.exactly_once.model_broker import SESSION_TIMEOUT_S
from tests.exactly_once.model_clients import Fences
from tests.exactly_once.world import PARTITIONS, PAUSES, PIPELINE, TAKES_INPUTS, World

STEPS = 40
ODDS = {
    "turn": 60,
    "kill": 2,
    "arm": 5,
    "hang": 2,
    "stop": 2,
    "suspend": 2,
    "resume": 3,
    "start": 8,
    "wait": 3,
    "long_wait": 1.5,
    "publish": 8,
    "store_request": 4,
    "store_pause": 0.7,
    "store_go_on": 2,
    "store_down": 2,
    "store_answer_lost": 1,
    "store_up": 5,
    "store_empty": 0.6,
    "store_picture": 2,
    "store_back": 0.6,
    "commit_fails": 4,
}


LOSE_STATES = frozenset({"store_empty", "store_picture", "store_back"})


def pipeline_of(seed: int, point: FailPoint | None) -> Pipeline:
    """One that takes inputs for every third history, and where a worker is to die on its way to one; one that pauses for every fifth."""
    if seed % 3 == 0 or (point or "").startswith("input"):
        return TAKES_INPUTS
    return PAUSES if seed % 5 == 2 else PIPELINE


def history(
    seed: int, *, point: FailPoint | None = None, worker: type[Worker] = Worker, steps: int = STEPS, fences: Fences = "generation"
) -> World:
    """One history, settled; `point` is where the first crash is armed.

    A store that loses what it was given loses inputs, too, which no log gives back: so it keeps them where there are some.
    """
    rng = random.Random(seed)
    pipeline = pipeline_of(seed, point)
    world = World(seed, static=rng.random() < 0.5, worker=worker, pipeline=pipeline, fences=fences)
    for slot in world.slots[: rng.randint(1, len(world.slots))]:
        world.start(slot)
    if point is not None:
        world.arm(world.slots[0], point, rng.randint(1, 3))
    odds = {kind: odd for kind, odd in ODDS.items() if pipeline is not TAKES_INPUTS or kind not in LOSE_STATES}
    kinds = rng.choices(list(odds), list(odds.values()), k=steps)
    for kind in kinds:
        step(world, rng, kind)
    world.settle()
    return world


def step(world: World, rng: random.Random, kind: str) -> None:
    slot = rng.choice(world.slots)
    if kind.startswith("store"):
        _store_step(world, rng, kind)
        return
    match kind:
        case "turn":
            for each in world.slots:
                world.turn(each, rng.choice([0.0, 0.1, 0.3]))
        case "kill":
            world.kill(slot)
        case "arm":
            world.arm(slot, rng.choice(FAIL_POINTS), rng.choice([1, 1, 2, 4]))
        case "hang":
            slot.hangs = rng.choice(FAIL_POINTS)
        case "stop":
            world.stop(slot)
        case "suspend":
            world.suspend(slot)
        case "resume":
            world.resume(slot)
        case "start":
            world.start(slot)
        case "wait" | "long_wait":
            world.broker.advance(rng.uniform(0.5, 3.0) + (SESSION_TIMEOUT_S if kind == "long_wait" else 0.0))
        case "publish":
            world.publish(rng.randint(1, 8))
        case "commit_fails":
            slot.process.faults.append(rng.choice(["abort", "retry", "answer_lost"]))


def _store_step(world: World, rng: random.Random, kind: str) -> None:
    match kind:
        case "store_request":
            world.request(rng.randrange(PARTITIONS), rng.randrange(30))
        case "store_pause":
            world.pause(rng.randrange(PARTITIONS))
        case "store_go_on":
            world.go_on(rng.randrange(PARTITIONS))
        case "store_down":
            world.stores.state = "down"
        case "store_answer_lost":
            world.stores.state = "answer_lost"
        case "store_up":
            world.stores.state = "up"
        case "store_empty":
            world.empty_store()
        case "store_picture":
            world.stores.take_picture()
        case "store_back":
            world.rewind_store()


def main() -> None:
    """As many histories as fit into the time; ends at the first that is not exactly once, and names its seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fences", choices=("generation", "epoch"), default="generation")
    arguments = parser.parse_args()
    started_s, seed, totals = time.monotonic(), arguments.seed, collections.Counter[str]()
    reached: set[FailPoint] = set()
    while time.monotonic() - started_s < arguments.seconds:
        world = history(seed, point=FAIL_POINTS[seed % len(FAIL_POINTS)], fences=arguments.fences)
        verdict = world.judge()
        assert verdict.holds, (seed, verdict)
        totals.update(histories=1, crashes=world.crashes, replayed=world.replayed)
        reached |= world.reached
        seed += 1
    spent_s = time.monotonic() - started_s
    rate, cpu_s = totals["histories"] / spent_s * 60, time.process_time() / totals["histories"]
    text = f"{dict(totals)} in {spent_s:.0f} s, {rate:,.0f} a minute, {cpu_s * 1000:.0f} ms CPU each"
    print(f"{text}; not reached: {set(FAIL_POINTS) - reached}")  # noqa: T201


if __name__ == "__main__":
    main()
