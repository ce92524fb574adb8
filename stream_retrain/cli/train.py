"""`stream-retrain train`: a model from history, before there is a stream; for `Pipeline(start=...)`, or to be promoted."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_retrain.cli.output import (
    AllowUnsigned,
    JsonFlag,
    PipelineArgument,
    SettingsFile,
    configured,
    errors,
    loaded,
    print_json,
    user_name,
    write_whole,
)
from stream_retrain.cli.streams import own_output
from stream_retrain.errors import SettingsError

if TYPE_CHECKING:
    from stream_retrain.backtesting.training import Taught

__all__ = ["train"]


def train(
    pipeline: PipelineArgument,
    source: Annotated[
        str, typer.Option(metavar="SRC", help="kafka://TOPIC?from=...&to=..., or a CSV, JSON lines or Parquet file.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: the model under a seal.", show_default=False)],
    register: Annotated[bool, typer.Option("--register", help="Bring it into the pipeline as a version, too.")] = False,
    reason: Annotated[str, typer.Option(help="With --register: stands with the version, for those who read it later.")] = "",
    settings: SettingsFile = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonFlag = False,
) -> None:
    """Train the pipeline on history, by the code that runs live, and write the model that serves at the end to a file."""
    from stream_retrain.backtesting.open_source import open_source
    from stream_retrain.backtesting.progress import ProgressBar
    from stream_retrain.backtesting.training import train as trained_on
    from stream_retrain.codec.exported import trained
    from stream_retrain.engines.kafka.registry import with_registry
    from stream_retrain.stores import connect
    from stream_retrain.stores.bringing_in import bring_in, checked
    from stream_retrain.stores.keys import keyring_of

    wanted = configured(settings, allow_unsigned=allow_unsigned or None)
    of, keyring = loaded(pipeline), keyring_of(wanted)
    _check(out)
    stores = connect(wanted.redis_url, artifacts_url=wanted.artifacts_url) if register else None
    if stores is not None:
        stores.ping()  # an hour of training is not lost with a store that is away
    opened = open_source(source, of, settings=wanted)
    with own_output(), ProgressBar(errors()) as watching:
        taught = trained_on(with_registry(of, wanted), opened, watching.training)
        data = trained(taught.model, taught.family, taught.history, of, keyring)
        brought = checked(data, str(out), of, keyring)
    write_whole(out, data)
    version = ""
    if stores is not None:
        version = bring_in(brought, of, stores, keyring, by=f"cli:{user_name()}", reason=reason, source=taught.history.source).id
    _tell(pipeline, out, len(data), version, taught, json=json)


def _tell(pipeline: str, out: Path, size: int, version: str, taught: Taught, *, json: bool) -> None:
    history = taught.history
    if json:
        told = {"file": str(out), "bytes": size, "version": version or None, "generation": taught.generation, "family": taught.family}
        print_json(told | dataclasses.asdict(history) | {"notes": taught.notes})
        return
    scores = ", ".join(f"{name} {'?' if value is None else f'{value:.4f}'}" for name, value in history.score.items())
    typer.echo(f"{out}: trained on {history.events:,} events of {history.source} ({history.records:,} records, {history.seconds:.1f} s)")
    typer.echo(f"each event predicted before it was learned: {scores}; generation {taught.generation} serves at the end")
    for note in taught.notes:
        typer.echo(note)
    if version:
        typer.echo(f"it is version {version}; to have it serve:")
        typer.echo(f"stream-retrain models promote {pipeline} {version}")
    else:
        typer.echo(f'to have new shards begin with it: Pipeline(..., start="{out}")')


def _check(out: Path) -> None:
    """That it can be written is found out before the training."""
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise SettingsError(f"--out {out}: there is no such folder to write a file in")
    if not os.access(out.absolute().parent, os.W_OK):
        raise SettingsError(f"--out {out}: its folder cannot be written to")
