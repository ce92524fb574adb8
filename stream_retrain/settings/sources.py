"""Where settings come from, a TOML file, variables and arguments, and whether each value is one that its setting may have.

Rules: every fault of every source is listed in one error; nothing is guessed, so an unknown name is a fault.
"""

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

import msgspec

from stream_retrain.errors import SettingsError
from stream_retrain.native import NATIVE_SETTING

__all__ = ["PATH_WORDS", "Given", "allowed_of", "checked", "from_environment", "from_file", "from_mapping", "variable_of"]

Fields: TypeAlias = Mapping[str, dataclasses.Field[Any]]
"""The settings by name (`settings.declared.FIELDS`)."""
PATH_WORDS = "a path"
"""Of a setting that is a path: a relative one in a file is relative to the file's folder."""
_PREFIX = "STREAM_RETRAIN_"
_FILE_VARIABLE = "STREAM_RETRAIN_SETTINGS"
_OTHERS = (_FILE_VARIABLE, "STREAM_RETRAIN_FAILPOINT", NATIVE_SETTING)

# A Service named stream-retrain makes Kubernetes give its pods variables that begin as ours do; none of them is a setting.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=.*|.*PORT=(tcp|udp|sctp)://.*", re.DOTALL)

_RESERVED = {
    **dict.fromkeys(("enable.auto.commit", "enable.auto.offset.store"), "offsets are committed with the outputs, in one transaction"),
    **dict.fromkeys(("bootstrap.servers", "metadata.broker.list"), "set `kafka_bootstrap_servers`"),
    "isolation.level": "only committed records may be learned",
    "group.id": "set `group`",
    "transactional.id": "it is made of group and instance: set `instance`",
    "enable.partition.eof": "the worker counts on it",
    "enable.idempotence": "transactions need it on",
    "auto.offset.reset": "set `start`",
    "partition.assignment.strategy": "shards stay where they are only under cooperative-sticky",
    "session.timeout.ms": "set `session_timeout_ms`",
    "heartbeat.interval.ms": "it follows `session_timeout_ms`",
    "group.instance.id": "set `instance` and `static_membership`",
    "group.protocol": "set `group_protocol`",
    "group.remote.assignor": "the broker's own choice keeps shards where they are",
}


class Given(NamedTuple):
    """A value as its source gave it; a librdkafka key is named `kafka.<key>`."""

    label: str
    name: str
    value: object
    typed: bool = True


def from_file(file: Path | None, environ: Mapping[str, str], fields: Fields, faults: list[str]) -> Iterator[Given]:
    """What a TOML file says: the one that is given or named by a variable, or the one in the working folder."""
    named = file or environ.get(_FILE_VARIABLE)
    path = Path(named or "stream_retrain.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")) if named or path.exists() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{path}: cannot be read as TOML: {getattr(error, 'strerror', None) or error}")
        return
    for name in fields.keys() & table.keys():
        if fields[name].metadata.get("words") == PATH_WORDS and isinstance(table[name], str):
            table[name] = path.parent / table[name]
    yield from from_mapping(table, f"{path}: ")


def from_environment(environ: Mapping[str, str], fields: Fields) -> Iterator[Given]:
    """What variables say."""
    for variable, value in sorted(environ.items()):
        if not variable.startswith(_PREFIX) or variable in _OTHERS or not value or _SERVICE_LINK.fullmatch(f"{variable}={value}"):
            continue
        name = variable.removeprefix(_PREFIX).lower()
        if name.startswith("kafka_") and name not in fields:
            name = "kafka." + re.sub("_{1,3}", lambda run: " ._-"[len(run[0])], name.removeprefix("kafka_"))
        yield Given(variable, name, value, typed=False)


def from_mapping(values: Mapping[str, object], label: str = "", table: str = "") -> Iterator[Given]:
    """What a mapping says. TOML reads an unquoted `sasl.password` as a table within a table: the dotted key is given back."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from from_mapping(value, label, f"{table}{key}.")
        else:
            yield Given(f"{label}{table}{key}", f"{table}{key}", value)


def checked(given: Iterable[Given], fields: Fields, faults: list[str]) -> dict[str, Any]:
    """The values by name, later ones winning. Raises SettingsError with `faults` and those found here."""
    values: dict[str, Any] = {"kafka": {}}
    for item in given:
        try:
            if item.name.startswith("kafka."):
                key = item.name.removeprefix("kafka.")
                values["kafka"][key] = _kafka_value(key, item.value)
            else:
                values[item.name] = _value(item, fields)
        except ValueError as error:
            faults.append(f"{item.label}: {error}")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise SettingsError(f"the settings have {len(faults)} fault{'s' * (len(faults) > 1)}:{listed}")
    return values


def _kafka_value(key: str, value: object) -> str:
    if key in _RESERVED:
        raise ValueError(f"cannot be set here: {_RESERVED[key]}")
    if not isinstance(value, str | int | float):
        raise ValueError("must be text, a number, true or false")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(item: Given, fields: Fields) -> Any:
    field = fields.get(item.name)
    if field is None:
        near = difflib.get_close_matches(item.name, fields, n=1)
        raise ValueError("no such setting" + "".join(f"; did you mean {name if item.typed else variable_of(name)}?" for name in near))
    wrong = ValueError(f"must be {allowed_of(field)}" + ("" if item.name in ("redis_url", "kafka") else f", not {item.value!r}"))
    raw = item.value.lower() if get_origin(field.type) is Literal and isinstance(item.value, str) else item.value
    try:
        value: Any = msgspec.convert(raw, field.type, strict=item.typed, dec_hook=lambda hint, given: hint(given))
    except msgspec.ValidationError:
        raise wrong from None
    limits = field.metadata
    outside = "low" in limits and value not in (None, limits.get("also")) and not limits["low"] <= value <= limits["high"]
    if outside or ("pattern" in limits and value is not None and not re.fullmatch(limits["pattern"], value)):
        raise wrong
    return value


def allowed_of(field: dataclasses.Field[Any]) -> str:
    """What a setting may be, in words."""
    limits = field.metadata
    if "low" in limits:
        kind = "a number" if field.type is float else "a whole number"
        return f"{kind} from {limits['low']:,} to {limits['high']:,}" + (f", or {limits['also']}" if "also" in limits else "")
    return limits.get("words") or ("true or false" if field.type is bool else " or ".join(get_args(field.type)))


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return _PREFIX + ("KAFKA_<KEY>" if name == "kafka" else name.upper())
