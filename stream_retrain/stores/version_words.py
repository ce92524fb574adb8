"""Versions in words and as values for JSON: what `stream-retrain models list` and `show` print, the model card, and what goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream_retrain.facts.version import Moment, Version, aliases_of
from stream_retrain.facts.version_values import as_values, when

__all__ = ["CAME", "ENDED", "card_of", "columns_of", "lineage_of", "quality_of", "row_of", "shown_fields"]

COLUMNS: Final = ("version", "alias", "came", "serves from", "until", "why", "goes on from", "quality", "events", "model")
CAME: Final = {
    "new": "begun untrained",
    "reset": "begun afresh, after a reset",
    "lead": "took the lead in a duel",
    "promoted": "promoted by hand",
    "rolled_back": "rolled back by hand",
    "warm": "a warm start",
    "trained": "from the trainer",
    "imported": "from outside",
    "restored": "served before versions were kept",
}
ENDED: Final = {
    "reset": "reset",
    "lead": "another took the lead",
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "rejected": "rejected",
    "undecided": "undecided",
    "failed": "failed",
    "superseded": "superseded by hand",
    "begun_anew": "the shard began anew",
}


def columns_of(versions: Sequence[Version]) -> list[tuple[str, ...]]:
    """The table of a shard's versions, its head first."""
    aliases = aliases_of(versions)
    return [COLUMNS, *(row_of(version, aliases) for version in versions)]


def row_of(version: Version, aliases: Mapping[Any, str]) -> tuple[str, ...]:
    """One row of the table."""
    until = "now" if version.serves else _at(version.ended)
    why = " ".join(filter(None, (version.cause, version.reason and f"({version.reason})", version.by and f"by {version.by}")))
    ended = "" if version.ended_by is None else f" ({ENDED[version.ended_by]})"
    artifact = version.artifact
    model = artifact.state if artifact.state != "kept" else f"{artifact.bytes / 1000:,.1f} kB"
    return (
        version.id,
        " ".join(alias for alias, id_ in aliases.items() if id_ == version.id),
        CAME[version.came],
        _at(version.began),
        f"{until}{ended}",
        why,
        version.parent,
        quality_of(version),
        f"{version.quality.events:,}" if version.generation is not None or version.quality.events else "",
        model,
    )


def quality_of(version: Version) -> str:
    """The first metric, before and since."""
    quality = version.quality
    for name, value in quality.since.items():
        before = quality.before.get(name)
        shown = "?" if value is None else f"{value:.4f}"
        return f"{name} {shown}" if before is None else f"{name} {before:.4f} to {shown}"
    return ""


def _at(moment: Moment | None) -> str:
    if moment is None:
        return ""
    return f"offset {moment.offset}" if moment.wall_s is None else when(moment.wall_s)


def shown_fields(version: Version, aliases: Mapping[Any, str]) -> list[tuple[str, str]]:
    """Everything that is known of a version, as names and texts; what is empty is left out."""
    values = as_values(version, aliases)
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += [(f"{name}.{inner}", _text(of)) for inner, of in value.items() if of not in ("", None, {}, [])]
        elif name == "standings":
            found += [(f"standing of {each['name']}", _standing(each)) for each in value]
        elif value not in ("", None, [], {}):
            found.append((name, _text(value)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(of)}" for name, of in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _standing(standing: Mapping[str, Any]) -> str:
    return f"mean loss {standing['loss_mean']:.5f} over {standing['events']:,} events, e-value {standing['e_value']:.4g}"


def lineage_of(version: Version, versions: Sequence[Version]) -> list[Version]:
    """The version, what it goes on from, and so on."""
    known, found = {each.id: each for each in versions}, [version]
    while (parent := known.get(found[-1].parent)) is not None and parent not in found:
        found.append(parent)
    return found


def card_of(version: Version, lineage: Sequence[Version], pipeline: Any, model: str) -> str:
    """A model card in Markdown: what is known of a version, and of what it goes on from."""
    aliases: dict[str, str] = {}
    schema, lines = pipeline.schema, [f"# {version.pipeline} {version.id}", ""]
    features = ", ".join(f"`{name}`" for name in schema.feature_names) or "a varying set of numbers"
    lines += [f"A {pipeline.task} model of the pipeline `{version.pipeline}`, kept by stream_retrain.", "", "## Model", ""]
    lines += ["```text", model, "```", "", f"- features: {features}", f"- label: `{schema.label_name}`", f"- it {CAME[version.came]}" + ""]
    lines += ["", "## Quality", ""]
    lines += _quality_table(version) or ["Nothing was measured while it served.", ""]
    if version.standings:
        lines += ["## The duel that decided", "", "| contestant | mean loss | events | e-value |", "| --- | --- | --- | --- |"]
        lines += [f"| {each.name} | {each.loss_mean:.5f} | {each.events:,} | {each.e_value:.4g} |" for each in version.standings]
        lines += ["", f"By {version.loss or 'its'} loss, after {version.duel_events:,} events.", ""]
    lines += ["## Where it comes from", ""]
    lines += [f"- `{each.id}`: {CAME[each.came]}, {_at(each.began) or 'at an unknown time'}" for each in lineage]
    lines += ["", "## All that is known", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in shown_fields(version, aliases)]
    return "\n".join([*lines, ""])


def _quality_table(version: Version) -> list[str]:
    names = list(dict.fromkeys([*version.quality.before, *version.quality.since]))
    if not names:
        return []
    rows = [f"| {name} | {_number(version.quality.before.get(name))} | {_number(version.quality.since.get(name))} |" for name in names]
    return ["| metric | before it served | since |", "| --- | --- | --- |", *rows, ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
