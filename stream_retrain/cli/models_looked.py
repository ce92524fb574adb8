"""`stream-retrain models list`, `show`, `diff` and `serving-at`: what is known of versions. They read the store, and ask no worker."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream_retrain.cli.group_status import console_of_tables, table_of
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, loaded, plain, print_json
from stream_retrain.errors import SettingsError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version, aliases_of
from stream_retrain.facts.version_values import as_values, when
from stream_retrain.stores.version_words import CAME, columns_of, lineage_of, shown_fields

if TYPE_CHECKING:
    from stream_retrain.core.pipeline import Pipeline
    from stream_retrain.settings import Settings
    from stream_retrain.stores.registry import Registry

__all__ = ["Of", "VersionArgument", "diff", "list_", "serving_at", "shard_of", "show"]

VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="2-g14, 2-t3, import-0123456789ab; or an alias with --partition.", show_default=False)
]
Partition = Annotated[int | None, typer.Option(help="Of the shard of this partition only; an alias is one of a shard.", show_default=False)]
NOT_FOUND: Final = 1


class Of:
    """A pipeline and the store of its versions."""

    def __init__(self, pipeline: str, settings: Any, *, keys: bool = False, allow_unsigned: bool | None = None) -> None:
        from stream_retrain.codec.keyring import Keyring
        from stream_retrain.compose import keyring_of
        from stream_retrain.stores import connect
        from stream_retrain.stores.registry import Registry

        self.settings: Settings = configured(settings, allow_unsigned=allow_unsigned or None)
        self.pipeline: Pipeline = loaded(pipeline)
        self.keyring = keyring_of(self.settings) if keys else Keyring.unsigned()
        self.stores = connect(self.settings.redis_url, artifacts_url=self.settings.artifacts_url if keys else None)
        self.registry: Registry = Registry(self.stores, self.pipeline, self.keyring)

    def shard(self, partition: int) -> ShardId:
        """The shard of a partition."""
        return ShardId(self.pipeline.name, self.pipeline.source, partition)

    def partitions(self, only: int | None) -> list[int]:
        """Those of whose shards something is known."""
        known = self.stores.versions.partitions(self.pipeline.name, self.pipeline.source)
        if only is not None and only not in known:
            raise SettingsError(f"no version of partition {only} is known; there are those of {', '.join(map(str, known)) or 'none'}")
        return known if only is None else [only]

    def known(self, wanted: str, partition: int | None) -> tuple[ShardId, Version]:
        """The version of an id, or of an alias of a shard."""
        shard = shard_of(self, wanted, partition)
        return shard, self.registry.known(shard, wanted)


def shard_of(of: Of, wanted: str, partition: int | None) -> ShardId:
    """The shard whose version is meant: an id says of which it is."""
    first = wanted.partition("-")[0]
    if first.isdecimal():
        return of.shard(int(first))
    if partition is None and not wanted.startswith("import-"):
        partitions = of.partitions(None)
        if len(partitions) != 1:
            listed = ", ".join(map(str, partitions)) or "none"
            raise SettingsError(f"{wanted!r} is an alias of a shard: say of which, --partition N (there are {listed})")
        partition = partitions[0]
    return of.shard(partition or 0)


def list_(pipeline: PipelineArgument, partition: Partition = None, settings: SettingsFile = None, json: JsonFlag = False) -> None:
    """Every version of a pipeline's shards, the oldest first, and what was brought in from outside."""
    of = Of(pipeline, settings)
    shards = {number: of.stores.versions.all(of.shard(number)) for number in of.partitions(partition)}
    imports = of.registry.imports()
    if json:
        told = {number: [as_values(each, aliases_of(versions)) for each in versions] for number, versions in shards.items()}
        print_json({"pipeline": of.pipeline.name, "shards": told, "imports": [as_values(each, {}) for each in imports]})
        return
    for number, versions in shards.items():
        _print_table(f"partition {number}", versions)
    if imports:
        _print_table("from outside", imports)
    if not shards and not imports:
        typer.echo(f"no version of {of.pipeline.name} is known: a worker keeps them as it runs (versions_models_max)")


def _print_table(title: str, versions: list[Version]) -> None:
    head, *rows = columns_of(versions)
    table = table_of(*head)
    table.title, table.title_justify = title, "left"
    for row in rows:
        table.add_row(*map(plain, row))
    console_of_tables().print(table)


def show(
    pipeline: PipelineArgument,
    version: VersionArgument,
    partition: Partition = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Everything that is known of a version, and the versions that it goes on from."""
    of = Of(pipeline, settings)
    shard, found = of.known(version, partition)
    versions = of.registry.of(shard)
    aliases, lineage = aliases_of(versions), lineage_of(found, versions)
    if json:
        print_json({**as_values(found, aliases), "lineage": [each.id for each in lineage]})
        return
    _print_pairs([*shown_fields(found, aliases), ("lineage", " <- ".join(f"{each.id} ({CAME[each.came]})" for each in lineage))])


def _print_pairs(pairs: list[tuple[str, str]]) -> None:
    table = table_of("", "")
    table.show_header = False
    for name, text in pairs:
        table.add_row(plain(name), plain(text))
    console_of_tables().print(table)


def diff(
    pipeline: PipelineArgument,
    a: Annotated[str, typer.Argument(metavar="A", help="A version, or an alias with --partition.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.", show_default=False)],
    partition: Partition = None,
    settings: SettingsFile = None,
    allow_unsigned: Annotated[bool, typer.Option("--allow-unsigned", help="Open models that nobody signed.")] = False,
    json: JsonFlag = False,
) -> None:
    """In what two versions differ: what is known of them, their quality, and the parameters of their models."""
    of = Of(pipeline, settings, keys=True, allow_unsigned=allow_unsigned)
    (shard_a, first), (shard_b, second) = of.known(a, partition), of.known(b, partition)
    fields = [dict(shown_fields(each, {})) for each in (first, second)]
    names = list(dict.fromkeys([*fields[0], *fields[1]]))
    known = {name: [each.get(name, "") for each in fields] for name in names if fields[0].get(name) != fields[1].get(name)}
    params, notes = [], []
    for shard, version in ((shard_a, first), (shard_b, second)):
        try:
            params.append(_parameters(of, shard, version))
        except StateError as error:
            params.append({})
            notes.append(str(error))
    of_models = {name: [each.get(name, "") for each in params] for name in dict.fromkeys([*params[0], *params[1]])}
    differing = {name: values for name, values in of_models.items() if values[0] != values[1]} if not notes else {}
    if json:
        print_json({"versions": [first.id, second.id], "known": known, "parameters": differing, "notes": notes})
        return
    table = table_of("", first.id, second.id)
    for name, values in {**known, **{f"model {name}": values for name, values in differing.items()}}.items():
        table.add_row(*map(plain, (name, *values)))
    console_of_tables().print(table)
    typer.echo("\n".join(notes) if notes else f"{len(differing)} of {len(of_models)} parameters of the models differ")


def _parameters(of: Of, shard: ShardId, version: Version) -> dict[str, str]:
    """What the model of a version was made with, by name, its steps' parameters after a dot."""
    from stream_retrain.codec.versions import open_version

    found = of.registry.find(shard, version.id)
    _, model = open_version(found.sealed, version.id, of.pipeline, shard, of.keyring)
    flat: dict[str, str] = {"": type(model).__name__}

    def walk(prefix: str, value: Any, depth: int) -> None:
        params = value._get_params() if hasattr(value, "_get_params") and depth < 6 else {}
        for name, inner in params.items():
            plain_value = inner[1] if isinstance(inner, tuple) and len(inner) == 2 and hasattr(inner[1], "_get_params") else inner
            nested = hasattr(plain_value, "_get_params")
            flat[f"{prefix}{name}"] = type(plain_value).__name__ if nested else repr(plain_value)[:200]
            if nested:
                walk(f"{prefix}{name}.", plain_value, depth + 1)

    walk("", model, 0)
    return flat


def serving_at(
    pipeline: PipelineArgument,
    time: Annotated[str, typer.Argument(metavar="TIME", help="As in 2026-11-24T14:05+01:00, or without a zone and with --zone.")],
    zone: Annotated[
        str | None, typer.Option(metavar="NAME", help="The time zone of TIME, such as Europe/Berlin.", show_default=False)
    ] = None,
    partition: Partition = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """What was in production at a time, by the workers' clocks: the version that served each shard then."""
    at_s, of = _wall_time(time, zone), Of(pipeline, settings)
    found = {number: _served(of.stores.versions.all(of.shard(number)), at_s) for number in of.partitions(partition)}
    if json:
        shards = {number: None if version is None else as_values(version, {}) for number, version in found.items()}
        print_json({"pipeline": of.pipeline.name, "at": when(at_s), "shards": shards})
    else:
        table = table_of("partition", "version", "serves from", "until", "came")
        for number, version in found.items():
            if version is None:
                table.add_row(str(number), "nothing is known of that time", "", "", "")
                continue
            _, _, came, began, until, *_ = columns_of([version])[1]
            table.add_row(*map(plain, (str(number), version.id, began, until, came)))
        typer.echo(f"{of.pipeline.name} at {when(at_s)}")
        console_of_tables().print(table)
    if not any(found.values()):
        raise typer.Exit(NOT_FOUND)


def _served(versions: list[Version], at_s: float) -> Version | None:
    """The generation that served at a wall time."""
    for version in reversed(versions):
        began, ended = version.began, version.ended
        if version.generation is None or began is None or began.wall_s is None or began.wall_s > at_s:
            continue
        if ended is None or (ended.wall_s is not None and ended.wall_s > at_s):
            return version
    return None


def _wall_time(text: str, zone: str | None) -> float:
    """Seconds since the epoch. Raises `SettingsError` for what is no time, or has no zone."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{text!r} is no time; write one as in 2026-11-24T14:05+01:00") from None
    if at.tzinfo is None and zone is None:
        raise SettingsError(f"{text!r} has no time zone: write 2026-11-24T14:05+01:00 or ...Z, or give --zone Europe/Berlin")
    if at.tzinfo is None:
        try:
            at = at.replace(tzinfo=zoneinfo.ZoneInfo(zone or ""))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(f"--zone {zone!r} is no time zone; there is Europe/Berlin, or UTC") from None
    return at.timestamp()
