"""The digest of the user's code: another one exactly when that code is another."""

from __future__ import annotations

from pathlib import Path

from stream_retrain.codec.sources import edited, source_files, sources_digest
from stream_retrain.loading import load_pipeline

OWN = """
from river import linear_model
from stream_retrain import Pipeline, Schema
{imported}
class Mine(linear_model.LogisticRegression):
    def learn_one(self, x, y):
        {body}
        super().learn_one(x, y)
p = Pipeline(name="p", task="binary", source="s", schema=Schema(id="id", label="y", features={{"a": float}}), model=Mine())
"""


def digest_of(folder: Path, body: str, imported: str = "") -> tuple[str, str]:
    (folder / "own.py").write_text(OWN.format(body=body, imported=imported))
    pipeline = load_pipeline(str(folder / "own.py"))
    return pipeline.digest(), sources_digest(pipeline)


def test_a_method_that_was_edited_changes_it_though_the_declaration_is_the_same(tmp_path: Path) -> None:
    before, after, again = (digest_of(tmp_path, body) for body in ("pass", "x = dict(x)", "pass"))
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before == again


def test_it_is_of_the_code_alone_and_not_of_where_it_stands(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert digest_of(one, "pass") == digest_of(other, "pass")


def test_a_neighbour_that_the_code_uses_is_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_own.py").write_text("FACTOR = 1\n")
    assert digest_of(tmp_path, "pass", "import neighbour_of_own")[1] != digest_of(tmp_path, "pass")[1]


def test_which_file_was_edited_can_be_told_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_told.py").write_text("FACTOR = 1\n")
    (tmp_path / "told.py").write_text(OWN.format(body="pass", imported="import neighbour_of_told"))
    files = source_files(load_pipeline(str(tmp_path / "told.py")))
    assert set(files) == {str(tmp_path / "told.py"), str(tmp_path / "neighbour_of_told.py")}
    assert edited(files) is None
    (tmp_path / "neighbour_of_told.py").write_text("raise SystemExit\n")
    assert edited(files) == str(tmp_path / "neighbour_of_told.py")
    (tmp_path / "neighbour_of_told.py").unlink()
    assert edited(files) == str(tmp_path / "neighbour_of_told.py")


def test_pipelines_of_river_alone_have_the_same(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        OWN.format(body="pass", imported="").replace("model=Mine()", "model=linear_model.LogisticRegression()")
    )
    (tmp_path / "plain2.py").write_text((tmp_path / "plain.py").read_text() + "# a comment\n")
    one, other = (sources_digest(load_pipeline(str(tmp_path / name))) for name in ("plain.py", "plain2.py"))
    assert one == other
