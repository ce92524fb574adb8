"""CapyMOA, which is MOA's Java from Python, in a loop over events in memory: no Kafka at all. An event has to become an array first."""

import numpy as np
from capymoa.classifier import HoeffdingTree
from capymoa.core import LabeledInstance
from capymoa.evaluation import ClassificationEvaluator
from capymoa.stream import Schema

from benchmarks.peers.common import Models, decoded, given, report

job = given()
names = [f"f{number}" for number in range(job.features)]
schema = Schema.from_custom(features=[*names, "y"], target="y", categories={"y": ["0", "1"]})
models = Models(lambda: HoeffdingTree(schema))
evaluator = ClassificationEvaluator(schema)
for partition, x, y in decoded(job):
    model = models[partition]
    instance = LabeledInstance.from_array(schema, np.fromiter(x.values(), float), int(y))
    evaluator.update(instance.y_index, model.predict(instance))
    model.train(instance)
report()
