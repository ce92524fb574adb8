"""A pipeline whose promotions are posted to Slack, whose failures are mailed, and whose decisions go to a service of the team's.

stream-retrain callbacks examples/callbacks/told_shop.py --test      each is called with examples; no Kafka is needed
"""

from mail_message import send_mail
from river import drift, linear_model, preprocessing
from slack_message import post_to_slack

from stream_retrain import Callbacks, Challenge, On, Pipeline, Schema, Secret, Watch, Webhook

shop = Pipeline(
    name="told_shop",
    task="binary",
    source="shop.orders",
    schema=Schema(id="order", label="returned", features={"price": float, "items": float}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())],
    react=[On.drift("error", Challenge(), cooldown_events=500)],
    callbacks=Callbacks(on_promotion=post_to_slack, on_failure=send_mail, timeout_s=30, attempts_max=5),
    webhooks=[
        Webhook(
            url="https://ml.example.org/decisions",
            on=("drift", "challenge", "promotion", "rollback"),
            secret=Secret(env="ML_WEBHOOK_SECRET"),
            name="ml",
        )
    ],
)
