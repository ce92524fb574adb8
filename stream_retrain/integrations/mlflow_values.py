"""What is written of a version in MLflow, as values: a run's parameters, metrics and tags; no MLflow is needed for it.

A run, or a registered version, is found again by its tag `sr_key`: source topic, partition, the offset at which the version began, and
its id. That is the event at which it was decided, so the same decision that comes twice finds the same run; and a shard that began anew,
whose generations count from 0 again, has other keys.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from stream_retrain.facts.decision import Decision
from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.version import Moment, Version

__all__ = [
    "KEY",
    "KINDS",
    "MODEL",
    "PARTITION",
    "PIPELINE",
    "STATE",
    "TEXT_CHARS_MAX",
    "RunValues",
    "is_written",
    "key_of",
    "model_text",
    "run_values",
    "version_tags",
]

KEY: Final = "sr_key"
STATE: Final = "sr_state"
"""A digest of what was written: where it is the same, there is nothing to do."""
MODEL: Final = "sr_artifact"
"""Of which copy of the model the artifact is."""
PARTITION: Final = "sr_partition"
PIPELINE: Final = "sr_pipeline"
KINDS: Final = (
    "training.requested",
    "training.joined",
    "training.waits",
    "training.failed",
    "duel.lead_changed",
    "duel.ended",
    "model.promoted",
    "model.reset",
    "shard.restored",
)
"""The decisions after which something is known of a version that was not known before."""
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
TEXT_CHARS_MAX: Final = 1_000
_NO_NAME: Final = re.compile(r"[^\w\-. ]")
_BROUGHT: Final = {
    "new": "begun untrained",
    "reset": "reset",
    "lead": "won a duel",
    "promoted": "promoted by hand",
    "rolled_back": "rolled back by hand",
    "warm": "warm start",
    "restored": "served before",
}
_OUTCOMES: Final = {
    "reset": "replaced by a fresh model",
    "lead": "replaced by the winner of a duel",
    "promoted": "replaced by hand",
    "rolled_back": "rolled back by hand",
    "begun_anew": "lost: the shard began anew",
}
"""Of a generation; those of a training are said as they are."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunValues:
    """A run, as it is to be."""

    key: str
    name: str
    status: Status
    start_ms: int | None
    end_ms: int | None
    params: Mapping[str, str]
    """What never changes again once it is known."""
    metrics: Mapping[str, float]
    step: int
    """Of the metrics `since/...`: the labelled events the version has served."""
    tags: Mapping[str, str]

    @property
    def state(self) -> str:
        """A digest of all of it."""
        text = json.dumps([self.name, self.status, self.end_ms, self.step, *(sorted(each.items()) for each in self._mappings)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def _mappings(self) -> tuple[Mapping[str, object], ...]:
        return self.params, self.metrics, self.tags


def key_of(version: Version) -> str:
    """What a version's run and its registered version are found by."""
    return f"{version.topic}/{version.partition}/{_began(version)}/{version.id}"


def run_values(version: Version, model: str) -> RunValues:
    """The run of a version; `model`: its model in words."""
    trained = version.generation is None
    how = version.challenger if trained else _BROUGHT.get(version.came, version.came)
    return RunValues(
        key=key_of(version),
        name=f"{version.id} {'challenger ' if trained else ''}{how}",
        status=_status(version),
        start_ms=_ms(version.began),
        end_ms=_ms(version.ended),
        params=_params(version, model),
        metrics=_metrics(version),
        step=version.quality.events,
        tags={
            **version_tags(version),
            PIPELINE: version.pipeline,
            "sr_kind": "training" if trained else "generation",
            "mlflow.source.name": "stream_retrain",
            "mlflow.source.type": "JOB",
            "mlflow.user": version.by or "stream_retrain",
            "mlflow.note.content": model_text(version, model),
        },
    )


def version_tags(version: Version) -> dict[str, str]:
    """The tags of a registered version, and, with others, of a run."""
    return _texts(
        {
            KEY: key_of(version),
            PARTITION: str(version.partition),
            "sr_version": version.id,
            "sr_outcome": _outcome(version),
            "sr_cause": version.cause,
            "sr_reason": version.reason,
            "sr_by": version.by,
            "sr_error": version.error,
        }
    )


def model_text(version: Version, model: str) -> str:
    """What a version is, in a few sentences of Markdown."""
    shard = f"`{version.pipeline}`, partition {version.partition}"
    if version.generation is None:
        first = f"Challenger `{version.challenger}` of {shard}, brought by training {version.training}: {_outcome(version)}."
    else:
        first = f"Generation {version.generation} of {shard}: {_BROUGHT.get(version.came, version.came)}; {_outcome(version)}."
    lines = [first, f"Model: `{' '.join(model.split()).replace('`', '')[:TEXT_CHARS_MAX]}`."]
    if version.cause:
        lines.append(
            f"Cause: {version.cause}{f' ({version.reason})' if version.reason else ''}{f', by {version.by}' if version.by else ''}."
        )
    if (parent := version.parent) or version.replaced:
        lines.append(
            " ".join(filter(None, (parent and f"It goes on from {parent}.", version.replaced and f"It replaced {version.replaced}.")))
        )
    if (own := _own_standing(version)) is not None:
        other = next((each for each in version.standings if each.name != own.name), None)
        beside = "" if other is None else f" against {other.loss_mean:.4f} of {other.name}"
        evidence = "" if (e_value := _evidence(version)) is None else f", e-value {e_value:.4g}"
        loss = f"mean {version.loss or 'duel'} loss {own.loss_mean:.4f}{beside}"
        lines.append(f"Duel {version.duel}: {loss}, over {version.duel_events:,} events{evidence}.")
    if version.error:
        lines.append(f"Error: {version.error[:TEXT_CHARS_MAX]}")
    return "\n\n".join(lines)


def is_written(decision: Decision, versions: Sequence[Version]) -> bool:
    """Whether the registry has what a decision brought: a worker writes it down just after the decision is published."""
    if any(moment.offset > decision.offset for each in versions for moment in (each.began, each.ended) if moment is not None):
        return True  # it has gone on: what is missing is forgotten, or was begun anew
    partition, data = decision.partition, decision.data
    known = {each.id: each for each in versions}
    training, serving = known.get(f"{partition}-t{data.get('training')}"), known.get(f"{partition}-g{data.get('generation')}")
    match decision.kind:
        case "training.requested":
            return training is not None and _began(training) == decision.offset
        case "training.joined" | "training.waits":
            told = None if training is None else training.trained_on
            return told is not None and told.learned_through is not None
        case "training.failed":
            return training is not None and training.ended is not None
        case "duel.ended":
            return not any(each.duel == data.get("duel") and each.generation is None and each.ended is None for each in versions)
        case "shard.restored":
            return serving is not None
        case _:
            return serving is not None and _began(serving) == decision.offset


def _began(version: Version) -> int:
    return -1 if version.began is None else version.began.offset


def _status(version: Version) -> Status:
    match version.ended_by:
        case None:
            return "RUNNING"
        case "failed":
            return "FAILED"
        case "begun_anew":
            return "KILLED"
        case _:
            return "FINISHED"


def _outcome(version: Version) -> str:
    if version.ended_by is not None:
        return version.ended_by if version.generation is None else _OUTCOMES.get(version.ended_by, version.ended_by)
    if version.generation is not None:
        return "serves"
    if version.duel is not None:
        return "races"
    return "waits for a race" if version.trained_on is not None and version.trained_on.learned_through is not None else "in training"


def _params(version: Version, model: str) -> dict[str, str]:
    software, found = version.software, {"model": model, "family": version.family or "the pipeline's own"}
    if version.came == "lead" or version.generation is None:
        found["challenger"] = version.challenger
    found |= {"came": version.came, "cause": version.cause, "parent": version.parent, "replaced": version.replaced}
    if version.began is not None:
        found["began_offset"] = str(version.began.offset)
        found["began_event_time"] = "" if version.began.time_s is None else _utc(version.began.time_s)
    if (trained := version.trained_on) is not None:
        known = {"window": trained.window or trained.source, "window_through_offset": trained.through_offset}
        if trained.learned_through is not None:
            known |= {"learned_through_offset": trained.learned_through, "rows_missing": trained.gap}
        found |= {name: str(value) for name, value in known.items() if value is not None}
    found |= {"pipeline_digest": version.pipeline_digest, "stream_retrain": software.stream_retrain, "river": software.river}
    return _texts(found | {"python": software.python, "numpy": software.numpy, "state_schema": str(software.state_schema)})


def _metrics(version: Version) -> dict[str, float]:
    found: dict[str, float | None] = {}
    if (trained := version.trained_on) is not None:
        found |= {"training/seconds": trained.seconds, "training/lessons": trained.lessons}
        found |= {"training/rows_caught_up": trained.caught_up if trained.learned_through is not None else None}
    found |= {f"before/{_name(name)}": value for name, value in version.quality.before.items()}
    found |= {f"since/{_name(name)}": value for name, value in version.quality.since.items()}
    if version.generation is not None:
        found["since/events"] = version.quality.events
    if version.standings:
        found["duel/events"] = version.duel_events
        found |= {f"duel/loss {_name(each.name)}": each.loss_mean for each in version.standings}
    if (e_value := _evidence(version)) is not None:
        found |= {"duel/e_value": e_value, "duel/p_value_at_most": min(1.0, 1.0 / e_value) if e_value > 0 else 1.0}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _evidence(version: Version) -> float | None:
    """The e-value that a version is better than who served: when it took the lead, or, where it did not, at the end of its duel."""
    own = _own_standing(version)
    if version.won_by is not None or version.generation is not None or own is None:
        return version.won_by
    return None if version.ended_by == "promoted" else own.e_value


def _own_standing(version: Version) -> ContestantStanding | None:
    """Of the contestant that a version was."""
    return next((each for each in version.standings if each.name == version.challenger), None)


def _name(text: str) -> str:
    """Text as MLflow takes it in names."""
    return _NO_NAME.sub("_", text)[:100]


def _texts(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:TEXT_CHARS_MAX] for name, value in found.items() if value}


def _utc(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="milliseconds")


def _ms(moment: Moment | None) -> int | None:
    return None if moment is None or moment.wall_s is None else int(moment.wall_s * 1_000)
