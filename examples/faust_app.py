"""A team's Faust app with a pipeline in it: an agent of its own, the pipeline, and agents that act on what it says.

    python examples/faust_app.py worker -l warn

Orders come in on `shop.raw`. The app's own agent makes events of them, and the pipeline learns from those which orders come back. Two
agents subscribe to it: one stops orders that will very likely be returned, one tells what was decided about the model. The status is at
http://127.0.0.1:6066/stream_retrain/returns/.

The topics `shop.raw` and `shop.orders` must be there. Kafka, Redis and the signing key are taken from the environment:
STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS, STREAM_RETRAIN_REDIS_URL and STREAM_RETRAIN_SIGNING_KEY_FILE.
"""

import os

import faust
from river import drift, linear_model, preprocessing

from stream_retrain import Challenge, On, Pipeline, Schema, Watch
from stream_retrain.engines.faust import Decision, Prediction, attach

servers = os.environ.get("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
app = faust.App("shop", broker=[f"kafka://{each}" for each in servers.split(",")], store="memory://", topic_disable_leader=True)


class RawOrder(faust.Record):
    """An order as the shop's web site sends it."""

    id: str
    customer: str
    amount: float
    items: int
    returned: bool


class Order(faust.Record, include_metadata=False):
    """An event of the pipeline."""

    id: str
    amount: float
    per_item: float
    returned: bool


raw = app.topic("shop.raw", value_type=RawOrder)
orders = app.topic("shop.orders", value_type=Order)

returns = Pipeline(
    name="returns",
    task="binary",
    source="shop.orders",
    schema=Schema(id="id", label="returned", features={"amount": float, "per_item": float}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())],
    react=[On.drift("error", Challenge())],
)
attached = attach(app, returns)


@app.agent(raw)
async def enrich(stream: faust.StreamT[RawOrder]) -> None:
    """The team's own agent."""
    async for order in stream:
        await orders.send(key=order.customer, value=Order(order.id, order.amount, order.amount / order.items, order.returned))


@app.agent(attached.predictions)
async def stop_risky_orders(predictions: faust.StreamT[Prediction]) -> None:
    """What a prediction is for."""
    seen = stopped = 0
    async for prediction in predictions:
        seen += 1
        stopped += (prediction.probability or 0.0) > 0.9
        if seen % 1_000 == 0:
            print(f"{seen:,} orders predicted, {stopped:,} of them stopped; model {prediction.generation}", flush=True)


@app.agent(attached.decisions)
async def tell(decisions: faust.StreamT[Decision]) -> None:
    """What was decided about the model, and at which order."""
    async for decision in decisions:
        print(f"{decision.subject} offset {decision.data['offset']:,}: {decision.kind}", flush=True)


if __name__ == "__main__":
    app.main()
