"""How models give memory back without being replaced."""

from __future__ import annotations

from typing import Any

from river.tree.hoeffding_tree import HoeffdingTree

from stream_retrain.core.inside import inside

__all__ = ["prune"]


def prune(model: Any) -> bool:
    """Let everything in a model give back what it can; whether anything could.

    A Hoeffding tree deactivates half of the leaves that still grow, those that promise least, as River does at a tree's `max_size`. A part
    with a method `shrink` is asked, such as `PerKey`.
    """
    parts = [part for part, _ in inside(model)]
    shrunk = [bool(part.shrink()) for part in parts if not isinstance(part, type) and callable(getattr(type(part), "shrink", None))]
    return any([*shrunk, *(_deactivate(part) for part in parts if isinstance(part, HoeffdingTree))])


def _deactivate(tree: Any) -> bool:
    active = [leaf for leaf in tree._find_leaves() if leaf.is_active()]
    active.sort(key=lambda leaf: leaf.calculate_promise())
    for leaf in active[: (len(active) + 1) // 2]:
        leaf.deactivate()
        tree._n_active_leaves -= 1
        tree._n_inactive_leaves += 1
    return bool(active)
