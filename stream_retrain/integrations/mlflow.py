"""What becomes of a pipeline's models, in MLflow: a run for each training and each generation, registered versions, aliases.

    pipeline = Pipeline(..., integrations=[MlflowTracking(tracking_uri="https://mlflow.example.org")])

It is called by the process of callbacks, like any other handler: outside the worker, with a time limit, tried again while MLflow is away.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from stream_retrain.core.callbacks import Callback, VersionsTold, limit_faults, url_faults
from stream_retrain.errors import SettingsError
from stream_retrain.facts.decision import Decision
from stream_retrain.integrations.mlflow_values import KINDS

__all__ = ["MlflowTracking"]

EXTRA: Final = "pip install 'stream_retrain[mlflow]'"
URI: Final = "MLFLOW_TRACKING_URI"
_NAME: Final = re.compile(r"[^/:'\"]{1,200}")
_CLIENT: Final = {
    # Another attempt is made by whoever calls, with a pause; inside a call it would use up the time limit.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""How MLflow's client behaves, unless the environment says otherwise."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MlflowTracking:
    """Takes trainings, generations and aliases to an MLflow server, of the extra `mlflow`.

    tracking_uri
        Where the server is; empty: the environment variable MLFLOW_TRACKING_URI says it. User, password or token are the environment's
        too (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN).
    experiment, model_name
        Names in MLflow; empty: the pipeline's. Where a server has the same pipeline twice, of a trial and of production, give each its own.
    artifacts
        Send models and their cards too.
    name
        What metrics, logs and dead letters call it.
    timeout_s, attempts_max, pause_s
        As for `Callbacks`. By default a decision is tried again for about six hours before it is a dead letter.
    """

    tracking_uri: str = ""
    experiment: str = ""
    model_name: str = ""
    artifacts: bool = True
    name: str = "mlflow"
    timeout_s: float = 120.0
    attempts_max: int = 100
    pause_s: float = 2.0

    @property
    def called(self) -> str:
        """Its name."""
        return self.name

    @property
    def on(self) -> Sequence[str]:
        """The kinds of decision after which something is to be brought."""
        return KINDS

    def faults(self) -> Iterator[str]:
        """What is wrong with the declaration."""
        if self.tracking_uri:
            yield from url_faults(self.tracking_uri, "tracking_uri", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
        for name in ("experiment", "model_name"):
            given: Any = getattr(self, name)
            if not isinstance(given, str) or (given and not _NAME.fullmatch(given)):
                yield f"{name} is {given!r}; use at most 200 characters, without / : and quotes"
        yield from limit_faults(self)

    def missing(self) -> str:
        """The command that installs its client, where that is not there."""
        return "" if importlib.util.find_spec("mlflow") is not None else EXTRA

    def build(self, versions: VersionsTold) -> Callback:
        """What brings a shard up to date after a decision. Raises `SettingsError`."""
        client = self._client()
        from stream_retrain.integrations.mlflow_mirror import Mirror

        experiment, model = self.experiment or versions.pipeline, self.model_name or versions.pipeline
        return Mirror(client, versions, experiment, model, artifacts=self.artifacts)

    def trial(self) -> Callback:
        """Asks whether the server answers, and lets this user read. Raises `SettingsError`."""
        client = self._client()

        def ask(_: Decision) -> None:
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)

        return ask

    def _client(self) -> Any:
        uri = self.tracking_uri or os.environ.get(URI, "")
        if not uri:
            raise SettingsError(f"{self.name} needs to know where MLflow is: MlflowTracking(tracking_uri=...), or {URI}")
        for name, value in _CLIENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri, registry_uri=uri)
