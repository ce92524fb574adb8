"""The pipeline of docker-compose.yml: late flights, one model for each airport, challengers when it errs more, and trainings in between."""

import dataclasses

from stream_retrain import Challenge, On, Retrain, Window
from stream_retrain.demo.pipeline import flights_pipeline

flights = dataclasses.replace(
    flights_pipeline("flights"),
    react=[
        On.drift("error", Challenge(), cooldown_events=500),
        On.every(events=2_000, do=Retrain(window=Window(rows=1_500))),
        On.request(Retrain(window=Window(rows=10_000))),
    ],
)
