"""How well models do on many development streams, event by event, and what they cost: members, mixtures, River's, and peers.

    python -m benchmarks.members_data FOLDER
    python -m benchmarks.members --streams FOLDER [--model NAME ...] [--maker "EXPRESSION" ...] [--stream NAME ...] [--delay N ...]
        [--seeds N] [--events-max N] [--jobs N] [--json FILE] [--markdown FILE] [--plots FOLDER] [--beside NAME] [--peers] [--any-release]
        [--aside]

- Names of models are those of `benchmarks/members_models.py`, for each task; `*` and `?` are allowed. `--maker` takes an expression in
  which all models are known, or `NAME=EXPRESSION`. Peers are run with `--peers`, or where a name asks for them.
- `--aside` runs the streams that are kept aside in place of the development streams, with the models that are named: see `members_aside`.
- `--json` keeps a row a line. A run of the same stream, seed, model, delay, events and release of the model is not done again.
- Accuracies are in per cent, log loss in bits (probabilities clipped to 0.001), R2 from the 200th event on; `us` is CPU time an event.
  Measure costs with `--jobs 1` on a quiet machine. The same command gives the same figures, the costs apart.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fnmatch
import itertools
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from river import base

from benchmarks.members_aside import aside_streams
from benchmarks.members_models import MODELS, Model, named, of_expression
from benchmarks.members_runs import Job, Row, key_of, run
from benchmarks.members_streams import development_streams
from benchmarks.members_tables import markdown, plots, summary
from benchmarks.quality_streams import EVENTS, Stream
from benchmarks.throughput_peers import PeerError
from stream_retrain.models.probabilities import last_step

DELAYS: Final = (0, 50, 1_000)


def models_asked_for(options: argparse.Namespace, console: Console) -> dict[str, list[Model]]:
    """Of each task; a model that cannot be made here is passed over."""
    found: dict[str, list[Model]] = {}
    for task in MODELS:
        known = named(task).values()
        found[task] = [
            model for model in known if (matches(model.name, options.model) if options.model else asked_by_default(model, options))
        ]
    for text in options.maker:
        task = "regression" if isinstance(last_step(of_expression(text, "").make()), base.Regressor) else "classification"
        found[task].append(of_expression(text, task))
    return {task: [model for model in models if can_be_made(model, console)] for task, models in found.items()}


def asked_by_default(model: Model, options: argparse.Namespace) -> bool:
    return options.peers if model.peer else not options.maker


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def can_be_made(model: Model, console: Console) -> bool:
    try:
        if not model.peer:
            model.make()
    except (NameError, AttributeError, TypeError) as error:
        console.print(f"passed over {model.name}: {error}", markup=False)
        return False
    return True


def jobs_of(streams: Sequence[Stream], models: dict[str, list[Model]], options: argparse.Namespace) -> list[Job]:
    """Stream by stream, so that a process reads each only once or twice."""
    found = []
    for stream in streams:
        seeds = range(min(stream.seeds, options.seeds or stream.seeds))
        here = models["regression" if stream.task == "regression" else "classification"]
        found += [Job(stream, *rest, options.events_max) for rest in itertools.product(seeds, here, options.delay or DELAYS)]
    return found


def known_rows(path: Path | None) -> list[Row]:
    """Rows of earlier runs; a line that was cut off when a run was stopped is none."""
    rows = []
    for line in path.read_text().splitlines() if path is not None and path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def identity(row: Row, *, any_release: bool) -> tuple[Any, ...]:
    release = str(row["release"]).partition("-")[0] if any_release else row["release"]
    return (row["stream"], row["seed"], row["model"], row["delay"], row["events"], row["task"], release)


def attempt(job: Job) -> Row:
    """The row of a job; where a peer has no figures, one that says why."""
    try:
        return run(job)
    except PeerError as error:
        return key_of(job) | {"error": str(error)}


def carry_out(jobs: Sequence[Job], options: argparse.Namespace, console: Console) -> tuple[list[Row], list[str]]:
    """The rows of the jobs, in their order: those there are, and the others from processes of their own; and what failed."""

    def of(row: Row) -> tuple[Any, ...]:
        return identity(row, any_release=options.any_release)

    rows = {of(row): row for row in known_rows(options.json) if "error" not in row}
    missing = [job for job in jobs if of(key_of(job)) not in rows]
    console.print(f"{len(jobs):,} runs, {len(jobs) - len(missing):,} of them there", markup=False)
    failed: list[str] = []
    os.environ["PYTHONHASHSEED"] = "0"  # of the processes to come: a set of strings in some model must not decide a figure
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("members", total=len(missing))
        running = {pool.submit(attempt, job): job for job in missing}
        for done, future in enumerate(concurrent.futures.as_completed(running), 1):
            job = running[future]
            what = f"{job.model.name} on {job.stream.name} {job.seed}, delay {job.delay}"
            progress.update(bar, advance=1, description=what)
            if (error := future.exception()) is not None:
                failed.append(f"{what}: {type(error).__name__}: {error}")
                continue
            row = rows[of(key_of(job))] = future.result()
            if options.json:
                with options.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            if not console.is_terminal:
                console.print(f"{done}/{len(missing)} {what}: {row.get('error') or row.get('accuracy', row.get('r2'))}", markup=False)
    return [rows[key] for key in map(of, map(key_of, jobs)) if key in rows], failed


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well models do on many development streams, and what they cost.")
    parser.add_argument("--streams", type=Path, metavar="FOLDER", help="also run on its files NAME.csv.gz: features, then `target`")
    parser.add_argument("--aside", action="store_true", help="the streams that are kept aside; takes finished models, by --model")
    parser.add_argument("--stream", action="append", default=[], metavar="NAME", help="streams by name, * and ? allowed; may be repeated")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="models by name, in the same way")
    parser.add_argument("--maker", action="append", default=[], metavar="EXPRESSION", help="a model: EXPRESSION or NAME=EXPRESSION")
    parser.add_argument("--peers", action="store_true", help="also the peers, which are installed to build/peers")
    parser.add_argument("--delay", action="append", type=int, default=[], metavar="N", help="events until a label (0, 50 and 1000)")
    parser.add_argument("--seeds", type=int, metavar="N", help="at most so many seeds of a synthetic stream")
    parser.add_argument("--events-max", type=int, default=EVENTS, metavar="N", help="at most so many events of a stream (50,000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes; 1 to measure costs")
    parser.add_argument("--beside", default="first", metavar="NAME", help="the model that the others are held against (first)")
    parser.add_argument("--any-release", action="store_true", help="take rows that were measured with other code of this project's models")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the rows there, a line each, and do not run them again")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write there how good the models are against what they cost, as SVG")
    options = parser.parse_args(arguments)
    if min(options.jobs, options.events_max, options.seeds or 1) < 1 or min(options.delay, default=0) < 0:
        parser.error("--jobs, --events-max and --seeds take whole numbers of at least 1, --delay of at least 0")
    if options.streams is not None and not options.streams.is_dir():
        parser.error(f"--streams {options.streams} is not a folder; make it with python -m benchmarks.members_data FOLDER")
    if options.aside and not options.model:
        parser.error("--aside is for models that are finished: name them by --model")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; keep rows, write tables. 1 if a run failed."""
    options = options_of(arguments)
    console = Console(stderr=True)
    streams, passed_over = (aside_streams if options.aside else development_streams)(options.streams)
    for reason in passed_over:
        console.print(f"passed over {reason}", markup=False)
    streams = [stream for stream in streams if not options.stream or matches(stream.name, options.stream)]
    jobs = jobs_of(streams, models_asked_for(options, console), options)
    if not jobs:
        raise SystemExit("nothing to run: no stream or model has such a name")
    rows, failed = carry_out(jobs, options, console)
    for failure in failed:
        console.print(f"failed: {failure}", markup=False)
    if options.markdown:
        options.markdown.write_text(markdown(rows, options.beside))
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        for name, drawn in plots(rows).items():
            (options.plots / name).write_text(drawn)
    print(summary(rows, options.beside))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
