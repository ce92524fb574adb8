"""`stream-retrain init`: write a pipeline of one's own to begin with, from a sample of its records where there is one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, print_json
from stream_retrain.cli.streams import own_output
from stream_retrain.core.schema import TASKS, Task
from stream_retrain.errors import SettingsError

if TYPE_CHECKING:
    from stream_retrain.backtesting.proposal import Proposal
    from stream_retrain.backtesting.sample import Sample
    from stream_retrain.core.pipeline import Pipeline
    from stream_retrain.facts.values import Record
    from stream_retrain.settings import Settings

__all__ = ["init"]

SAMPLE_RECORDS: Final = 1_000
SCHEME: Final = "kafka://"
PUBLISHABLE: Final = (".csv", ".jsonl", ".ndjson", ".gz", ".zst")
KEY_FILE: Final = "signing.key"
SETTINGS_FILE: Final = "stream_retrain.toml"
KEY_COMMANDS: Final = (
    f"""(umask 077; python3 -c 'import secrets; print("k1:" + secrets.token_hex(32))' > {KEY_FILE})""",
    f"""echo 'signing_key_file = "{KEY_FILE}"' > {SETTINGS_FILE}""",
)


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it; the pipeline has its name.")] = Path("pipeline.py"),
    sample: Annotated[
        str | None,
        typer.Option(metavar="TOPIC|FILE", help="Propose the schema from records: TOPIC, TOPIC?from=..., or a file.", show_default=False),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help=f"{', '.join(TASKS)} (default: as the labels look, or binary).", show_default=False)
    ] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Write a pipeline to begin with: its comments say what each part is for. It passes `check` as it is; no file is overwritten."""
    from stream_retrain.backtesting.starter import name_of, starter_text, tried, without_sample

    wanted, chosen, name = configured(settings), _task(task), name_of(file)
    if file.exists():
        raise SettingsError(f"{file} is there already, and is left as it is: name another file")
    source, records = _records(sample, wanted, f"{name}.events")
    proposal = without_sample(chosen or "binary") if sample is None else _proposed(sample, records, chosen, wanted)
    text = starter_text(name, source, proposal)
    with own_output():
        pipeline = tried(text, file)
    looked = _judged(records, pipeline, wanted) if records else None
    _write(file, text)
    notes = list(_notes(proposal, looked))
    if json:
        described = {"file": str(file), "pipeline": pipeline.name, "task": pipeline.task, "source": pipeline.source}
        print_json(described | {"features": list(pipeline.schema.fields), "notes": notes})
        return
    for line in (*_told(file, pipeline, sample, looked), *notes, *_next_steps(file, pipeline, sample, wanted)):
        typer.echo(line)


def _task(given: str | None) -> Task | None:
    if given is not None and given not in TASKS:
        raise SettingsError(f"--task {given!r} is none of {', '.join(TASKS)}")
    return cast("Task | None", given)


def _records(sample: str | None, settings: Settings, otherwise: str) -> tuple[str, list[Record]]:
    """The topic that the sample is of, if it is a topic's, and the records."""
    if sample is None:
        return otherwise, []
    from stream_retrain.backtesting.sample import is_file, read_sample

    records = list(read_sample(sample, SAMPLE_RECORDS, settings, None))
    return otherwise if is_file(sample) else sample.removeprefix(SCHEME).partition("?")[0], records


def _proposed(where: str, records: list[Record], task: Task | None, settings: Settings) -> Proposal:
    from stream_retrain.backtesting.proposal import propose
    from stream_retrain.backtesting.sample import take_sample

    sample = take_sample(iter(records), None, settings.record_bytes_max)
    if sample.format == "registry":
        raise SettingsError(
            f"the records of {where} are of a Schema Registry, and do not say of which format:"
            " leave out --sample, and declare format= in the file"
        )
    proposal = propose(sample, task)
    if not proposal.features:
        raise SettingsError(f"no field of {where} can be a feature: stream-retrain check --sample shows what its records hold")
    return proposal


def _judged(records: list[Record], pipeline: Pipeline, settings: Settings) -> Sample:
    from stream_retrain.backtesting.sample import take_sample

    return take_sample(iter(records), pipeline, settings.record_bytes_max)


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise SettingsError(f"{file} is there already, and is left as it is: name another file") from None


def _told(file: Path, pipeline: Pipeline, sample: str | None, looked: Sample | None) -> Iterator[str]:
    """What was written."""
    yield f"{file}: pipeline {pipeline.name}, task {pipeline.task}, {len(pipeline.schema.fields)} features, source {pipeline.source}"
    if looked is None:
        yield "its schema is an example: write there what your records hold, or begin again with --sample TOPIC|FILE"
    else:
        yield f"the schema was guessed from {looked.records:,} records of {sample}, {looked.events:,} of which fit"
        yield "look it through, above all id, time and label"


def _notes(proposal: Proposal, looked: Sample | None) -> Iterator[str]:
    """What to look at above all."""
    if looked is None:
        return
    if proposal.label is None:
        yield "note: no field looks like a label: name it in the file"
    for (reason, field, detail), count in looked.rejected.items():
        yield f"note: {count:,} x {reason}{f', field {field!r}' if field else ''}: {detail}"
    for warning in looked.warnings if proposal.label is not None else ():
        yield f"note: {warning}"


def _next_steps(file: Path, pipeline: Pipeline, sample: str | None, settings: Settings) -> Iterator[str]:
    from stream_retrain.backtesting.sample import is_file

    name, records = shlex.quote(str(file)), "" if sample is None else shlex.quote(sample)
    yield ""
    yield "next:"
    if settings.signing_key_file is None and not settings.allow_unsigned:
        yield from _key_steps()
    yield f"  stream-retrain check {name}{f' --sample {records}' if records else ''}"
    if sample is not None and is_file(sample) and Path(sample).suffix in PUBLISHABLE:
        yield f"  stream-retrain publish {records} --topic {pipeline.source}"
    yield f"  stream-retrain run {name}"
    yield f"  stream-retrain topics peek {name} --follow"


def _key_steps() -> Iterator[str]:
    """A key comes before the first run: what was written without one is not opened with one. No file that is there is touched."""
    if Path(KEY_FILE).exists() or Path(SETTINGS_FILE).exists():
        yield "  name the file of your signing key in the settings: signing_key_file, or STREAM_RETRAIN_SIGNING_KEY_FILE"
    else:
        yield from (f"  {command}" for command in KEY_COMMANDS)
