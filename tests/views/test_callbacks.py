"""How callbacks stand, as the status shows it and as their process tells it in a line."""

from __future__ import annotations

from stream_retrain.facts.callbacks import CallbacksChanged, CallbacksTold, HandlerTold
from stream_retrain.views.callbacks import CallbacksStanding
from stream_retrain.views.status import Status


def handler(name: str, error: str = "", **counts: int) -> HandlerTold:
    every = {"called": 0, "failed": 0, "retried": 0, "dead": 0, "waiting": 0} | counts
    return HandlerTold(name=name, seconds=(), error=error, **every)


def test_counts_are_added_and_what_is_now_is_replaced() -> None:
    standing = CallbacksStanding()
    assert (standing.snapshot(), standing.words) == (None, "")
    standing(CallbacksChanged(state="running", detail="group g"))
    standing(CallbacksTold(handlers=(handler("on_drift", called=3, waiting=2), handler("ops")), lag_records=2))
    standing(CallbacksTold(handlers=(handler("on_drift", called=1, failed=1, dead=1, error="no"), handler("ops")), lag_records=0))
    assert standing.snapshot() == {
        "state": "running",
        "detail": "group g",
        "lag_records": 0,
        "handlers": {
            "on_drift": {"called": 4, "failed": 1, "retried": 0, "dead": 1, "waiting": 0, "error": "no"},
            "ops": {"called": 0, "failed": 0, "retried": 0, "dead": 0, "waiting": 0, "error": ""},
        },
    }
    assert standing.words == "2 handlers: 4 called, 1 failed, 1 dead, 0 waiting; group g; on_drift fails: no"


def test_a_worker_shows_them_and_their_trouble_is_not_its_own() -> None:
    status = Status("shop", "shop-0")
    status(CallbacksTold(handlers=(handler("on_drift", called=3),), lag_records=None))
    status(CallbacksChanged(state="degraded", detail="its process ended"))
    shown = status.snapshot()
    assert (shown["callbacks"]["state"], shown["callbacks"]["handlers"]["on_drift"]["called"]) == ("degraded", 3)
    assert shown["state"] == "starting"
