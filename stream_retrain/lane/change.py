"""What a changed pipeline keeps of a saved state.

Metrics, watches and rules are not the model: where task, schema and model are the same, a state goes on with its champion and its
waiting questions, and what did not change is kept. A new part begins afresh; a part that is gone takes with it what it had begun. A
challenger that waited for the end of a duel that is gone enters with the next event.

A state carries the digests of what it depends on (`Pipeline.parts`), in the order in which its lists are. So parts are matched by name
and digest: a metric by its class, a watch by signal and detector, a rule by itself, wherever it now stands.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final

from stream_retrain.core.contest.inputs import Input
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.state import Saved
from stream_retrain.errors import StateError
from stream_retrain.lane.scheduled import moved_inputs, moved_tokens
from stream_retrain.models import adaptive_classifier, adaptive_regressor

__all__ = ["Change", "adapted", "unfit_parts"]

OF_THE_MODEL: Final = ("task", "schema", "model")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What differs between the pipeline of a state and the one it goes on with, and what became of it."""

    differs: tuple[str, ...]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    """What was under way and has no rule any more: a duel, a training."""
    questions_kept: int
    questions_dropped: int
    """Waiting questions beyond a smaller `pending_rows_max`."""


def unfit_parts(parts: Mapping[str, str], pipeline: Pipeline) -> list[str]:
    """Which of task, schema and model differ: with any of them the state cannot be kept.

    A model that was the recommended one of an earlier release goes on serving where the recommended one is declared, by itself and not
    inside another model. What is begun afresh is the model of now: after a reset, as a challenger, by a training. A copy of the champion
    (`FineTune`) stays what that was.
    """
    ours = pipeline.parts()
    differ = [name for name in OF_THE_MODEL if parts.get(name) != ours[name]]
    return [name for name in differ if name != "model" or _recommended_now().get(parts.get(name, "")) != ours[name]]


@functools.cache
def _recommended_now() -> dict[str, str]:
    """By the digest of a model that an earlier release recommended, that of the one that is recommended now."""
    return {digest(make("first")): digest(make()) for make in (adaptive_classifier, adaptive_regressor)}


def adapted(saved: Saved, parts: Mapping[str, str], pipeline: Pipeline) -> tuple[Saved, Change]:
    """The state for `pipeline`, of one that was saved with `parts`; and what changed. Raises `StateError` where it is no such state."""
    try:
        return _adapted(saved, parts, pipeline)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise StateError(f"the saved state does not fit the parts its header names ({error!r}): start with --rebuild") from None


def _adapted(saved: Saved, parts: Mapping[str, str], pipeline: Pipeline) -> tuple[Saved, Change]:
    ours = pipeline.parts()
    reactions = saved["reactions"]
    metrics = _by_name("metric ", parts, ours, saved["scores"]["metrics"])
    watches = _by_name("watch ", parts, ours, reactions["watches"]["watches"])
    moved = _moved_rules(parts, ours)
    rules = [None] * sum(name.startswith("rule ") for name in ours)
    theirs = [name for name in parts if name.startswith("rule ")]
    for before, (_, rule) in enumerate(zip(theirs, reactions["policy"]["rules"], strict=True)):
        if before in moved:
            rules[moved[before]] = rule
    succession, dropped, entering = _succession(reactions["succession"], moved)
    state = {
        **saved,
        "intake": saved.get("intake") if parts == ours else None,  # a changed pipeline may refuse others: it counts anew, and goes on
        "inputs": (*moved_inputs(saved["inputs"], moved), *entering),
        "requests_taken": moved_tokens(saved.get("requests_taken", ()), moved),
        "scores": {**saved["scores"], "metrics": metrics},
        "reactions": {
            **reactions,
            "watches": {**reactions["watches"], "watches": watches},
            "policy": {**reactions["policy"], "rules": rules},
            **_scheduled(reactions, moved),
            "succession": succession,
        },
    }
    waiting = len(saved["questions"]["waiting"])
    kept = min(waiting, pipeline.pending_rows_max)
    differs, going_on = _told(parts, ours, moved)
    change = Change(
        differs=differs,
        kept=going_on,
        dropped=dropped,
        questions_kept=kept,
        questions_dropped=waiting - kept,
    )
    return state, change


def _scheduled(reactions: Saved, moved: Mapping[int, int]) -> Saved:
    """The rules that their schedules have asked, where they stand now; nothing in a state of before there were any."""
    return {"scheduled": tuple(moved[rule] for rule in reactions["scheduled"] if rule in moved)} if "scheduled" in reactions else {}


def _by_name(kind: str, parts: Mapping[str, str], ours: Mapping[str, str], saved: list[Any]) -> list[Any]:
    """What is saved of each of our parts of a kind; None for one that is new or has changed."""
    theirs = dict(zip([name for name in parts if name.startswith(kind)], saved, strict=True))
    return [theirs[name] if parts.get(name) == own else None for name, own in ours.items() if name.startswith(kind)]


def _moved_rules(parts: Mapping[str, str], ours: Mapping[str, str]) -> dict[int, int]:
    """Where each saved rule stands now, of those that are still there."""
    digests = [own for name, own in ours.items() if name.startswith("rule ")]
    moved: dict[int, int] = {}
    for before, theirs in enumerate(each for name, each in parts.items() if name.startswith("rule ")):
        now = next((index for index, own in enumerate(digests) if own == theirs and index not in moved.values()), None)
        if now is not None:
            moved[before] = now
    return moved


def _told(parts: Mapping[str, str], ours: Mapping[str, str], moved: Mapping[int, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the parts that differ, and of those that go on; a rule that has only moved goes on, under the place where it stands."""
    theirs, rules = ([name for name in names if name.startswith("rule ")] for names in (parts, ours))
    gone = {name for before, name in enumerate(theirs) if before not in moved}
    new = {name for now, name in enumerate(rules) if now not in moved.values()}
    others = {name for name in {**parts, **ours} if not name.startswith("rule ") and parts.get(name) != ours.get(name)}
    differs = tuple(name for name in {**parts, **ours} if name in gone | new | others)
    return differs, tuple(name for name in ours if name not in new | others)


def _succession(saved: Saved, moved: Mapping[int, int]) -> tuple[Saved, tuple[str, ...], tuple[Input, ...]]:
    """The succession under rules that have moved; a duel whose rule is gone ends with whoever leads it as the champion.

    Besides: what was dropped; and who waited for the end of such a duel, as an input, to enter with the next event. (No training is
    under way then: while a duel lasts nobody asks for one.)
    """
    state, dropped = dict(saved), []
    duel, training = saved["duel"], saved["training"]
    if duel is not None and duel["rule"] in moved:
        state["duel"] = {**duel, "rule": moved[duel["rule"]]}
    elif duel is not None:
        _, state["champion"], state["family"] = duel["contestants"][duel["test"]["served"]]
        state["duel"] = None
        dropped.append(f"duel {duel['number']}")
    if training is not None and training.rule in moved:
        state["training"] = dataclasses.replace(training, rule=moved[training.rule])
    elif training is not None:
        state["training"] = state["base"] = None
        dropped.append(f"training {training.number}")
    waiting = [(dataclasses.replace(each, rule=moved[each.rule]), trained) for each, trained in saved["waiting"] if each.rule in moved]
    dropped += [f"the challenger of training {each.number}" for each, _ in saved["waiting"] if each.rule not in moved]
    entering: tuple[Input, ...] = ()
    if state["duel"] is None and waiting:
        (state["training"], trained), *waiting = waiting
        entering = (trained,)
    state["waiting"] = tuple(waiting)
    return state, tuple(dropped), entering
