"""How callbacks and webhooks stand: a fold over what their process tells."""

from __future__ import annotations

from typing import Any, assert_never

from stream_retrain.facts.callbacks import CallbackFact, CallbacksChanged, CallbacksTold

__all__ = ["CallbacksStanding"]


class CallbacksStanding:
    """Folds the facts of callbacks; `snapshot` is None until there was one."""

    def __init__(self) -> None:
        self._standing: dict[str, Any] | None = None

    def __call__(self, fact: CallbackFact) -> None:
        """Take one fact."""
        before = self._standing or {"state": "starting", "detail": "", "lag_records": None, "handlers": {}}
        match fact:
            case CallbacksChanged():
                self._standing = before | {"state": fact.state, "detail": fact.detail}
            case CallbacksTold():
                self._standing = before | {"lag_records": fact.lag_records, "handlers": _handlers(before["handlers"], fact)}
            case _:
                assert_never(fact)

    def snapshot(self) -> dict[str, Any] | None:
        """State, lag, and by name the counts since the start of who asks."""
        return None if self._standing is None else dict(self._standing)

    @property
    def words(self) -> str:
        """The same in a line."""
        if self._standing is None:
            return ""
        handlers = self._standing["handlers"]
        totals = {name: sum(each[name] for each in handlers.values()) for name in ("called", "failed", "dead", "waiting")}
        said = ", ".join(f"{count:,} {name}" for name, count in totals.items())
        failing = "; ".join(f"{name} fails: {each['error'][:100]}" for name, each in handlers.items() if each["error"])
        detail = f"; {self._standing['detail']}" if self._standing["detail"] else ""
        return f"{len(handlers)} handlers: {said}{detail}{f'; {failing}' if failing else ''}"


def _handlers(before: dict[str, Any], fact: CallbacksTold) -> dict[str, Any]:
    """The counts of each handler, with those of the fact added."""
    handlers = {}
    for told in fact.handlers:
        kept = before.get(told.name, {})
        counts = {name: kept.get(name, 0) + getattr(told, name) for name in ("called", "failed", "retried", "dead")}
        handlers[told.name] = {**counts, "waiting": told.waiting, "error": told.error}
    return handlers
