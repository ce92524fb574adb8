"""The models on the status page, in a real browser: which one served when, what is known of each, and what nobody knows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.worker import StoreLost
from stream_retrain.views.fleet import FleetView
from stream_retrain.views.http import Pages, serve, serve_at
from tests.backtesting.browser import Browser, find_chromium
from tests.views.made import NASTY, MadeWorker
from tests.views.test_page import count, press, text_of, visit
from tests.views.versions import generations, trained

pytestmark = pytest.mark.slow

SHOWN = "!document.getElementById('models-body').hidden"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(find_chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def worker() -> MadeWorker:
    """Two shards that have had seven generations each."""
    made = MadeWorker(2, seconds_ago=10)
    made.run(10)
    made.know(7, reason=f"it was better {NASTY}")
    made.run(1)
    return made


@pytest.fixture
def page(browser: Browser, worker: MadeWorker) -> Iterator[Browser]:
    with serve("127.0.0.1", 0, worker.pages()) as server:
        yield models_of(browser, server.url)


def models_of(browser: Browser, url: str, **screen: Any) -> Browser:
    visit(browser, url, **screen)
    browser.until(SHOWN)
    return browser


def cells(page: Browser, row: int) -> list[str]:
    found: list[str] = page.run(f"[...document.querySelectorAll('#versions > tbody > tr:not(.more)')][{row}].innerText.split('\\t')")
    return [each.strip() for each in found]


def of(version: str) -> str:
    """The button of a version."""
    return f'[...document.querySelectorAll("#versions .open")].find((each) => each.innerText === "{version}")'


def test_it_shows_which_model_served_when_and_how_it_came(page: Browser) -> None:
    assert page.said == []
    assert text_of(page, "#served .told").split("\n") == ["Partition 0", "0-g6, won a duel"]
    looks = page.run("[...document.querySelector('#served svg').querySelectorAll('.served')].map((each) => each.classList[1])")
    assert looks == ["other", "promotion", "hand", "drift", "reset", "duel", "asked"]
    legend = text_of(page, "#served-legend").split("\n")
    assert legend[0] == "won a duel (drift, limit, rematch)"
    assert len(legend) == 7
    first = page.run("document.querySelector('#served .bar-of').getBoundingClientRect().width")
    widest = page.run("document.querySelector('#served .line').clientWidth")
    assert widest / 7.5 < first < widest / 5.5, "each served as long as the others, the last one has just begun"


def test_the_newest_stand_first_with_their_aliases_quality_and_who_asked(page: Browser) -> None:
    assert count(page, "#versions > tbody > tr:not(.more)") == 12
    assert [cells(page, row)[0].split()[0] for row in (0, 1, 2)] == ["0-g6", "1-g6", "0-g5"]
    version, how, _, until, why, quality, events, copy = cells(page, 0)
    assert version.split() == ["0-g6", "champion"]
    assert (how, until, why.partition(",")[0]) == ("won a duel", "serves now", "request")
    assert quality.partition(" (")[0] != "Accuracy 0.900", "that of now, and not what was written down"
    assert quality.endswith("(before: 0.810)")
    assert (events, copy) == ("0", "2.7 kB")
    choose(page, "models-of", "0")
    assert [cells(page, row)[0].split()[0] for row in range(7)] == [f"0-g{number}" for number in range(6, -1, -1)]
    rolled_back = cells(page, 3)
    assert rolled_back[1] == "rolled back"
    assert rolled_back[4].endswith("asked by cli:ann")
    assert text_of(page, "#models-cut") == ""


def test_a_row_opens_all_that_is_known_and_what_people_wrote_is_text(page: Browser) -> None:
    page.run(f"{of('1-g2')}.focus()")
    press(page, "Enter")
    page.until(f"{of('1-g2')}.getAttribute('aria-expanded') === 'true'")
    told = text_of(page, "#version-1-1-g2")
    for each in (NASTY, "cli:ann", "8f3c", "1-g1 ← 1-g0", "offset 1,800", "ab" * 32, "river 0.26.1", "900 labelled events", "0.8100"):
        assert each in told
    assert page.run("window.pwned === undefined && document.images.length === 0")
    press(page, "Enter")
    page.until("document.getElementById('version-1-1-g2').hidden")
    page.run(f"{of('1-g6')}.click()")
    assert "Duel 6" in text_of(page, "#version-1-1-g6")
    assert "64.00" in text_of(page, "#version-1-1-g6")


def test_keys_read_the_generations_and_open_one(page: Browser) -> None:
    page.run("document.querySelector('#served svg').focus()")
    assert text_of(page, "#served-read").startswith("Partition 0, 0-g6: won a duel (request")
    press(page, "Home")
    press(page, "ArrowRight")
    said = page.run("document.querySelector('#served svg').getAttribute('aria-valuetext')")
    assert said.startswith("0-g1: won a duel (drift:error), from ")
    assert page.run("document.querySelector('#served .chosen').dataset.id") == "0-g1"
    press(page, "Enter")
    assert page.run("document.activeElement.innerText") == "0-g1"
    assert "drift:error" in text_of(page, "#version-0-0-g1")
    nodes = [each for each in page.call("Accessibility.getFullAXTree")["nodes"] if not each.get("ignored")]
    nameless = [
        each["role"]["value"]
        for each in nodes
        if each["role"]["value"] in ("button", "slider", "combobox", "list") and not each["name"]["value"]
    ]
    assert nameless == []


def test_what_is_new_arrives_and_what_is_not_written_down_is_said(page: Browser, worker: MadeWorker) -> None:
    asked = [url for url in page.asked if url.endswith("/models")]
    assert len(asked) == 1, "nothing is new"
    worker.know(8, unwritten=1)
    worker.tell(StoreLost(error="it does not answer"))
    page.until(f"{of('1-g7')}")
    assert text_of(page, "#models-unwritten").startswith("Redis is away. What is shown is what this worker knows; 2 versions of it are not")


def test_of_many_shards_and_versions_the_newest_are_shown_on_any_screen(browser: Browser) -> None:
    made = MadeWorker(64, seconds_ago=3)
    made.run(3)
    made.know(200)
    with serve("127.0.0.1", 0, made.pages()) as server:
        for width, dark in ((1280, False), (360, True)):
            page = models_of(browser, server.url, width=width, touch=width < 400, dark=dark)
            assert page.run("document.documentElement.scrollWidth") == width
            assert (count(page, "#served li"), count(page, "#versions > tbody > tr:not(.more)")) == (12, 12)
            assert "Of 64 partitions only the newest 25 versions are here" in text_of(page, "#models-cut")
        page.run("document.getElementById('served-more').click()")
        page.run("document.getElementById('versions-more').click()")
        assert (count(page, "#served li"), count(page, "#versions > tbody > tr:not(.more)")) == (64, 62)
        page.run(f"{of('9-g199')}.click()")
        assert page.run("document.documentElement.scrollWidth") == 360
        assert page.said == []


def test_where_nothing_is_known_it_says_so(browser: Browser) -> None:
    made = MadeWorker(2, seconds_ago=3)
    made.run(3)
    with serve("127.0.0.1", 0, made.pages()) as server:
        page = visit(browser, server.url)
        page.until("document.getElementById('models-none').innerText.startsWith('No version is known yet')")
        assert page.run("document.getElementById('models-body').hidden && document.getElementById('models-controls').hidden")


def test_the_shards_of_all_workers_of_a_parent_are_there(browser: Browser, tmp_path: Path) -> None:
    sockets = [tmp_path / str(number) for number in range(2)]
    fleet = FleetView(sockets, lambda: (1, 1))
    shown = {"status": fleet.status, "history": fleet.history, "models": fleet.models}
    pages = Pages(metrics=fleet.metrics, healthy=fleet.healthy, ready=fleet.ready, **shown)
    workers = [MadeWorker(1, first=number, total=2, seconds_ago=3) for number in range(2)]
    for made in workers:
        made.run(3)
        made.know(3)
    with serve_at(sockets[0], workers[0].pages()), serve_at(sockets[1], workers[1].pages()), serve("127.0.0.1", 0, pages) as server:
        page = models_of(browser, server.url)
        assert page.run("[...document.querySelectorAll('#served .of')].map((each) => each.innerText)") == ["Partition 0", "Partition 1"]
        later = generations(workers[1].shards[0].id, 4, began_s=workers[1].now_s - 60)
        workers[1].tell(VersionsKnown(shard=workers[1].shards[0].id, versions=tuple(later[2:])))
        page.until(f"{of('1-g3')}")


@pytest.mark.parametrize(
    ("came", "cause", "way"),
    [
        ("lead", "drift:error", "drift"),
        ("lead", "rematch", "drift"),
        ("lead", "below:Accuracy:0.7", "drift"),
        ("lead", "any(drift:error, every:700_events)", "drift"),
        ("lead", "every:2500_events", "schedule"),
        ("lead", "cron:0 3 * * * UTC", "schedule"),
        ("lead", "request", "request"),
        ("promoted", "request", "hand"),
        ("rolled_back", "request", "back"),
        ("reset", "drift:error", "reset"),
        ("warm", "warm", "began"),
        ("restored", "checkpoint", "began"),
        ("of a later release", "", "began"),
    ],
)
def test_how_a_generation_came_says_its_colour(page: Browser, came: str, cause: str, way: str) -> None:
    version = json.dumps({"came": came, "cause": cause})
    assert page.run(f"import('/timeline.js').then((timeline) => timeline.wayOf({version}))") == way


@pytest.mark.parametrize(("range_s", "labels"), [(50, ":"), (7_200, ":"), (3 * 86_400, " "), (90 * 86_400, " ")])
def test_the_axis_names_days_where_it_spans_some(page: Browser, range_s: int, labels: str) -> None:
    found = page.run(f"""Promise.all([import('/timeline.js'), import('/chart.js')]).then(([timeline, chart]) => {{
        const box = chart.svg("svg");
        timeline.axis(box, {{ width: 900, from: 1767225600 - {range_s}, to: 1767225600 }});
        return [...box.querySelectorAll("text")].map((each) => each.textContent);
    }})""")
    assert 2 <= len(found) <= 10
    assert len(set(found)) == len(found)
    assert all(labels in each for each in found)
    assert any(month in found[0] for month in ("Oct", "Dec")) == (range_s > 86_400)


def test_the_table_shows_what_is_chosen(browser: Browser) -> None:
    made = MadeWorker(1, seconds_ago=3)
    made.run(3)
    shard = made.shards[0].id
    raced = [trained(shard, number, after_s=10.0 * number) for number in range(3)]
    waits = dataclasses.replace(raced[0], id="0-t3", training=3, ended=None, ended_by=None, duel=None, standings=())
    races = dataclasses.replace(raced[0], id="0-t4", training=4, ended=None, ended_by=None, standings=())
    failed = dataclasses.replace(raced[0], id="0-t5", training=5, ended_by="failed", error="no rows", standings=())
    served = generations(shard, 3)
    made.tell(VersionsKnown(shard=shard, versions=(*served, *raced, waits, races, failed), whole=True))
    with serve("127.0.0.1", 0, made.pages()) as server:
        page = models_of(browser, server.url)
        assert page.run("document.getElementById('models-of-label').hidden"), "of one partition there is nothing to choose"
        choose(page, "models-kind", "served")
        assert ids_shown(page) == ["0-g2", "0-g1", "0-g0"]
        choose(page, "models-kind", "trained")
        assert ids_shown(page) == ["0-t2", "0-t1", "0-t5", "0-t4", "0-t3", "0-t0"]
        until = {cells(page, row)[0].split()[0]: cells(page, row)[3].rpartition(", ")[2] for row in range(6)}
        assert {each: until[each] for each in ("0-t0", "0-t3", "0-t4", "0-t5")} == {
            "0-t0": "rejected",
            "0-t3": "in training or waiting to race",
            "0-t4": "races now",
            "0-t5": "failed",
        }
        assert cells(page, 0)[5] == "loss 0.125, champion 0.250"
        page.run(f"{of('0-t5')}.click()")
        assert "no rows" in text_of(page, "#version-0-0-t5")
        assert "the last 500 rows" in text_of(page, "#version-0-0-t5")
        assert page.run("document.querySelectorAll('#served .served').length") == 3, "a training serves nothing"
        choose(page, "models-span", "3600")
        assert page.run("document.querySelectorAll('#served .served').length") == 1, "the others ended long ago"


def test_a_worker_that_cannot_tell_its_versions_is_asked_again_and_the_rest_of_the_page_goes_on(browser: Browser) -> None:
    made, broken = MadeWorker(1, seconds_ago=3), [True]
    made.run(3)
    made.know(2)

    def told() -> object:
        if broken[0]:
            raise RuntimeError("not now")
        return made.models.snapshot()

    with serve("127.0.0.1", 0, made.pages(models=told)) as server:
        page = visit(browser, server.url)
        page.until("document.getElementById('models-none').innerText === 'The worker has not told its versions. It is asked again.'")
        assert text_of(page, "#pipeline") == "flights"
        broken[0] = False
        page.until(SHOWN)
        broken[0] = True
        made.know(3)
        page.until("document.getElementById('models-none').innerText.startsWith('The worker has told nothing of its versions since ')")
        assert ids_shown(page) == ["0-g1", "0-g0"], "what was known stays"


def choose(page: Browser, select: str, value: str) -> None:
    page.run(f"document.getElementById('{select}').value = '{value}'")
    page.run(f"document.getElementById('{select}').dispatchEvent(new Event('change'))")


def ids_shown(page: Browser) -> list[str]:
    found: list[str] = page.run("[...document.querySelectorAll('#versions .open')].map((each) => each.innerText)")
    return found
