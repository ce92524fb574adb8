"""`stream-retrain check`: load a pipeline, validate it, and show what it and the settings come to."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, loaded, print_json
from stream_retrain.cli.streams import own_output
from stream_retrain.core.inside import named
from stream_retrain.core.pipeline import Pipeline

__all__ = ["check"]


def check(pipeline: PipelineArgument, settings: SettingsFile = None, json: JsonFlag = False) -> None:
    """Load the pipeline, validate it, and print it with the settings in force (secrets masked)."""
    from stream_retrain.engines.kafka.clients import check_config

    wanted, found = configured(settings), loaded(pipeline)
    check_config(wanted)
    resolved = wanted.redacted()
    with own_output():  # a model's text is made by the model
        described = _described(found)
    if json:
        print_json({"pipeline": described, "settings": resolved})
        return
    console = Console()
    for title, values in ((f"pipeline {found.name}", described), ("settings", resolved)):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, value in values.items():
            table.add_row(name, str(value))
        console.print(table)
    console.print("ok", style="green")


def _described(pipeline: Pipeline) -> dict[str, Any]:
    shown = {field.name: getattr(pipeline, field.name) for field in dataclasses.fields(pipeline)}
    schema = pipeline.schema
    shown["schema"] = {
        "id": schema.id,
        "time": schema.time,
        "label": schema.label_name,
        "keep_null": bool(schema.keep_null),
        "features": {name: getattr(field.kind, "__name__", str(field.kind)) for name, field in schema.fields.items()},
    }
    shown["model"] = named(pipeline.model)
    shown["watch"] = [f"{watch.signal}: {watch.detector_name} ({watch.wanted})" for watch in pipeline.watch]
    shown["react"] = [f"{rule.trigger} -> {rule.do}" for rule in pipeline.react]
    shown["metrics"] = [type(metric).__name__ for metric in pipeline.scores.metrics]
    shown["digest"] = pipeline.digest()
    return shown
