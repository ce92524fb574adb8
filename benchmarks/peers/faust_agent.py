"""faust-streaming: an agent that takes the stream's events one by one, and sends its answers to a topic."""

import faust
from river import metrics

from benchmarks.peers.common import Models, given, report

job = given()
models, accuracy = Models(job.model), metrics.Accuracy()

app = faust.App(
    job.group,
    broker=f"kafka://{job.bootstrap}",
    value_serializer="json",
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
)
events = app.topic(job.topic)
predictions = app.topic(job.output)
done = 0


@app.agent(events)
async def predict_then_learn(stream: faust.Stream) -> None:
    global done
    async for event in stream.events():
        x = event.value
        id_, y = x.pop("id"), x.pop("y")
        model = models[event.message.partition]
        predicted = model.predict_one(x)
        if predicted is not None:
            accuracy.update(y, predicted)
        model.learn_one(x, y)
        await predictions.send(key=event.key, value={"id": id_, "prediction": predicted})
        done += 1
        if done == job.events:
            await app.producer.flush()
            report()


app.finalize()
app.Worker(loglevel="error", quiet=True).execute_from_commandline()
