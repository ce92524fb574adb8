"""A loop of confluent-kafka without transactions: offsets are committed once a batch, when its predictions have arrived."""

import json

from confluent_kafka import Consumer, KafkaException, Producer
from river import metrics

from benchmarks.peers.common import Models, given, report

job = given()
models, accuracy = Models(job.model), metrics.Accuracy()

servers = {"bootstrap.servers": job.bootstrap}
consumer = Consumer({**servers, "group.id": job.group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
producer = Producer({**servers, "linger.ms": 5, "compression.type": "lz4"})
consumer.subscribe([job.topic])
done = 0
while done < job.events:
    messages = consumer.consume(5_000, 0.15)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        x = json.loads(message.value())
        id_, y = x.pop("id"), x.pop("y")
        model = models[message.partition()]
        predicted = model.predict_one(x)
        if predicted is not None:
            accuracy.update(y, predicted)
        model.learn_one(x, y)
        producer.produce(job.output, json.dumps({"id": id_, "prediction": predicted}), message.key())
    if messages:
        producer.flush()
        consumer.commit(asynchronous=False)
        done += len(messages)
report()
