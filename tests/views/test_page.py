"""The status page in a real browser: it is silent, follows the worker, shows the past, and says when nobody answers."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.facts.shard import DriftDetected, ModelReset
from stream_retrain.facts.worker import WorkerStateChanged
from stream_retrain.views import server as server_module
from stream_retrain.views.fleet import FleetView
from stream_retrain.views.http import HttpServer, Pages, serve, serve_at
from tests.backtesting.browser import Browser, find_chromium
from tests.facts.examples import EXAMPLES
from tests.views.made import NASTY, MadeWorker
from tests.views.support import processed

pytestmark = pytest.mark.slow

DRAWN = "document.documentElement.dataset.drawn >= 1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(find_chromium()) as started:
        yield started


@pytest.fixture
def worker() -> MadeWorker:
    """In the middle of a duel on partition 0, a hundred seconds after its start."""
    made = MadeWorker(3, seconds_ago=100)
    made.run(100)
    return made


@pytest.fixture
def server(worker: MadeWorker) -> Iterator[HttpServer]:
    with serve("127.0.0.1", 0, worker.pages()) as started:
        yield started


def visit(browser: Browser, url: str, **screen: Any) -> Browser:
    browser.screen(**screen)
    browser.said.clear()
    browser.asked.clear()
    browser.call("Page.navigate", url=f"{url}/")
    browser.until(DRAWN)
    return browser


@pytest.fixture
def page(browser: Browser, server: HttpServer) -> Browser:
    return visit(browser, server.url)


def text_of(page: Browser, selector: str) -> str:
    text: str = page.run(f"document.querySelector({json.dumps(selector)}).innerText")
    return text


def count(page: Browser, selector: str) -> int:
    found: int = page.run(f"document.querySelectorAll({json.dumps(selector)}).length")
    return found


def press(page: Browser, key: str) -> None:
    typed = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=13 if typed else 0, **typed)


def tile(page: Browser, name: str) -> str:
    value: str = page.run(
        f"[...document.querySelectorAll('#now div')].find((e) => e.firstChild.innerText === '{name}').lastChild.innerText"
    )
    return value


@pytest.mark.parametrize(
    ("shards", "width", "touch", "dark"), [(3, 1280, False, False), (20, 1280, False, True), (3, 360, True, True), (20, 360, True, False)]
)
def test_it_is_silent_asks_for_nothing_but_itself_and_fits(browser: Browser, shards: int, width: int, touch: bool, dark: bool) -> None:
    made = MadeWorker(shards, total=shards, seconds_ago=100)
    made.run(100)
    with serve("127.0.0.1", 0, made.pages()) as server:
        page = visit(browser, server.url, width=width, touch=touch, dark=dark)
        assert page.said == []
        assert {url.rpartition("/")[0] for url in page.asked} == {server.url}
        assert page.run("document.documentElement.scrollWidth") == width
        assert count(page, "#cards article") == (3 if shards == 3 else 1)
        back = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (back < 60) == dark


def test_what_the_worker_says_arrives_without_being_asked_for(page: Browser, worker: MadeWorker) -> None:
    before = text_of(page, "#decisions tbody tr")
    worker.run(3)
    worker.tell(processed(EXAMPLES[DriftDetected], shard=worker.shards[1].id))
    page.until("document.querySelector('#decisions tbody').innerText.includes('ADWIN detected that error went up')")
    assert text_of(page, "#decisions tbody tr") != before
    assert [url for url in page.asked if url.endswith("/status")] == []
    assert text_of(page, "#link") == "live, once a second"
    assert tile(page, "Drifts").startswith("2")


def test_a_page_that_is_opened_late_shows_the_past(page: Browser) -> None:
    path = page.run("document.querySelector('#cards .score').getAttribute('d')")
    assert path.count("L") + path.count("M") >= 100
    assert count(page, "#cards article:first-child .mark.drift") == 1
    assert count(page, "#cards article:first-child .during") == 1
    assert "1 drift" in text_of(page, "#cards figcaption")
    assert page.run("document.querySelector('.race svg .score').getAttribute('d').match(/[ML]/g).length") >= 20


def test_a_duel_is_shown_with_its_evidence_and_the_line_it_must_reach(page: Browser) -> None:
    rows = page.run("[...document.querySelectorAll('.race tbody tr')].map((row) => row.innerText.split('\\t').map((each) => each.trim()))")
    assert [row[0] for row in rows] == ["champion, serves", "fresh", "since_change"]
    assert float(rows[1][2]) == pytest.approx(1.06**28, abs=0.01)
    assert "10.0 (the dashed line)" in text_of(page, ".race p")
    assert count(page, ".race .reach") == 1


def test_a_duel_that_lasts_takes_no_more_memory_from_a_page_that_is_open(page: Browser) -> None:
    page.run("""import("./model.js").then(({ Past }) => {
        const past = new Past(), contestants = [{ name: "a", e_value: 2 }, { name: "b", e_value: 3 }];
        for (let at = 1; at <= 9000; at++) past.add({ at_s: at, recent: [], shards: [{ place: "t/0", duel: { number: 1, contestants } }] });
        window.duel = past.of("t/0").duel;
    })""")
    lengths = page.run("[duel.t, duel.e.a, duel.e.b].map((each) => each.length)")
    assert lengths[0] <= 2_400
    assert lengths[1:] == [lengths[0]] * 2
    assert page.run("[duel.t[0], duel.t.at(-1)]") == [1, 9000]


def test_a_promotion_ends_the_duel_and_is_marked(page: Browser, worker: MadeWorker) -> None:
    worker.run(20)
    page.until("document.querySelectorAll('#cards article:first-child .mark.promotion').length")
    assert "promoted after 7,200 events. fresh is the champion." in text_of(page, "#cards .race")
    assert "generation 2" in text_of(page, "#cards .heading")
    assert text_of(page, "#legend").split("\n") == [
        *("drift", "duel began", "another contestant serves", "promotion", "training began", "trained model joined", "duel under way"),
    ]


def test_a_season_in_a_feature_is_told_once_and_marked_as_less_than_a_drift_of_the_error(page: Browser, worker: MadeWorker) -> None:
    season = dataclasses.replace(EXAMPLES[DriftDetected], signal="feature:month")
    for offset in range(30):
        worker.tell(processed(dataclasses.replace(season, offset=offset), shard=worker.shards[1].id))
    page.until("document.querySelector('#decisions tbody').innerText.includes('feature:month went up (30 times)')")
    assert count(page, "#decisions tbody tr") == 4
    assert "drift of a feature" in text_of(page, "#legend")
    assert count(page, "#cards article:nth-child(2) .drop") == 0


def test_of_many_decisions_the_newest_are_shown_and_all_on_request(page: Browser, worker: MadeWorker) -> None:
    for offset in range(30):
        worker.tell(processed(dataclasses.replace(EXAMPLES[ModelReset], offset=offset), shard=worker.shards[1].id))
    page.until("!document.getElementById('more').hidden")
    assert count(page, "#decisions tbody tr") == 15
    page.run("document.getElementById('more').click()")
    assert count(page, "#decisions tbody tr") == 33


def test_it_says_that_the_connection_is_lost_and_since_when_and_goes_on_by_itself(browser: Browser, worker: MadeWorker) -> None:
    first = serve("127.0.0.1", 0, worker.pages())
    page = visit(browser, first.url)
    assert page.run("document.getElementById('lost').hidden")
    first.close()
    page.until("!document.getElementById('lost').hidden")
    shown = text_of(page, "#lost")
    assert "The connection to the worker is lost since " in shown
    assert page.run(r"/since \d\d:\d\d:\d\d/.test(document.getElementById('lost').innerText)")
    assert text_of(page, "#pipeline") == "flights", "what was known stays"
    page.until("document.getElementById('spoken').innerText.includes('is lost since')")
    worker.run(5)
    with serve("127.0.0.1", first.port, worker.pages()):
        page.until("document.getElementById('lost').hidden")
        page.until("document.getElementById('link').innerText === 'live, once a second'")


def test_where_no_stream_is_left_it_asks_now_and_then(
    browser: Browser, server: HttpServer, worker: MadeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "STREAMS_MAX", 0)
    page = visit(browser, server.url)
    assert text_of(page, "#link") == "asking every 3 s"
    worker.tell(processed(EXAMPLES[DriftDetected], shard=worker.shards[1].id))
    page.until("document.querySelector('#decisions tbody').innerText.includes('ADWIN detected that error went up')")


def test_a_worker_that_is_not_ready_says_why(page: Browser, worker: MadeWorker) -> None:
    worker.tell(WorkerStateChanged(state="degraded", detail="Kafka does not answer"))
    page.until("!document.getElementById('why').hidden")
    assert text_of(page, "#why") == "committing: the worker is degraded · Kafka does not answer"
    assert text_of(page, "#state") == "! degraded, not ready"
    assert page.run("document.title").startswith("! flights")


def test_keys_open_shards_sort_them_and_read_the_chart(page: Browser) -> None:
    page.run("document.querySelector('#shards .open').focus()")
    press(page, "Enter")
    page.until("document.querySelectorAll('#cards article').length === 2")
    press(page, "Enter")
    page.until("document.querySelectorAll('#cards article').length === 3")
    page.run("document.querySelector('#shards [data-key=drifts] button').focus()")
    press(page, "Enter")
    page.until("document.querySelector('#shards [data-key=drifts]').getAttribute('aria-sort') === 'descending'")
    assert page.run("document.activeElement.innerText") == "Drifts"
    page.run("document.querySelector('#cards .chart').focus()")
    press(page, "End")
    press(page, "ArrowLeft")
    words = page.run("document.querySelector('#cards .chart').getAttribute('aria-valuetext')")
    assert words.partition(": Accuracy 0.")[2][:2] in ("61", "62", "63")
    press(page, "Home")
    assert ": Accuracy 0.9" in page.run("document.querySelector('#cards .chart').getAttribute('aria-valuetext')")
    press(page, "Escape")
    assert count(page, ".cursor") == 0


def test_it_can_be_tabbed_through_from_a_link_that_skips_to_the_shards(page: Browser) -> None:
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert page.run("document.activeElement.innerText") == "Skip to the shards"
    reached = set()
    for _ in range(24):
        page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.run("document.activeElement.tagName"))
    assert {"SELECT", "BUTTON", "svg", "SUMMARY"} <= reached


def test_everything_has_a_name_and_a_role_also_where_tables_become_blocks(browser: Browser, server: HttpServer) -> None:
    page = visit(browser, server.url, width=360, touch=True)
    nodes = [each for each in page.call("Accessibility.getFullAXTree")["nodes"] if not each.get("ignored")]
    roles = [each["role"]["value"] for each in nodes if "role" in each]
    assert {"main", "banner", "contentinfo", "navigation", "region", "heading", "table", "row", "rowheader", "cell", "status"} <= set(roles)
    named = ("button", "combobox", "slider", "link", "region", "table", "article", "image")
    nameless = [each["role"]["value"] for each in nodes if each["role"]["value"] in named and not each.get("name", {}).get("value")]
    assert [role for role in nameless if role != "table"] == []
    levels = page.run("[...document.querySelectorAll('h1,h2,h3,h4')].filter((e) => e.offsetParent).map((e) => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_chart_is_also_a_table(page: Browser) -> None:
    page.run("document.querySelector('#cards article details:last-child').open = true")
    page.until("document.querySelectorAll('#cards article:first-child details:last-child tbody tr').length > 20")
    told = text_of(page, "#cards article:first-child details:last-child table")
    assert "PageHinkley detected that error went up" in told


def test_what_is_spoken_is_what_happened_and_no_numbers(page: Browser, worker: MadeWorker) -> None:
    page.run(
        "window.spoken = []; new MutationObserver(() => spoken.push(document.getElementById('spoken').innerText))"
        ".observe(document.getElementById('spoken'), {childList: true, subtree: true, characterData: true})"
    )
    live = page.run("[...document.querySelectorAll('[aria-live], [role=status], [role=alert], output')].map((e) => e.id)")
    assert live == ["spoken"]
    page.run("document.querySelector('#cards .chart').focus()")
    press(page, "ArrowLeft")
    page.run(
        "new MutationObserver((changes) => changes.forEach((each) => spoken.push(each.attributeName)))"
        ".observe(document.querySelector('#cards .chart'), {attributes: true,"
        " attributeFilter: ['aria-valuenow', 'aria-valuetext', 'aria-valuemax']})"
    )
    drawn = page.run("Number(document.documentElement.dataset.drawn)")
    worker.run(2)
    page.until(f"document.documentElement.dataset.drawn >= {drawn + 2}")
    assert page.run("spoken") == []
    worker.tell(processed(EXAMPLES[DriftDetected], shard=worker.shards[1].id))
    page.until("spoken.length")
    assert page.run("spoken") == ["Partition 1: ADWIN detected that error went up."]


def test_of_twenty_shards_those_asked_for_are_shown(browser: Browser) -> None:
    made = MadeWorker(20, total=24, seconds_ago=100)
    made.run(100)
    with serve("127.0.0.1", 0, made.pages()) as server:
        page = visit(browser, server.url)
        assert count(page, "#shards tbody tr") == 20
        assert tile(page, "Partitions").split("\n") == ["20 of 24", "4 nobody has"]
        page.run("(() => { const f = document.getElementById('filter'); f.value = 'duel'; f.dispatchEvent(new Event('input')) })()")
        assert count(page, "#shards tbody tr") == 1
        page.run("(() => { const f = document.getElementById('filter'); f.value = '17'; f.dispatchEvent(new Event('input')) })()")
        assert text_of(page, "#shards tbody .open") == "17"
        page.run("document.querySelector('#shards tbody .open').click()")
        assert count(page, "#cards article") == 2


def test_names_from_users_are_text_and_nothing_of_them_runs(browser: Browser) -> None:
    made = MadeWorker(3, seconds_ago=225)
    made.run(225)
    with serve("127.0.0.1", 0, made.pages()) as server:
        page = visit(browser, server.url)
        assert NASTY in text_of(page, "#cards")
        assert NASTY in text_of(page, "#decisions")
        assert page.run("window.pwned === undefined && document.images.length === 0")
        page.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
        assert page.run("window.ran === undefined")
        assert page.run("fetch('https://example.invalid/').then(() => 'came', () => 'blocked')") == "blocked"


def test_with_a_token_a_browser_that_was_given_it_as_a_password_follows_the_worker(browser: Browser, worker: MadeWorker) -> None:
    token = "0123456789abcdef"
    with serve("127.0.0.1", 0, worker.pages(), token=token) as server:
        page = visit(browser, f"http://anybody:{token}@127.0.0.1:{server.port}")
        assert page.said == []
        page.until("document.documentElement.dataset.drawn >= 2")
        assert text_of(page, "#link") == "live, once a second"


def test_the_workers_of_a_parent_are_one_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("w")
    sockets = [folder / str(number) for number in range(3)]
    first, second = MadeWorker(2, total=4, seconds_ago=100), MadeWorker(2, first=2, total=4, seconds_ago=100)
    first.run(100)
    second.run(100)
    fleet = FleetView(sockets, lambda: (1, 1, 1))
    pages = Pages(metrics=fleet.metrics, healthy=fleet.healthy, ready=fleet.ready, status=fleet.status, history=fleet.history)
    with serve_at(sockets[0], first.pages()), serve_at(sockets[1], second.pages()), serve("127.0.0.1", 0, pages) as server:
        page = visit(browser, server.url)
        assert page.said == []
        assert page.run("[...document.querySelectorAll('#shards .open')].map((each) => each.innerText)") == ["0", "1", "2", "3"]
        assert count(page, "#workers tbody tr") == 3
        assert "does not answer" in text_of(page, "#workers tbody tr:last-child")
        assert "worker 2: it does not answer" in text_of(page, "#why")
        assert page.run("document.querySelector('#cards .score').getAttribute('d').match(/[ML]/g).length") >= 100


def test_nothing_moves_for_who_does_not_want_it(browser: Browser, server: HttpServer) -> None:
    visit(browser, server.url)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    moving = "[...document.querySelectorAll('*')].filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    assert browser.run(moving) == 0
    assert browser.run("document.getAnimations().length") == 0


def test_a_rematch_ends_no_duel_but_its_own(page: Browser) -> None:
    """It starts with the event that ends the duel before it, and the order of the two marks is not given."""
    marks = [
        {"kind": kind, "duel": number, "at_s": at_s}
        for kind, number, at_s in [
            ("duel.ended", 6, 1),
            ("duel.started", 7, 2),
            ("duel.started", 8, 3),
            ("duel.ended", 7, 3),
            ("drift.detected", None, 4),
            ("duel.ended", 8, 5),
            ("duel.started", 9, 6),
        ]
    ]
    spans = page.run(f"import('/chart.js').then((chart) => chart.spansOf({json.dumps(marks)}))")
    assert spans == [[None, 1, 6], [2, 3, 7], [3, 5, 8], [6, None, 9]]
