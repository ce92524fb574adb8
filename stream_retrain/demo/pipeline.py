"""The demo's pipeline: late arrivals, known at departure; one model for each airport, reset when its errors rise."""

from __future__ import annotations

from river import compose, drift, linear_model, metrics, optim, preprocessing

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Reset
from stream_retrain.core.react.rules import On
from stream_retrain.core.schema import Schema
from stream_retrain.core.watch.watch import Watch

__all__ = ["flights_pipeline"]


def flights_pipeline(name: str = "flights") -> Pipeline:
    """The pipeline under a name: it reads the topic `<name>.events`."""
    numbers = compose.Select("dep_delay", "distance", "hour") | preprocessing.StandardScaler()
    names = compose.Select("carrier") | preprocessing.OneHotEncoder()
    return Pipeline(
        name=name,
        task="binary",
        source=f"{name}.events",
        schema=Schema(
            id="flight_id",
            time="scheduled_departure",
            label="late",
            features={"dep_delay": float, "distance": float, "hour": float, "carrier": str},
        ),
        model=(numbers + names) | linear_model.LogisticRegression(optim.AdaGrad(0.1)),
        metrics=[metrics.Accuracy(), metrics.CohenKappa()],
        watch=[Watch("error", drift.PageHinkley(delta=0.25, threshold=30, alpha=1.0))],
        react=[On.drift("error", Reset())],
    )
