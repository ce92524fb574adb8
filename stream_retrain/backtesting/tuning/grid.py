"""A grid: which settings of a pipeline are tried with which values, and how.

In TOML, or as a mapping of the same shape:

    strategy = "halving"            # or "grid", or "optuna"
    training_part = 0.6             # the share of the records by which trials are ranked
    trials_max = 100                # of a grid the most combinations it may have, with optuna how many trials there are
    seed = 1                        # of optuna

    [grid]
    "watch[0].detector.delta" = [0.002, 0.02, 0.2]
    "react[0].do.evidence.alpha" = {low = 0.01, high = 0.2, log = true}     # with optuna
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any, Final

from stream_retrain.backtesting.tuning.paths import Path, fits, path_of, setting_at
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import SettingsError

__all__ = ["STRATEGIES", "Grid", "Range", "load_grid"]

STRATEGIES: Final = ("grid", "halving", "optuna")
TRIALS_MAX: Final = 10_000
FILE_BYTES_MAX: Final = 1_000_000
_OPTIONS: Final = ("strategy", "training_part", "trials_max", "seed", "grid")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Every number between two, for optuna; whole ones where both ends are, and evenly by their logarithms where `log` is true."""

    low: float
    high: float
    log: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is tried, and how."""

    settings: Mapping[str, tuple[Any, ...] | Range]
    """By path."""
    strategy: str = "grid"
    training_part: float = 0.6
    trials_max: int = 100
    seed: int = 1

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Every combination of the values, the last setting changing first."""
        lists = [each for each in self.settings.values() if isinstance(each, tuple)]
        for values in itertools.product(*lists):
            yield dict(zip(self.settings, values, strict=True))


def load_grid(given: str | File | Mapping[str, Any], pipeline: Pipeline) -> Grid:
    """The grid of a file, or as a mapping, for a pipeline. Raises `SettingsError` with every fault."""
    where, told = ("grid", dict(given)) if isinstance(given, Mapping) else (str(given), _read(File(given)))
    faults = [
        *(f"unknown option {name!r}{_near(name)}" for name in told if name not in _OPTIONS),
        *_option_faults(told),
        *_grid_faults(told, pipeline),
    ]
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise SettingsError(f"{where} has {len(faults)} fault{'s' if len(faults) != 1 else ''}:\n{listed}")
    settings = {path: Range(**values) if isinstance(values, Mapping) else tuple(values) for path, values in told.pop("grid").items()}
    grid = Grid(settings=settings, **told)
    count = math.prod(len(each) for each in settings.values() if isinstance(each, tuple))
    if grid.strategy != "optuna" and count > grid.trials_max:
        raise SettingsError(
            f"{where} has {count:,} combinations, more than trials_max = {grid.trials_max:,}; leave values out, raise trials_max,"
            ' or use strategy = "optuna", which tries some of them'
        )
    return grid


def _read(file: File) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise SettingsError(f"{file}: it is larger than {FILE_BYTES_MAX:,} bytes, so it is no grid")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise SettingsError(f"{file}: it cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: it is not TOML: {error}") from None


def _near(name: str) -> str:
    near = difflib.get_close_matches(str(name), _OPTIONS, n=1)
    return f" (did you mean {near[0]!r}?)" if near else f"; there is {', '.join(_OPTIONS)}"


def _option_faults(told: Mapping[str, Any]) -> Iterator[str]:
    strategy, part = told.get("strategy", "grid"), told.get("training_part", 0.6)
    if strategy not in STRATEGIES:
        yield f"strategy is {strategy!r}; use one of {', '.join(STRATEGIES)}"
    if type(part) is not float or not 0 < part < 1:
        yield f"training_part is {part!r}; use a share above 0 and below 1, such as 0.6"
    if type(most := told.get("trials_max", 1)) is not int or not 1 <= most <= TRIALS_MAX:
        yield f"trials_max is {most!r}; use a whole number from 1 to {TRIALS_MAX:,}"
    if type(seed := told.get("seed", 0)) is not int or not 0 <= seed < 2**32:
        yield f"seed is {seed!r}; use a whole number from 0 to {2**32 - 1}"


def _grid_faults(told: Mapping[str, Any], pipeline: Pipeline) -> Iterator[str]:
    given = told.get("grid")
    if not isinstance(given, Mapping) or not given:
        yield 'it has no table [grid] with settings to try, such as "watch[0].detector.delta" = [0.002, 0.02]'
        return
    seen: dict[Path, str] = {}
    for text, values in given.items():
        try:
            path = path_of(str(text))
            current, declared = setting_at(pipeline, path)
        except ValueError as error:
            hint = f"; the option {text!r} stands above [grid]" if text in _OPTIONS else ""
            yield f"{text!r}: {error}{hint}"
            continue
        for other, name in seen.items():
            if path[: len(other)] == other or other[: len(path)] == path:
                yield f"{text!r} and {name!r} change the same setting; leave one out"
        seen[path] = text
        if isinstance(values, Mapping):
            faults = _range_faults(values, current, declared, told.get("strategy", "grid"))
        else:
            faults = _list_faults(values, current, declared)
        yield from (f"{text!r}: {fault}" for fault in faults)


def _list_faults(values: Any, current: Any, declared: str) -> Iterator[str]:
    if not isinstance(values, list | tuple):
        yield f"{values!r} is not a list of values to try; write [{values!r}]"
        return
    if not values:
        yield "the list is empty; give the values to try"
    for number, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{value!r} is not a number that can be tried"
        elif not fits(value, current, declared):
            yield f"{value!r} is of the wrong type; {_now(current, declared)}"
        elif any(type(other) is type(value) and other == value for other in values[:number]):
            yield f"{value!r} stands there twice"


def _now(current: Any, declared: str) -> str:
    """What a setting is, in words."""
    if current is not None and not isinstance(current, bool | int | float | str | list | tuple):
        return f"it is {type(current).__name__}, of which single settings can be tried"
    return f"it is {current!r} now{f', declared as {declared}' if declared else ''}"


def _range_faults(values: Mapping[str, Any], current: Any, declared: str, strategy: Any) -> Iterator[str]:
    if strategy != "optuna":
        yield f'a range is for strategy = "optuna"; give a list of values to strategy {strategy!r}'
    low: Any = values.get("low")
    high: Any = values.get("high")
    log = values.get("log", False)
    if unknown := [name for name in values if name not in ("low", "high", "log")]:
        yield f"a range has low, high and log, and no {', '.join(map(repr, unknown))}"
    if not (_is_number(low) and _is_number(high) and low < high):
        yield f"low is {low!r} and high is {high!r}; use two numbers, the lower one first"
        return
    if type(log) is not bool:
        yield f"log is {log!r}; use true or false"
    elif log and low <= 0:
        yield f"low is {low!r}; with log = true use numbers above 0"
    if not fits(low, current, declared) or not fits(high, current, declared):
        yield f"a range of numbers is of the wrong type; {_now(current, declared)}"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
