"""`stream-retrain models export` and `models import`: a model leaves a pipeline as a file, and one from elsewhere comes into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from stream_retrain.cli.models_looked import Of, VersionArgument, shard_of
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, print_json, user_name, write_whole
from stream_retrain.errors import SettingsError
from stream_retrain.stores.version_words import card_of, lineage_of

__all__ = ["export", "import_"]

Format = Literal["pickle", "model-card"]
FORMATS: Final = ("pickle", "model-card")
Partition = Annotated[int | None, typer.Option(help="Whose alias it is.", show_default=False)]
Unsigned = Annotated[bool, typer.Option("--allow-unsigned", help="Without a signing key: whoever can write there can then run code.")]


def export(
    pipeline: PipelineArgument,
    version: VersionArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="A sealed model, or a card in Markdown.")] = "pickle",
    partition: Partition = None,
    settings: SettingsFile = None,
    allow_unsigned: Unsigned = False,
    json: JsonFlag = False,
) -> None:
    """Write a version to a file: its model under the project's seal (stream_retrain.load_model opens it), or a model card."""
    from stream_retrain.codec.exported import exported
    from stream_retrain.codec.versions import open_version

    if format_ not in FORMATS:
        raise SettingsError(f"--format {format_!r} is none of {', '.join(FORMATS)}")
    of = Of(pipeline, settings, keys=True, allow_unsigned=allow_unsigned)
    shard = shard_of(of, version, partition)
    found = of.registry.find(shard, version)
    id_ = found.version.id
    if format_ == "pickle":
        data = exported(found.sealed, of.pipeline, of.keyring)
    else:
        _, model = open_version(found.sealed, id_, of.pipeline, shard, of.keyring)
        data = card_of(found.version, lineage_of(found.version, of.registry.of(shard)), of.pipeline, str(model)).encode()
    write_whole(out, data)
    told = {"version": id_, "file": str(out), "format": format_, "bytes": len(data), "learned_through": found.learned_through}
    if json:
        print_json(told)
    else:
        typer.echo(f"version {id_} of {shard.pipeline} is in {out} ({format_}, {len(data):,} bytes)")


def import_(
    pipeline: PipelineArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What models export or train wrote; or a pickle.", show_default=False)],
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Open a pickle of others, or of joblib: it runs whatever code it names.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Stands with the version, for those who read it later.")] = "",
    settings: SettingsFile = None,
    allow_unsigned: Unsigned = False,
    json: JsonFlag = False,
) -> None:
    """Bring a trained model in: it is tried against the schema, sealed, and can then be promoted, or be a pipeline's start."""
    from stream_retrain.stores.bringing_in import bring_in, checked

    of = Of(pipeline, settings, keys=True, allow_unsigned=allow_unsigned)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror or error}") from None
    brought = checked(data, str(file), of.pipeline, of.keyring, trusted=trust_pickle)
    version = bring_in(brought, of.pipeline, of.stores, of.keyring, by=f"cli:{user_name()}", reason=reason, source=file.name)
    if json:
        print_json({"version": version.id, "family": version.family, "bytes": version.artifact.bytes, "parent": version.parent})
    else:
        typer.echo(f"{file} is version {version.id} of {version.pipeline}; to have it serve:")
        typer.echo(f"stream-retrain models promote {pipeline} {version.id}")
