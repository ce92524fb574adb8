"""An example: replace it by your own. A pipeline of several files belongs in an image of your own, built from this one's."""

from river import metrics

from stream_retrain import On, Pipeline, Retrain, Schema, Window
from stream_retrain.models import adaptive_classifier

orders = Pipeline(
    name="orders",
    task="binary",
    source="shop.orders",
    schema=Schema(id="order_id", time="placed_at", label="returned", features={"price": float, "items": int}),
    model=adaptive_classifier(),
    metrics=[metrics.Accuracy()],
    react=[On.request(Retrain(window=Window(rows=10_000)))],
)
