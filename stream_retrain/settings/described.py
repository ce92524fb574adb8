"""The settings described, for the page that lists them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from stream_retrain.settings.declared import FIELDS, Settings
from stream_retrain.settings.sources import allowed_of, variable_of

__all__ = ["SettingRow", "describe", "settings_table_markdown"]


class SettingRow(NamedTuple):
    """A setting described: a row of the table in docs/settings.md."""

    name: str
    variable: str
    default: object
    allowed: str
    meaning: str


def describe() -> list[SettingRow]:
    """Every setting, in the order of `Settings`."""
    plain = Settings()
    return [
        SettingRow(name, variable_of(name), getattr(plain, name), allowed_of(of), of.metadata["meaning"]) for name, of in FIELDS.items()
    ]


def settings_table_markdown() -> str:
    """The settings as a Markdown table, for docs/settings.md; a default is as a TOML file would have it."""
    lines = ["| Setting | Variable | Default | Allowed | Meaning |", "|---|---|---|---|---|"]
    for name, variable, default, allowed, meaning in describe():
        shown = "" if default in (None, {}) else f"`{msgspec.json.encode(default).decode()}`"
        lines.append(f"| `{name}` | `{variable}` | {shown} | {allowed} | {meaning} |")
    return "\n".join(lines) + "\n"
