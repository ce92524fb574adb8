"""`stream-retrain check`: load a pipeline, validate it, and show what it and the settings come to; or look at records that it is for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, loaded, plain, print_json
from stream_retrain.cli.streams import own_output
from stream_retrain.compose.callbacks import not_installed
from stream_retrain.core.callbacks import handlers_of
from stream_retrain.core.inside import computing_in, named
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import SettingsError
from stream_retrain.native import SLOW
from stream_retrain.settings import Settings

if TYPE_CHECKING:
    from stream_retrain.backtesting.sample import Sample

__all__ = ["check"]


def check(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="PIPELINE", help="path/to/file.py[:name] or package.module:name", show_default=False)
    ] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="TOPIC|FILE", help="Look at records: TOPIC, TOPIC?from=..., or a file.", show_default=False)
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", help="Records of the sample.", min=1, max=1_000_000)] = 1_000,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Load the pipeline, validate it, and print it with the settings in force (secrets masked).

    With a sample: what its records hold, and what of them fits the pipeline; without a pipeline a schema is proposed for them.
    """
    if pipeline is None and sample is None:
        raise SettingsError("name a PIPELINE to check, a --sample of records to look at, or both")
    wanted = configured(settings)
    found = None if pipeline is None else loaded(pipeline)
    if sample is not None:
        _look_at(sample, number, wanted, found, json=json)
        return
    assert found is not None, "one of the two is given"
    _show(found, wanted, json=json)


def _show(found: Pipeline, wanted: Settings, *, json: bool) -> None:
    from stream_retrain.engines.kafka.clients import check_config
    from stream_retrain.stores.start import starts_of

    check_config(wanted)
    starts = starts_of([found], wanted)
    resolved = wanted.redacted()
    with own_output():  # a model's text is made by the model
        described = _described(found) | {"start": next((start.origin for start in starts.values()), None)}
    missing = not_installed(handlers_of(found))
    described |= {"not_installed": missing} if missing else {}
    if missing and wanted.callbacks == "process":
        raise SettingsError("; ".join(missing))
    if json:
        print_json({"pipeline": described, "settings": resolved})
        return
    console = Console()
    for title, values in ((f"pipeline {found.name}", described), ("settings", resolved)):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, value in values.items():
            table.add_row(name, str(value))
        console.print(table)
    if described.get("models_compute") == "Python":
        console.print(plain(f"warning: {SLOW}"), style="yellow")
    console.print("ok", style="green")


def _look_at(where: str, number: int, wanted: Settings, found: Pipeline | None, *, json: bool) -> None:
    from stream_retrain.backtesting.proposal import propose
    from stream_retrain.backtesting.sample import read_sample, take_sample
    from stream_retrain.engines.kafka.registry import with_registry

    with own_output():  # the pipeline's own decode may print
        found = None if found is None else with_registry(found, wanted)
        records = read_sample(where, number, wanted, None if found is None else found.schema)
        sample = take_sample(records, found, wanted.record_bytes_max)
    proposal = None if found is not None else propose(sample).text
    if json:
        print_json(sample.described() | ({} if proposal is None else {"proposal": proposal}))
        return
    _tell(Console(), where, sample, judged=found is not None)
    if proposal is not None:
        typer.echo(f"\n{proposal}", nl=False)


def _tell(console: Console, where: str, sample: Sample, *, judged: bool) -> None:
    table = Table(title=f"{sample.records:,} records of {where} ({sample.format})", title_justify="left", box=None, padding=(0, 2))
    for name in ("field", "type", "present", "null", "range or values"):
        table.add_column(name)
    for name, field in sample.profile.fields.items():
        said = field.described(sample.profile.records)
        span = f"{said['min']:g} to {said['max']:g}" if "min" in said else ", ".join(map(str, said.get("values", ())))
        share = f"{said['present'] / max(1, sample.profile.records):.0%}"
        table.add_row(plain(name), said["type"], share, f"{said['null'] / max(1, said['present']):.0%}", plain(span))
    console.print(table)
    if sample.unreadable:
        console.print(f"{sample.unreadable:,} records could not be read as objects")
    if not judged:
        return
    console.print(
        f"{sample.events:,} events ({sample.questions:,} with features, {sample.answers:,} answers), {sample.passed:,} passed over,"
        f" {sum(sample.rejected.values()):,} dead letters"
    )
    for (reason, field_name, detail), count in sample.rejected.items():
        console.print(plain(f"  {count:,} x {reason}{f', field {field_name!r}' if field_name else ''}: {detail}"))
    for warning in sample.warnings:
        console.print(plain(f"warning: {warning}"), style="yellow")
    if not sample.rejected and not sample.warnings:
        console.print("all of it fits", style="green")


def _described(pipeline: Pipeline) -> dict[str, Any]:
    shown = {field.name: getattr(pipeline, field.name) for field in dataclasses.fields(pipeline)}
    schema = pipeline.schema
    shown["schema"] = {
        "id": schema.id,
        "time": schema.time,
        "label": schema.label_name,
        "keep_null": bool(schema.keep_null),
        "features": {name: _type_of(field.kind, field.unit) for name, field in schema.fields.items()} or str(schema.sparse),
    }
    if schema.time_features:
        shown["schema"]["time_features"] = f"{', '.join(schema.time_features)} ({schema.time_zone})"
    if schema.decode is not None or schema.format != "json":
        shown["schema"]["format"] = schema.decode.__qualname__ if schema.decode is not None else str(schema.format)
    shown["carry_headers"] = list(pipeline.carry_headers)
    shown["model"] = named(pipeline.model)
    if models := computing_in(pipeline):
        shown["models_compute"] = models
    shown["watch"] = [f"{watch.signal}: {watch.detector_name} ({watch.wanted})" for watch in pipeline.watch]
    shown["react"] = [f"{rule.trigger} -> {rule.do}" for rule in pipeline.react]
    shown["metrics"] = [type(metric).__name__ for metric in pipeline.scores.metrics]
    for name in ("callbacks", "webhooks", "integrations"):
        del shown[name]
    shown["told"] = [f"{each.name} ({', '.join(each.on)})" for each in handlers_of(pipeline)]  # never addresses, which may be secrets
    shown["digest"] = pipeline.digest()
    return shown


def _type_of(kind: Any, unit: str | None) -> str:
    return f"{getattr(kind, '__name__', str(kind))}{f' ({unit})' if unit else ''}"
