"""Which times of schedules a shard has been asked about: by the tokens that it remembers, which a checkpoint holds.

Every worker gives what is due the same token (`facts.request.due_token`). So a schedule asks once, whoever owns the shard, and the newest
token of a rule says from when on something of it may have been missed. That one is never forgotten; of the older ones a few are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stream_retrain.core.contest.inputs import Input, Request
from stream_retrain.facts.request import due_in, due_token

__all__ = ["last_due", "moved_inputs", "moved_tokens", "remember"]

KEPT_OF_A_RULE: Final = 10


def last_due(taken: Iterable[str], rule: int) -> int | None:
    """The newest time at which the schedule of a rule was asked."""
    return max((due[1] for token in taken if (due := due_in(token)) is not None and due[0] == rule), default=None)


def remember(taken: dict[str, None], token: str, tokens_max: int) -> None:
    """Remember a token with those that were taken before, and forget what is too old."""
    taken[token] = None
    _forget_older(taken, token)
    if len(taken) > tokens_max:
        del taken[_oldest_of(taken)]


def _forget_older(taken: dict[str, None], token: str) -> None:
    """Where `token` is of a schedule: forget the oldest of its rule, so that those of others are remembered for as long as before."""
    if (due := due_in(token)) is None:
        return
    own = [each for each in taken if (other := due_in(each)) is not None and other[0] == due[0]]
    for each in own[:-KEPT_OF_A_RULE]:
        del taken[each]


def _oldest_of(taken: Iterable[str]) -> str:
    """The oldest token that may be forgotten."""
    tokens = list(taken)
    return next((token for token in tokens if due_in(token) is None), tokens[0])


def moved_tokens(taken: Iterable[str], moved: Mapping[int, int]) -> tuple[str, ...]:
    """The tokens of a pipeline whose rules stand elsewhere now; those of rules that are gone are forgotten."""
    found = ((token, due_in(token)) for token in taken)
    told = (token if due is None else due_token(moved[due[0]], due[1]) for token, due in found if due is None or due[0] in moved)
    return tuple(dict.fromkeys(told))


def moved_inputs(inputs: Iterable[Input], moved: Mapping[int, int]) -> tuple[Input, ...]:
    """The inputs that wait, as `moved_tokens`."""
    return tuple(_moved(each, moved) for each in inputs if not _is_gone(each, moved))


def _is_gone(given: Any, moved: Mapping[int, int]) -> bool:
    return isinstance(given, Request) and given.rule is not None and given.rule not in moved


def _moved(given: Input, moved: Mapping[int, int]) -> Input:
    if not isinstance(given, Request) or given.rule is None:
        return given
    due = due_in(given.token)
    token = given.token if due is None else due_token(moved[given.rule], due[1])
    return dataclasses.replace(given, rule=moved[given.rule], token=token)
