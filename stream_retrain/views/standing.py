"""The gauges that one observation of a shard sets: all of them, each time, so that what an observation does not say is absent."""

from __future__ import annotations

from typing import Final, TypeAlias

from stream_retrain.facts.observation import DuelStanding, KeysHeld, MemorySeen, Observation, Standing
from stream_retrain.facts.worker import Observed, WindowSeen

__all__ = ["NAMES_MAX", "Gauges", "standing_of"]

NAMES_MAX: Final = 20
"""Members of a model, and contestants of a duel, that have gauges of their own."""
Gauges: TypeAlias = dict[tuple[str, tuple[str, ...]], float]
"""By family and labels, without the pipeline's."""


def standing_of(fact: Observed) -> Gauges:
    """What a shard's gauges are, as it stands now."""
    seen, partition = fact.observation, str(fact.shard.partition)
    return {
        ("consumer_offset", (fact.shard.topic, partition)): fact.offset,
        ("replay_debt_records", (partition,)): fact.replay_debt,
        ("intake_paused", (partition,)): float(fact.paused and fact.held is None),
        ("paused", (partition,)): float(fact.held is not None),
        ("model_generation", (partition,)): seen.generation,
        ("pending_labels", (partition,)): seen.pending,
        ("early_labels", (partition,)): seen.labels.early,
        **({} if seen.labels.join_rate is None else {("label_join_ratio", (partition,)): seen.labels.join_rate}),
        ("training_active", (partition,)): float(seen.training is not None),
        ("duel_active", (partition,)): float(seen.duel is not None),
        **_quality(partition, seen),
        **_readings(partition, seen),
        **_members(partition, seen.members),
        **_memory(partition, seen.memory),
        **_keys(partition, seen.keys),
        **_duel(partition, seen.duel),
        **_window(partition, fact.window),
    }


def _quality(partition: str, seen: Observation) -> Gauges:
    """Before the first label every metric says 0, which would be an alarm about nothing."""
    if not seen.events_seen:
        return {}
    scores = {"cumulative": seen.running, "rolling": seen.rolling}
    return {("quality", (partition, metric, window)): value for window, each in scores.items() for metric, value in each.items()}


def _readings(partition: str, seen: Observation) -> Gauges:
    gauges: Gauges = {}
    for (signal, detector), reading in seen.readings.items():
        labels = (partition, detector, signal)
        gauges["drift_state", labels] = float(reading.warning)
        shown = {
            "drift_statistic": reading.statistic,
            "drift_threshold": reading.threshold,
            "drift_estimate": reading.estimate,
            "drift_window_events": reading.width,
        }
        gauges |= {(name, labels): value for name, value in shown.items() if value is not None}
    return gauges


def _members(partition: str, standing: Standing | None) -> Gauges:
    if standing is None:
        return {}
    pairs = list(zip(standing.members, standing.weights, strict=True))[:NAMES_MAX]
    return {("member_weight", (partition, member)): weight for member, weight in pairs}


def _memory(partition: str, memory: MemorySeen | None) -> Gauges:
    if memory is None:
        return {}
    limits = {"model_memory_max_bytes": memory.model_bytes_max, "shard_memory_max_bytes": memory.shard_bytes_max}
    return {
        ("model_memory_bytes", (partition,)): memory.model_bytes,
        ("shard_memory_bytes", (partition,)): memory.shard_bytes,
        **{(name, (partition,)): limit for name, limit in limits.items() if limit is not None},
    }


def _keys(partition: str, keys: KeysHeld | None) -> Gauges:
    """A model counts since it began, so what it counts is no counter of the worker."""
    if keys is None:
        return {}
    gauges: Gauges = {}
    for tier, number, size in (("hot", keys.hot, keys.hot_bytes), ("cold", keys.cold, keys.cold_bytes)):
        gauges["model_keys", (partition, tier)], gauges["model_keys_bytes", (partition, tier)] = number, size
    counted = ("put_away", "taken_back", "dropped", "shared_answers")
    return gauges | {(f"model_keys_{name}", (partition,)): getattr(keys, name) for name in counted}


def _duel(partition: str, duel: DuelStanding | None) -> Gauges:
    if duel is None:
        return {}
    gauges: Gauges = {("duel_events", (partition,)): duel.events}
    for each in duel.contestants[:NAMES_MAX]:
        labels = (partition, each.name)
        gauges["contestant_serves", labels] = float(each.name == duel.leader)
        gauges["contestant_loss", labels] = each.loss_mean
        gauges["contestant_e_value", labels] = each.e_value
        gauges["contestant_e_value_against", labels] = each.e_value_against
    return gauges


def _window(partition: str, window: WindowSeen | None) -> Gauges:
    if window is None:
        return {}
    gauges: Gauges = {("window_rows", (partition,)): window.rows, ("window_waiting_rows", (partition,)): window.waiting_rows}
    if window.oldest_time_s is not None:
        gauges["window_oldest_timestamp_seconds", (partition,)] = window.oldest_time_s
    return gauges
