"""The two tiers of keyed models, beside plain lists that do the same."""

from __future__ import annotations

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain.core.digest import digest
from stream_retrain.models.keyed_models import Kept, KeyedModels, KeyLimits

LIMITS = KeyLimits(hot_keys_max=3, hot_bytes_max=10**9, keys_max=6, cold_bytes_max=10**9, idle_events_max=9)
steps = st.lists(st.tuples(st.sampled_from(["ask", "learn", "learn", "away", "save"]), st.integers(0, 9)), max_size=80)


class Counting:
    """A model that counts its lessons."""

    def __init__(self) -> None:
        self.lessons = 0


@given(steps)
@settings(max_examples=150, deadline=None)
def test_what_is_hot_cold_and_dropped_follows_the_order_of_use(steps: list[tuple[str, int]]) -> None:
    models = KeyedModels(LIMITS)
    order: list[int] = []  # the oldest first
    lessons, used, hot, clock = dict[int, int](), dict[int, int](), list[int](), 0
    for step, key in steps:
        match step:
            case "away":
                models.put_all_away()
                hot.clear()
                continue
            case "save":
                models = pickle.loads(pickle.dumps(models))
                continue
            case "ask" if key not in lessons:
                assert models.use(key) is None
                continue
        kept = models.use(key)
        if step == "learn":
            kept = kept or Kept(Counting(), 0, 0.5, models.clock)
            kept.model.lessons += 1
            models.keep(key, kept)
            lessons[key] = lessons.get(key, 0) + 1
        assert kept is not None
        assert kept.model.lessons == lessons[key]
        order = [each for each in order if each != key] + [key]
        hot = ([each for each in hot if each != key] + [key])[-LIMITS.hot_keys_max :]
        used[key] = clock
        if step == "learn":
            models.tick()
            clock += 1
        for each in [*order[: max(0, len(order) - LIMITS.keys_max)], *(each for each in order if used[each] < clock - 9)]:
            if each in order and step == "learn":
                order.remove(each)
                del lessons[each]
                hot = [other for other in hot if other != each]
        held = models.held(0)
        assert (held.hot, held.cold) == (len(hot), len(order) - len(hot))
        assert list(models._hot) == hot
    assert digest(pickle.loads(pickle.dumps(models))) == digest(models)
    for key, count in lessons.items():
        kept = models.use(key)
        assert kept is not None
        assert kept.model.lessons == count
