"""River's own answer to drift, `DriftRetrainingClassifier` with DDM, in a loop over events in memory: no Kafka at all."""

from river import drift, metrics, tree

from benchmarks.peers.common import Models, decoded, given, report

job = given()
models = Models(lambda: drift.DriftRetrainingClassifier(model=tree.HoeffdingTreeClassifier(), drift_detector=drift.binary.DDM()))
accuracy = metrics.Accuracy()
for partition, x, y in decoded(job):
    model = models[partition]
    predicted = model.predict_one(x)
    if predicted is not None:
        accuracy.update(y, predicted)
    model.learn_one(x, y)
report()
