"""Faust as the engine: it is the member of the group and delivers the records; everything that follows is the worker's own code.

- `handover`: where Faust's event loop and the worker's thread meet;
- `consumer`: what the worker takes for its consumer;
- `attachment`: a pipeline inside a Faust app, the team's or one of our own (`app`);
- `records`: predictions, decisions and dead letters as Faust's typed records; `web`: the status among Faust's pages.

Faust commits nothing of a pipeline's source by itself, and none of its tables and none of its transactions are used: its
`exactly_once` sends a record and the offset it came from in two transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_retrain.engines.faust.records import DeadLetter, Decision, Prediction

if TYPE_CHECKING:
    from stream_retrain.attaching import Attached, attach

__all__ = ["Attached", "DeadLetter", "Decision", "Prediction", "attach"]


def __getattr__(name: str) -> Any:
    """`attach` is a composition root, as the command line is one, so it stands above this package; it is a library's entry all the same."""
    if name not in ("Attached", "attach"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stream_retrain import attaching

    return getattr(attaching, name)
