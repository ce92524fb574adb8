"""CapyMOA's ensembles for `benchmarks.members`: categories are nominal attributes, a missing value is MOA's own (not a number)."""

import math

import numpy as np
from capymoa.classifier import AdaptiveRandomForestClassifier, LeveragingBagging
from capymoa.core import LabeledInstance, RegressionInstance
from capymoa.regressor import SOKNL, AdaptiveRandomForestRegressor
from capymoa.stream import Schema

from benchmarks.peers.members_loop import member_job, tell

MODELS = {
    "CapyMOA ARF30": lambda schema: AdaptiveRandomForestClassifier(schema, ensemble_size=30),
    "CapyMOA LeveragingBagging": lambda schema: LeveragingBagging(schema, ensemble_size=10),
    "CapyMOA SOKNL": lambda schema: SOKNL(schema),
    "CapyMOA ARF30 of numbers": lambda schema: AdaptiveRandomForestRegressor(schema, ensemble_size=30),
}

job = member_job()
values = {name: [str(place) for place in range(len(known))] for name, known in job.features if known is not None}
if job.labels is not None:
    values["target"] = [str(place) for place in range(len(job.labels))]
schema = Schema.from_custom(features=[*(name for name, _ in job.features), "target"], target="target", categories=values)
model = MODELS[job.model](schema)


def array(x):
    return np.array([math.nan if value is None else value for value in x], float)


def classified(instance):
    proba = model.predict_proba(instance)
    return (None, None) if proba is None else (int(proba.argmax()), proba.tolist())


if job.labels is not None:
    tell(job, lambda x, y: LabeledInstance.from_array(schema, array(x), y), classified, model.train)
else:
    tell(
        job, lambda x, y: RegressionInstance.from_array(schema, array(x), y), lambda event: (float(model.predict(event)), None), model.train
    )
