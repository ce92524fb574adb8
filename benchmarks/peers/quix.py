"""Quix Streams: a function applied to each event of a streaming dataframe, and its answers sent to a topic."""

from quixstreams import Application, message_context
from river import metrics

from benchmarks.peers.common import Models, given, report

job = given()
models, accuracy = Models(job.model), metrics.Accuracy()

app = Application(
    broker_address=job.bootstrap,
    consumer_group=job.group,
    auto_offset_reset="earliest",
    processing_guarantee=job.guarantee,
    loglevel="ERROR",
)
events = app.topic(job.topic, value_deserializer="json")
predictions = app.topic(job.output, value_serializer="json")


def predict_then_learn(event: dict) -> dict:
    id_, y = event.pop("id"), event.pop("y")
    model = models[message_context().partition]
    predicted = model.predict_one(event)
    if predicted is not None:
        accuracy.update(y, predicted)
    model.learn_one(event, y)
    return {"id": id_, "prediction": predicted}


app.dataframe(events).apply(predict_then_learn).to_topic(predictions)
app.run(count=job.events, collect=False)
report()
