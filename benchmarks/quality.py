"""How well drift is dealt with, and at what cost: every reaction, the models that adapt by themselves, River's, and controls.

    python -m benchmarks.quality [--quick] [--streams FOLDER] [--only PATTERN ...] [--markdown FILE] [--plots FOLDER] [--json FILE]

Every policy answers each event before it learns it, through the shard that serves live. Accuracies and kappas are in per cent.

- `accuracy`, `kappa`, `kappa_temporal` (regression: `r2`, `mae`): over the whole stream;
- `after_drift`: accuracy (R2) in the 1,000 events after each known drift, a gradual one counted from its middle;
- `delay`: events from a drift to the first alarm for it, within 2,000 of its end; `false_alarms_per_10k`: every other alarm. An alarm
  is what a detector reported, or a part that a model replaced by itself; null where drifts are not known or there are no alarms;
- `replacements`: changes of the model that serves; for a mixture or an ensemble, of its members;
- `cpu_ratio`: CPU time over that of `none` on the same stream, seed and champion. Measure costs with `--jobs 1` on a quiet machine.

The same command gives the same figures, the costs apart.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fnmatch
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.quality_plots import score_against_cost, score_over_time
from benchmarks.quality_policies import champions, policies
from benchmarks.quality_runs import Job, Result, run
from benchmarks.quality_streams import SYNTHETIC, Stream, streams_of
from benchmarks.quality_tables import markdown, rows, summary

QUICK_EVENTS = 8_000
QUICK_STREAMS = ("sea_abrupt", "agrawal_abrupt", "friedman_gra")
QUICK_CHAMPIONS = 1
OVER_TIME = ("none", "Reset", "Challenge", "DRC(HDDMA)", "adaptive_classifier", "adaptive_regressor", "ARF10")


def jobs_of(streams: Sequence[Stream], options: argparse.Namespace) -> list[Job]:
    """What is to be run: stream by stream, so that a process reads each only once or twice; the slow ones first."""
    found: list[Job] = []
    for stream in streams:
        seeds = range(1 if options.quick else min(stream.seeds, options.seeds or stream.seeds))
        for seed in seeds:
            jobs = [Job(stream, seed, champion, policy, options.events_max) for champion, policy in pairs(stream.task, options)]
            found += jobs if any(job.policy != "none" for job in jobs) or asked(options, "none") else []
    return found


def pairs(task: str, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Champions and policies that were asked for, and what their costs are compared with."""
    names = list(champions(task))[: QUICK_CHAMPIONS if options.quick else None]
    found: list[tuple[str, str]] = []
    for policy in policies(task):
        wanted = asked(options, policy.name) and not (policy.slow and (options.quick or options.no_slow))
        around = names if policy.around else names[:1]
        found += [(name, policy.name) for name in around if policy.name == "none" or (wanted and asked_champion(options, name))]
    needed = {champion for champion, policy in found if policy != "none" or asked(options, "none")}
    return [pair for pair in found if pair[0] in needed and asked_champion(options, pair[0])]


def asked(options: argparse.Namespace, name: str) -> bool:
    """Whether a stream or a policy was asked for: of the patterns, all those that are of its kind."""
    return not options.only or any(fnmatch.fnmatchcase(name, pattern) for pattern in options.only)


def asked_champion(options: argparse.Namespace, name: str) -> bool:
    return not options.champion or any(fnmatch.fnmatchcase(name, pattern) for pattern in options.champion)


def carry_out(jobs: Sequence[Job], workers: int, console: Console) -> tuple[list[Result], list[str]]:
    """Run the jobs in processes of their own; the results in the order of the jobs, and what failed."""
    os.environ["PYTHONHASHSEED"] = "0"  # of the processes to come: a set of strings in some model must not decide a figure
    results: dict[int, Result] = {}
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")
    with (
        concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("quality", total=len(jobs))
        numbers = {pool.submit(run, job): number for number, job in enumerate(jobs)}
        for future in concurrent.futures.as_completed(numbers):
            job = jobs[numbers[future]]
            progress.update(bar, advance=1, description=f"{job.stream.name} {job.policy}")
            if (error := future.exception()) is not None:
                failed.append(f"{job.policy} around {job.champion} on {job.stream.name}: {type(error).__name__}: {error}")
                continue
            results[numbers[future]] = result = future.result()
            if result.refused:
                console.print(f"{job.policy} around {job.champion} refused {result.refused} events of {job.stream.name}", markup=False)
    return [results[number] for number in sorted(results)], failed


def streams_asked_for(options: argparse.Namespace, console: Console) -> list[Stream]:
    """The files of the folder, then the synthetic streams, of which a pattern may choose."""
    found: list[Stream] = []
    if options.streams is not None:
        if not options.streams.is_dir():
            raise SystemExit(f"--streams {options.streams} is not a folder; give one with files NAME.csv.gz, features then `target`")
        found, passed_over = streams_of(options.streams)
        for reason in passed_over:
            console.print(f"passed over {reason}", markup=False)
    synthetic = [stream for name, stream in SYNTHETIC.items() if not options.quick or name in QUICK_STREAMS]
    found += [stream for stream in synthetic if stream.name not in {each.name for each in found}]
    return [stream for stream in found if not options.stream or any(fnmatch.fnmatchcase(stream.name, each) for each in options.stream)]


def draw(results: Sequence[Result], folder: Path) -> None:
    """Write the plots there are figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    plots: dict[str, str | None] = {}
    for task in ("classification", "regression"):
        for number, plot in enumerate(score_against_cost(rows(results), regression=task == "regression"), 1):
            plots[f"{task}-cost" if number == 1 else f"{task}-cost-{number}"] = plot
    for stream in dict.fromkeys(result.stream for result in results if result.drifts):
        here = [result for result in results if result.stream == stream and result.seed == 0]
        shown = [result for result in here if result.champion == here[0].champion and result.policy in OVER_TIME]
        plots[f"{stream}-time"] = score_over_time(shown) if shown else None
    for name, drawn in plots.items():
        if drawn is not None:
            (folder / f"{name}.svg").write_text(drawn)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well drift is dealt with, and at what cost.")
    parser.add_argument("--quick", action="store_true", help="short streams, one seed and champion, without the slow ensembles")
    parser.add_argument("--streams", type=Path, metavar="FOLDER", help="also run on its files NAME.csv.gz: features, then `target`")
    parser.add_argument("--only", action="append", default=[], metavar="POLICY", help="policies by name, * and ? allowed; may be repeated")
    parser.add_argument("--stream", action="append", default=[], metavar="NAME", help="streams by name, in the same way")
    parser.add_argument("--champion", action="append", default=[], metavar="NAME", help="champions by name, in the same way")
    parser.add_argument("--no-slow", action="store_true", help="leave out the ensembles that cost over ten trees")
    parser.add_argument("--seeds", type=int, metavar="N", help="at most so many seeds of a synthetic stream")
    parser.add_argument("--events-max", type=int, metavar="N", help="at most so many events of a stream; drifts move in proportion")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes; all cores unless told, 1 to measure costs"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the plots there, as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or (options.events_max is not None and options.events_max < 1) or (options.seeds is not None and options.seeds < 1):
        parser.error("--jobs, --events-max and --seeds take whole numbers of at least 1")
    if options.quick:
        options.events_max = min(options.events_max or QUICK_EVENTS, QUICK_EVENTS)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; write tables, plots and rows. 1 if a run failed."""
    options = options_of(arguments)
    console = Console(stderr=True)
    jobs = jobs_of(streams_asked_for(options, console), options)
    if not jobs:
        raise SystemExit("nothing to run: no stream, champion or policy has such a name")
    results, failed = carry_out(jobs, options.jobs, console)
    for failure in failed:
        console.print(f"failed: {failure}", markup=False)
    if options.json:
        options.json.write_text(json.dumps(rows(results), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results))
    if options.plots:
        draw(results, options.plots)
    print(summary(rows(results)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
