"""Finding a user's pipeline: what a target may look like, and what its author is told when it cannot be loaded."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.errors import PipelineError
from stream_retrain.loading import load_pipeline

HEAD = """\
from river import linear_model
from stream_retrain import Pipeline, Schema

def declared(name, task="binary"):
    schema = Schema(features={"x": float}, label="y")
    return Pipeline(name=name, task=task, source="t", schema=schema, model=linear_model.LogisticRegression())

"""
"""Seven lines; what a test adds begins on line 8."""


@pytest.fixture(autouse=True)
def _modules_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - before:
        if "river" not in name:
            del sys.modules[name]


def write(name: str, body: str, head: str = HEAD) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(head + body, encoding="utf-8")
    return file


def faults(target: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        load_pipeline(target)
    assert caught.value.where == target
    return list(caught.value.faults)


@pytest.mark.parametrize("target", ["flights.py", "flights.py:flights", "flights:flights", "flights", "./flights.py"])
def test_a_pipeline_is_found_in_a_file_and_in_a_module(target: str) -> None:
    write("flights.py", "flights = declared('flights')")
    assert load_pipeline(target).name == "flights"


def test_a_pipeline_is_found_in_a_module_of_a_package_that_imports_its_neighbours() -> None:
    write("team/__init__.py", "", head="")
    write("team/names.py", "NAME = 'flights'", head="")
    write("team/pipelines.py", "from .names import NAME\nfrom team import names\nfirst, second = declared(NAME), declared('other')")
    assert load_pipeline("team.pipelines:first").name == "flights"


def test_a_file_imports_its_neighbours_whatever_the_working_folder_is() -> None:
    write("team/names.py", "NAME = 'flights'", head="")
    write("team/flights.py", "from names import NAME\nflights = declared(NAME)")
    assert load_pipeline("team/flights.py").name == "flights"


def test_a_name_picks_one_of_several() -> None:
    write("two.py", "first, second = declared('a'), declared('b')")
    assert load_pipeline("two.py:second").name == "b"


def test_without_a_name_private_pipelines_and_second_names_do_not_count() -> None:
    write("one.py", "_base = declared('base')\nflights = declared('flights')\nmodel = flights")
    assert load_pipeline("one.py").name == "flights"


@pytest.mark.parametrize(
    ("target", "body", "fault"),
    [
        ("p.py", "", "no pipeline in it: write name = Pipeline(...) at its top level"),
        ("p.py", "a, b = declared('a'), declared('b')", "2 pipelines in it: say which, p.py:a or p.py:b"),
        ("p", "a, b = declared('a'), declared('b')", "2 pipelines in it: say which, p:a or p:b"),
        ("p.py:fligths", "flights = declared('f')", "no 'fligths' in it; did you mean 'flights'?"),
        ("p.py:zebra", "flights, other = declared('f'), declared('o')", "no 'zebra' in it; its pipelines are flights, other"),
        ("p.py:zebra", "", "no 'zebra' in it; it has no pipeline"),
        ("p.py:declared", "", "'declared' is not a Pipeline but of type function"),
        ("p.py", "def broken(:", "p.py, line 8: SyntaxError: invalid syntax"),
        ("p", "def broken(:", "p.py, line 8: SyntaxError: invalid syntax"),
        ("p.py", "undefined", "p.py, line 8: NameError: name 'undefined' is not defined"),
        ("p.py", "def f():\n    raise KeyError('k')\n\nf()", "p.py, line 9: KeyError: 'k'"),
        ("p.py", "import no_such_library", "p.py, line 8: ModuleNotFoundError: No module named 'no_such_library'"),
        ("p", "import no_such_library", "p.py, line 8: ModuleNotFoundError: No module named 'no_such_library'"),
        ("p.py", "raise SystemExit(3)", "p.py, line 8: SystemExit: 3"),
        ("p.py", "assert False", "p.py, line 8: AssertionError"),
    ],
)
def test_what_is_wrong_in_the_users_file_is_said_with_its_line(target: str, body: str, fault: str) -> None:
    write("p.py", body)
    assert faults(target) == [fault]


@pytest.mark.parametrize(
    ("neighbour", "fault"),
    [
        ("1 / 0", "p.py, line 8: ZeroDivisionError: division by zero (raised in neighbour.py, line 1)"),
        ("x = = 1", "p.py, line 8: SyntaxError: invalid syntax (raised in neighbour.py, line 1)"),
    ],
)
def test_a_fault_in_a_neighbour_is_told_with_both_lines(neighbour: str, fault: str) -> None:
    write("p.py", "import neighbour")
    write("neighbour.py", neighbour, head="")
    assert faults("p.py") == [fault]


def test_a_fault_in_a_library_called_by_the_file_is_told_with_both_lines() -> None:
    write("p.py", "import json\njson.loads('{')")
    (fault,) = faults("p.py")
    assert fault.startswith("p.py, line 9: JSONDecodeError: ")
    assert "decoder.py, line " in fault


def test_a_file_that_is_not_there_is_said_with_the_nearest_name() -> None:
    write("flights.py", "")
    here = Path.cwd()
    assert faults("fligths.py") == [f"{here}/fligths.py cannot be read: No such file or directory; did you mean 'flights.py'?"]
    assert faults("nowhere/a.py:a") == [f"{here}/nowhere/a.py cannot be read: No such file or directory"]


def test_a_module_that_is_not_there_is_not_mistaken_for_one_it_imports() -> None:
    write("team/__init__.py", "", head="")
    assert faults("nowhere.pipelines:a") == [f"no module 'nowhere', neither installed nor in {Path.cwd()}"]
    assert faults("team.pipelines:a") == [f"no module 'team.pipelines', neither installed nor in {Path.cwd()}"]


@pytest.mark.parametrize("target", ["pipelines/flights", "pipelines/flights.json:a", "", ":a", "a b:c", "3:a"])
def test_a_target_that_is_neither_file_nor_module_is_refused(target: str) -> None:
    (fault,) = faults(target)
    assert "is neither a Python file nor a module" in fault


def test_the_pipelines_own_faults_pass_through_under_the_target() -> None:
    write("p.py", "bad = declared('not a name', task='guessing')")
    found = faults("p.py:bad")
    assert len(found) >= 2
    assert any("not a name" in fault for fault in found)


def test_an_unchanged_file_is_loaded_once_and_a_changed_one_anew() -> None:
    write("p.py", "flights = declared('a')")
    first = load_pipeline("p.py")
    assert load_pipeline("p.py:flights") is first
    write("p.py", "flights = declared('b')")
    assert load_pipeline("p.py").name == "b"


def test_a_file_of_the_same_name_elsewhere_is_another_file() -> None:
    write("a/p.py", "flights = declared('a')")
    write("b/p.py", "flights = declared('b')")
    assert [load_pipeline("a/p.py").name, load_pipeline("b/p.py").name] == ["a", "b"]


OWN_CLASS = """
from river import base

class Own(base.Classifier):
    '''A model of the user's own.'''
    def learn_one(self, x, y): self.seen = y
    def predict_one(self, x): return True

flights = Pipeline(name="flights", task="binary", source="t", schema=Schema(features={"x": float}, label="y"), model=Own())
"""

UNPICKLE = (
    "import pickle, sys; from stream_retrain.loading import load_pipeline; load_pipeline(sys.argv[1]); print(pickle.load(sys.stdin.buffer))"
)


@pytest.mark.slow
def test_an_instance_of_a_users_class_is_found_again_by_another_process_that_loads_a_copy_elsewhere() -> None:
    write("here/my-flights.v2.py", OWN_CLASS)
    write("there/my-flights.v2.py", OWN_CLASS)
    model: Any = load_pipeline("here/my-flights.v2.py").model
    assert type(model).__module__ == "stream_retrain_user.my-flights_v2"
    # The folder that holds the package under test, wherever it is installed.
    root = Path(sys.modules["stream_retrain.loading"].__file__ or "").parent.parent
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLE, str(Path("there/my-flights.v2.py").absolute())],
        input=pickle.dumps(model),
        capture_output=True,
        cwd=root,
        check=True,
    )
    assert done.stdout.decode().strip() == "Own"


def test_a_file_that_fails_leaves_the_one_loaded_before_in_its_place() -> None:
    write("p.py", OWN_CLASS)
    model = load_pipeline("p.py").model
    write("p.py", "1 / 0")
    faults("p.py")
    assert type(pickle.loads(pickle.dumps(model))) is type(model)


def test_what_was_made_by_the_file_before_it_changed_does_not_pickle_as_the_new_one() -> None:
    write("p.py", OWN_CLASS)
    model = load_pipeline("p.py").model
    write("p.py", OWN_CLASS + "\n# changed")
    load_pipeline("p.py")
    with pytest.raises(pickle.PicklingError, match="not the same object"):
        pickle.dumps(model)
