"""A pipeline's versions, brought into MLflow: what the registry knows of a shard is written there, as far as it is not there already.

A decision only says that there is something to bring. What is brought is the whole of what the registry knows of the decision's shard:

1. Wait until the registry has what the decision brought.
2. A run for each version: made with its key in its tags, then filled. A run whose tags say that it has all this is left alone.
3. The model and its card as artifacts of the run, verified before they are sent.
4. A registered version for each generation, and for the challenger that races.
5. The aliases.

So a decision that comes twice changes nothing, one that was missed is made up for by the next of its shard, and a process that is killed
between two steps goes on from there. Two processes that bring the same shard at once may both make a run: the next call deletes one.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stream_retrain.core.callbacks import VersionsTold
from stream_retrain.errors import CallbackError, StateError
from stream_retrain.facts.decision import Decision
from stream_retrain.facts.version import ALIASES, Version, aliases_of
from stream_retrain.integrations.mlflow_values import (
    KEY,
    MODEL,
    PARTITION,
    PIPELINE,
    STATE,
    TEXT_CHARS_MAX,
    RunValues,
    is_written,
    key_of,
    model_text,
    run_values,
    version_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Mirror"]

LOG: Final = logging.getLogger("stream_retrain.callbacks")
WRITTEN_WITHIN_S: Final = 10.0
LOOK_EVERY_S: Final = 0.2
PAGE: Final = 1_000
FOLDER: Final = "model"
ARTIFACT_ERROR: Final = "sr_artifact_error"
"""Why the newest copy of a model was not sent."""
TRAINS: Final = "custom_model_development"
"""MLflow's pages then show what is of models, and not what is of prompts and traces."""
EXISTS: Final = "RESOURCE_ALREADY_EXISTS"


class Mirror:
    """The versions of one pipeline in one MLflow."""

    def __init__(self, client: MlflowClient, versions: VersionsTold, experiment: str, model_name: str, *, artifacts: bool) -> None:
        self._client = client
        self._versions = versions
        self._experiment_name = experiment
        self._model_name = model_name
        self._artifacts = artifacts
        self._experiment = ""

    def __call__(self, decision: Decision) -> None:
        """Bring what is known of the decision's shard. Raises `CallbackError`, `StoreError`, and what MLflow raises."""
        versions = self._written(decision)
        partition = decision.partition
        runs = self._runs(partition)
        for version in versions:
            runs[key_of(version)] = self._bring(version, runs.get(key_of(version)))
        self._register(partition, versions, runs)

    def _written(self, decision: Decision) -> list[Version]:
        until_s = time.monotonic() + WRITTEN_WITHIN_S
        while not is_written(decision, versions := self._versions.of(decision.partition)):
            if time.monotonic() > until_s:
                raise CallbackError(
                    f"the registry does not know yet what {decision.id} brought: see that the worker runs and keeps versions"
                    " (versions_models_max), in the Redis of this process"
                )
            time.sleep(LOOK_EVERY_S)
        return versions

    def _runs(self, partition: int) -> dict[str, Any]:
        """The runs of a shard by key; where there are two of a key, one is deleted."""
        if not self._experiment:
            self._experiment = self._experiment_id()
        wanted = f"tags.{PIPELINE} = '{self._versions.pipeline}' and tags.{PARTITION} = '{partition}'"
        found: dict[str, Any] = {}
        for run in _all_of(lambda token: self._client.search_runs([self._experiment], wanted, max_results=PAGE, page_token=token)):
            former = found.setdefault(run.data.tags.get(KEY, run.info.run_id), run)
            if former is not run:
                more, less = (former, run) if STATE in former.data.tags else (run, former)
                self._client.delete_run(less.info.run_id)
                found[run.data.tags[KEY]] = more
        return found

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None:
            note = f"Trainings and generations of the models of the pipeline `{self._versions.pipeline}`, as stream_retrain decided them."
            try:
                return str(
                    self._client.create_experiment(
                        self._experiment_name, tags={"mlflow.note.content": note, "mlflow.experimentKind": TRAINS}
                    )
                )
            except Exception as error:
                if not _is_there(error) or (found := self._client.get_experiment_by_name(self._experiment_name)) is None:
                    raise
        if found.lifecycle_stage != "active":
            raise CallbackError(f"the experiment {self._experiment_name!r} is deleted in MLflow: restore it, or give experiment=")
        return str(found.experiment_id)

    def _bring(self, version: Version, run: Any) -> Any:
        """Make a run what it is to be; the run."""
        values = run_values(version, self._versions.model_words(version.family))
        if run is None:
            tags = {key: values.tags[key] for key in (KEY, PIPELINE, PARTITION)}
            run = self._client.create_run(self._experiment, start_time=values.start_ms, run_name=values.name, tags=tags)
        copy = _copy_of(version) if self._artifacts else ""
        if copy and run.data.tags.get(MODEL) != copy:  # one that the registry has dropped since stays where it is
            self._send(version, run)
            self._client.set_tag(run.info.run_id, MODEL, copy)
        if run.data.tags.get(STATE) != values.state:
            self._fill(values, run)
        return run

    def _fill(self, values: RunValues, run: Any) -> None:
        from mlflow.entities import Metric, Param, RunTag

        id_, now_ms = run.info.run_id, int(time.time() * 1_000)
        metrics = [Metric(name, value, now_ms, _step(name, values)) for name, value in values.metrics.items()]
        params = [Param(name, value) for name, value in values.params.items() if name not in run.data.params]
        for name in run.data.tags:
            if name.startswith("sr_") and name not in (*values.tags, STATE, MODEL, ARTIFACT_ERROR):
                self._client.delete_tag(id_, name)
        if run.info.run_name != values.name or (run.info.status != "RUNNING" and values.status == "RUNNING"):
            self._client.update_run(id_, status="RUNNING", name=values.name)
        if values.status != "RUNNING":
            self._client.set_terminated(id_, values.status, values.end_ms)
        tags = [RunTag(name, value) for name, value in (*values.tags.items(), (STATE, values.state))]
        self._client.log_batch(id_, metrics, params, tags)

    def _send(self, version: Version, run: Any) -> None:
        """The model and its card; one that does not verify is not sent, and the run says why."""
        assert version.partition is not None, "it is of a shard"
        try:
            file = self._versions.file(version.partition, version.id)
        except StateError as error:
            LOG.warning("the model of version %s of %s is not sent to MLflow: %s", version.id, version.pipeline, error)
            self._client.set_tag(run.info.run_id, ARTIFACT_ERROR, str(error)[:TEXT_CHARS_MAX])
            return
        with tempfile.TemporaryDirectory(prefix="stream_retrain-") as folder:
            (Path(folder) / f"{version.id}.model").write_bytes(file.sealed)
            (Path(folder) / "card.md").write_text(file.card)
            self._client.log_artifacts(run.info.run_id, folder, FOLDER)
        if ARTIFACT_ERROR in run.data.tags:
            self._client.delete_tag(run.info.run_id, ARTIFACT_ERROR)

    def _register(self, partition: int, versions: Sequence[Version], runs: dict[str, Any]) -> None:
        aliases = aliases_of(versions)
        there = self._registered(partition)
        for version in versions:
            if version.generation is None and version.id != aliases.get("challenger") and key_of(version) not in there:
                continue
            there[key_of(version)] = self._as_registered(version, runs[key_of(version)], there.get(key_of(version)))
        keys = {version.id: key_of(version) for version in versions}
        self._point(partition, {alias: there[keys[id_]].version for alias, id_ in aliases.items()})

    def _registered(self, partition: int) -> dict[str, Any]:
        """The registered versions of a shard by key; the model is made where it is not there."""
        wanted = f"name = '{self._model_name}' and tags.{PARTITION} = '{partition}'"
        found: dict[str, Any] = {}
        try:
            self._client.create_registered_model(self._model_name, tags={PIPELINE: self._versions.pipeline}, description=self._words())
        except Exception as error:
            if not _is_there(error):
                raise
        pages = _all_of(lambda token: self._client.search_model_versions(wanted, max_results=PAGE, page_token=token))
        for version in sorted(pages, key=lambda each: int(each.version)):
            if found.setdefault(version.tags.get(KEY, version.version), version) is not version:
                self._client.delete_model_version(self._model_name, version.version)
        return found

    def _as_registered(self, version: Version, run: Any, registered: Any) -> Any:
        tags, text = version_tags(version), model_text(version, self._versions.model_words(version.family))
        if registered is None:
            source = f"{run.info.artifact_uri}/{FOLDER}"
            return self._client.create_model_version(
                self._model_name, source, run.info.run_id, tags=tags, description=text, await_creation_for=0
            )
        if registered.description != text:
            self._client.update_model_version(self._model_name, registered.version, text)
        for name, value in tags.items():
            if registered.tags.get(name) != value:
                self._client.set_model_version_tag(self._model_name, registered.version, name, value)
        return registered

    def _point(self, partition: int, wanted: dict[Any, str]) -> None:
        """Set the aliases of a shard; those without a number too, as long as there is no other shard."""
        now: dict[str, str] = dict(self._client.get_registered_model(self._model_name).aliases)
        numbers = [name.rpartition("-")[2] for name in now if "-" in name and name.rpartition("-")[0] in ALIASES]
        alone = all(number == str(partition) for number in numbers)
        for alias in ALIASES:
            for name, is_wanted in ((f"{alias}-{partition}", True), (str(alias), alone)):
                target = wanted.get(alias) if is_wanted else None
                if target is None and name in now:
                    self._client.delete_registered_model_alias(self._model_name, name)
                elif target is not None and str(now.get(name)) != str(target):
                    self._client.set_registered_model_alias(self._model_name, name, str(target))

    def _words(self) -> str:
        return (
            f"Models of the pipeline `{self._versions.pipeline}`, which reads `{self._versions.source}`, kept by stream_retrain: each that"
            " served, and each challenger that raced.\n\n`champion-0` serves partition 0, `previous-0` served it before, `challenger-0`"
            " races now.\n\nThe artifact is signed: `stream_retrain.load_model(path, key=...)` verifies it and opens it."
        )


def _is_there(error: Exception) -> bool:
    """Whether MLflow refused to make what is there already."""
    return getattr(error, "error_code", "") == EXISTS


def _all_of(page: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


def _copy_of(version: Version) -> str:
    """Which copy of its model is to be there, as text: another one, or the same with another card, has another."""
    artifact = version.artifact
    name = artifact.name if artifact.state in ("pending", "kept", "failed") else ""
    if not name and version.serves:
        name = "checkpoint"
    return f"{name}{' at its end' if name and version.ended is not None else ''}"


def _step(name: str, values: RunValues) -> int:
    return values.step if name.startswith("since/") else 0
