"""How the files of the streams that are kept aside are made, see `benchmarks.members_aside`; `python -m benchmarks.members_data` does it.

None of them has the data of a development stream. What is left out of them says the target, is known only later than it, or names the
row. Rows of a year, a month or a week are in an order by chance within it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.members_packages import EVENTS_MAX, Packages, Table, frame_of, from_frame, in_time, shuffled, without_header
from benchmarks.members_r import Frame

__all__ = ["FILES", "FOLDER", "SIZES", "likes", "stops", "tweets"]

FOLDER: Final = "aside"
LIKED_MIN: Final = 4.0
PER: Final = 100_000
RATINGS: Final = tuple(f"r{place}" for place in range(1, 11))
SUMMANDS: Final = ("casual", "registered")
DEVICES: Final = {"Twitter Web Client": "web", "Twitter for Android": "android", "Twitter for iPhone": "iphone"}


def keel(packages: Packages, name: str) -> Table:
    return shuffled(without_header(packages.keel(name)))


def first(table: Table) -> Table:
    return Table(table.header, table.rows[:EVENTS_MAX])


def by_chance_in(table: Table, *names: str) -> Table:
    """In the order of a time that many rows have in common: within it in an order by chance, because theirs means nothing."""
    return in_time(shuffled(table), *names)


def columns(frame: Frame, names: Sequence[str]) -> Frame:
    return {name: frame[name] for name in names}


def moment(seconds: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(float(seconds), datetime.UTC)


def stops(frame: Frame) -> Table:
    """What the police of a city stopped people for, in a year: traffic, or that they were suspicious."""
    at = [moment(cell) for cell in frame["date"]]
    made: Frame = {
        "month": [str(time.month) for time in at],
        "weekday": [str(time.weekday()) for time in at],
        "hour": [str(time.hour) for time in at],
    }
    made |= columns(frame, ("date", "MDC", "personSearch", "vehicleSearch", "lat", "long", "policePrecinct", "neighborhood", "problem"))
    table = in_time(from_frame(made, "problem"), "date")
    place = table.header.index("date")
    return first(Table(without(table.header, place), [without(row, place) for row in table.rows]))


def without(row: list[str], place: int) -> list[str]:
    return row[:place] + row[place + 1 :]


def tweets(frame: Frame) -> Table:
    """Which device a man's messages came from, over eight years, from when they came and what they look like."""
    rows = []
    for seconds, text, source in sorted(
        zip(frame["created_at"], frame["text"], frame["source"], strict=True), key=lambda row: float(row[0])
    ):
        at, letters = moment(seconds), [letter for letter in text if letter.isalpha()]
        capitals = sum(letter.isupper() for letter in letters) / max(1, len(letters))
        counts = (len(re.findall(mark, text)) for mark in ("http", "#", "@", "!", r"\s+"))
        begins = "quote" if text.startswith(('"', "“")) else "mention" if text.startswith(("@", ".@")) else "word"
        cells = [at.weekday(), at.hour, len(text), round(capitals, 4), *counts, begins, DEVICES.get(source, "other")]
        rows.append([str(cell) for cell in cells])
    names = ["weekday", "hour", "letters", "capitals", "links", "topics", "mentions", "cries", "spaces", "begins", "target"]
    return Table(names, rows)


def likes(frame: Frame) -> Table:
    """Whether a film is liked: who saw it, how old it was, and of which kinds it is; in the order of the ratings."""
    places = sorted(
        (place for place, year in enumerate(frame["year"]) if year), key=lambda place: (float(frame["timestamp"][place]), place)
    )
    kinds = sorted({kind for cell in frame["genres"] for kind in cell.split("|") if kind[0].isalpha()})
    rows = []
    for place in places[:EVENTS_MAX]:
        of, at = {*frame["genres"][place].split("|")}, moment(frame["timestamp"][place])
        seen = [f"user{frame['userId'][place]}", frame["year"][place], str(at.year - int(float(frame["year"][place])))]
        flags = [str(int(kind in of)) for kind in kinds]
        rows.append([*seen, *flags, "liked" if float(frame["rating"][place]) >= LIKED_MIN else "not"])
    return Table(["user", "year", "age", *kinds, "target"], rows)


def diseases(frame: Frame) -> Table:
    """Cases for 100,000 people, of a disease in a state, year by year."""
    known = [place for place, people in enumerate(frame["population"]) if people]
    rates = [str(round(float(frame["count"][place]) / float(frame["population"][place]) * PER, 4)) for place in known]
    made = {name: [frame[name][place] for place in known] for name in ("disease", "state", "year", "weeks_reporting", "population")}
    return by_chance_in(from_frame(made | {"rate": rates}, "rate"), "year")


def rides(frame: Frame) -> Table:
    """How many get on the underground at a station, day by day: who did elsewhere two weeks before, the weather, and who plays at home."""
    at = [moment(str(float(day) * 86_400)) for day in frame["date"]]
    made = {"month": [str(time.month) for time in at], "weekday": [str(time.weekday()) for time in at]}
    return from_frame(made | frame, "ridership", leave_out=("date",))


def films(frame: Frame) -> Table:
    """50,000 films by the year they are of, and how they are rated."""
    chosen = first(shuffled(from_frame(frame, "rating", leave_out=("title", *RATINGS))))
    return in_time(chosen, "year")


FILES: Final[dict[str, Callable[[Packages], Table]]] = {
    "telescope": lambda has: keel(has, "balanced/magic"),
    "pen_digits": lambda has: keel(has, "balanced/penbased"),
    "optical_digits": lambda has: keel(has, "balanced/optdigits"),
    "texture": lambda has: keel(has, "balanced/texture"),
    "phoneme": lambda has: keel(has, "balanced/phoneme"),
    "ring": lambda has: keel(has, "balanced/ring"),
    "twonorm": lambda has: keel(has, "balanced/twonorm"),
    "mushrooms": lambda has: keel(has, "balanced/mushroom"),
    "chess": lambda has: keel(has, "balanced/chess"),
    "page_blocks": lambda has: keel(has, "imbalanced/page-blocks0"),
    "old_abalones": lambda has: keel(has, "imbalanced/abalone19"),
    "stops": lambda has: stops(has.r("r-cran-cardata", "MplsStops")),
    "tweets": lambda has: tweets(has.r("r-cran-dslabs", "trump_tweets")),
    "likes": lambda has: likes(has.r("r-cran-dslabs", "movielens")),
    "storms": lambda has: from_frame(
        columns(has.r("r-cran-dplyr", "storms"), ("month", "hour", "lat", "long", "pressure", "status")), "status"
    ),
    "defaults": lambda has: shuffled(from_frame(frame_of(has.islp("Default")), "default")),
    "loans": lambda has: shuffled(from_frame(has.r("r-cran-modeldata", "lending_club"), "Class")),
    "credit": lambda has: shuffled(from_frame(has.r("r-cran-modeldata", "credit_data"), "Status")),
    "leavers": lambda has: shuffled(from_frame(has.r("r-cran-modeldata", "wa_churn"), "churn")),
    "computing_jobs": lambda has: shuffled(from_frame(has.r("r-cran-modeldata", "hpc_data"), "class")),
    "hires": lambda has: from_frame(frame_of(has.islp("Bikeshare")), "bikers", leave_out=SUMMANDS),
    "nitrogen": lambda has: from_frame(has.r("r-cran-robustbase", "NOxEmissions"), "LNOx"),
    "rides": lambda has: rides(has.r("r-cran-modeldata", "Chicago")),
    "diseases": lambda has: diseases(has.r("r-cran-dslabs", "us_contagious_diseases")),
    "lives": lambda has: by_chance_in(from_frame(has.r("r-cran-dslabs", "gapminder"), "life_expectancy"), "year"),
    "runs": lambda has: by_chance_in(from_frame(has.r("r-cran-plyr", "baseball"), "r", leave_out=("id",)), "year"),
    "films": lambda has: films(has.pydataset("ggplot2/movies")),
    "computers": lambda has: by_chance_in(from_frame(has.pydataset("Ecdat/Computers"), "price"), "trend"),
    "food": lambda has: shuffled(from_frame(has.pydataset("Ecdat/BudgetFood"), "wfood")),
    "checks": lambda has: shuffled(from_frame(has.r("r-cran-modeldata", "check_times"), "check_time", leave_out=("package", "status"))),
}
SIZES: Final = {
    "telescope": (19_020, 10),
    "pen_digits": (10_992, 16),
    "optical_digits": (5_620, 64),
    "texture": (5_500, 40),
    "phoneme": (5_404, 5),
    "ring": (7_400, 20),
    "twonorm": (7_400, 20),
    "mushrooms": (5_644, 22),
    "chess": (3_196, 36),
    "page_blocks": (5_472, 10),
    "old_abalones": (4_174, 8),
    "stops": (50_000, 10),
    "tweets": (20_761, 10),
    "likes": (50_000, 22),
    "storms": (11_859, 5),
    "defaults": (10_000, 3),
    "loans": (9_857, 22),
    "credit": (4_454, 13),
    "leavers": (7_043, 19),
    "computing_jobs": (4_331, 7),
    "hires": (8_645, 12),
    "nitrogen": (8_088, 3),
    "rides": (5_698, 50),
    "diseases": (15_851, 5),
    "lives": (10_545, 8),
    "runs": (21_699, 20),
    "films": (50_000, 12),
    "computers": (6_259, 9),
    "food": (23_972, 5),
    "checks": (13_626, 22),
}
"""How many events a file has, and features."""
