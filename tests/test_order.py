"""The order in which files of tests are begun."""

from __future__ import annotations

import pytest

from tests.order import in_order

pytest_plugins = ["pytester"]
LONG = "@pytest.mark.services\n@pytest.mark.slow\ndef test_{}(): pass\n"
SHORT = "@pytest.mark.services\ndef test_{}(): pass\n"
QUICK = "def test_{}(): pass\n"


def collected(pytester: pytest.Pytester, **files: str) -> list[pytest.Item]:
    pytester.makeini("[pytest]\nmarkers = services\n  slow")
    paths = pytester.makepyfile(**{f"test_{name}": "import pytest\n" + text for name, text in files.items()})
    assert paths.parent == pytester.path
    items, _ = pytester.inline_genitems()
    return items


def files(items: list[pytest.Item]) -> list[str]:
    return list(dict.fromkeys(item.nodeid.partition("::")[0].removeprefix("test_").removesuffix(".py") for item in items))


def test_the_longest_come_first_and_the_quick_between(pytester: pytest.Pytester) -> None:
    items = collected(
        pytester,
        a=QUICK.format("a"),
        b=SHORT.format("a") + SHORT.format("b"),
        c=QUICK.format("a") + QUICK.format("b"),
        d=SHORT.format("a"),
        e=LONG.format("a") + QUICK.format("b"),
        f="@pytest.mark.slow\ndef test_a(): pass\n",
    )
    assert files(items) == ["a", "b", "c", "d", "e", "f"]
    assert files(in_order(items)) == ["e", "f", "b", "c", "d", "a"]


def test_the_tests_of_a_file_stay_together_and_in_their_order_and_none_is_lost(pytester: pytest.Pytester) -> None:
    items = collected(pytester, a=QUICK.format("b") + LONG.format("a"), b=SHORT.format("c"), c=QUICK.format("a"))
    ordered = in_order(items)
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    assert [item.nodeid for item in ordered if "test_a.py" in item.nodeid] == ["test_a.py::test_b", "test_a.py::test_a"]
    assert files(ordered) == ["a", "c", "b"]
