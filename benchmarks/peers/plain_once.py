"""A loop of confluent-kafka with transactions: predictions and offsets are committed together, once a batch, and orjson does JSON."""

import orjson
from confluent_kafka import Consumer, KafkaException, Producer
from river import metrics

from benchmarks.peers.common import Models, given, report

job = given()
if job.model == "samlb HoeffdingTree":
    from samlb.framework.base import HoeffdingTreeClassifier

    models = Models(HoeffdingTreeClassifier)
else:
    models = Models(job.model)
accuracy = metrics.Accuracy()

servers = {"bootstrap.servers": job.bootstrap}
consumer = Consumer({**servers, "group.id": job.group, "auto.offset.reset": "earliest", "enable.auto.commit": False})
producer = Producer({**servers, "transactional.id": job.group, "linger.ms": 5, "compression.type": "lz4"})
producer.init_transactions()
consumer.subscribe([job.topic])
done = 0
while done < job.events:
    messages = consumer.consume(5_000, 0.15)
    if not messages:
        continue
    producer.begin_transaction()
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        x = orjson.loads(message.value())
        id_, y = x.pop("id"), x.pop("y")
        model = models[message.partition()]
        predicted = model.predict_one(x)
        if predicted is not None:
            accuracy.update(y, predicted)
        model.learn_one(x, y)
        producer.produce(job.output, orjson.dumps({"id": id_, "prediction": predicted}), message.key())
    producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), consumer.consumer_group_metadata())
    producer.commit_transaction()
    done += len(messages)
report()
