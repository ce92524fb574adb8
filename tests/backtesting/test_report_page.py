"""The report in a real browser: it loads in silence, shows what it should, and answers to pointer, keys, choices, paper and night."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from stream_retrain.backtesting.report import write_report
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary
from tests.backtesting.browser import Browser, find_chromium
from tests.backtesting.made import LONG, NASTY, Shape, made

pytestmark = pytest.mark.slow

SHAPES: Final = {
    "plain": Shape(partitions=2),
    "one": Shape(variants=1, controls=False, drifts=0),
    "twelve": Shape(variants=12, partitions=12, intervals=200, drifts=12),
    "names": Shape(variants=5, names=(LONG, LONG[::-1], NASTY)),
    "regression": Shape(task="regression", shown=False),
    "hundreds": Shape(drifts=400, intervals=200),
    "silent": Shape(labels=False),
    "partial": Shape(partial=True, times=False, intervals=3),
    "tuned": Shape(variants=2, training=36),
}
PHONE_PX: Final = 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(find_chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, shape in SHAPES.items():
        write_report(*made(shape), folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in SHAPES}


@pytest.fixture
def plain(browser: Browser, pages: dict[str, Path]) -> Browser:
    browser.screen()
    browser.open(pages["plain"])
    return browser


def result_of(name: str) -> tuple[BacktestSummary, BacktestCurves]:
    return made(SHAPES[name])


def lines_in(browser: Browser, chart: str) -> int:
    """Lines a chart draws: those of variants, not rules or thresholds."""
    count: int = browser.run(
        f"[...document.querySelectorAll('#chart-{chart} .mark-line path')].filter((line) => line.getAttribute('d')).length"
    )
    return count


def text_of(browser: Browser, selector: str) -> str:
    text: str = browser.run(f"document.querySelector({selector!r}).innerText")
    return text


def choose(browser: Browser, select: str, value: str) -> None:
    browser.after(
        f"(() => {{ const s = document.getElementById('{select}'); s.value = {value!r}; s.dispatchEvent(new Event('change')) }})()"
    )


def middle_of(browser: Browser, selector: str, across: float = 0.5) -> tuple[float, float]:
    """A point of an element that was brought into view."""
    x, y = browser.run(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
        f" const r = e.getBoundingClientRect(); return [r.left + r.width * {across}, r.top + r.height / 2] }})()"
    )
    return x, y


def move(browser: Browser, kind: str, x: float, y: float, buttons: int = 0) -> None:
    button = "left" if kind != "mouseMoved" or buttons else "none"
    browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=buttons, clickCount=1)


def press(browser: Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@pytest.mark.parametrize("name", SHAPES)
def test_it_loads_without_a_word_in_the_console_and_asks_for_nothing_but_itself(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.screen()
    browser.open(pages[name])
    assert browser.said == []
    assert browser.asked == [pages[name].as_uri()]
    assert browser.run("document.querySelectorAll('.chart:not([hidden]) svg').length") >= 4


@pytest.mark.parametrize("name", ["plain", "one", "twelve", "names", "regression"])
def test_every_chart_has_a_line_for_each_variant(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.screen()
    browser.open(pages[name])
    summary, _ = result_of(name)
    everyone = len(summary.variants) + len(summary.controls)
    assert lines_in(browser, "quality") == everyone
    assert lines_in(browser, "kappa") == (everyone - 1 if summary.controls else 0)
    assert lines_in(browser, "estimate") == lines_in(browser, "width") == len(summary.variants)
    assert browser.run("document.querySelectorAll('#legend .chip').length") == everyone


def test_marks_generations_duels_and_costs_are_all_drawn(plain: Browser) -> None:
    summary, curves = result_of("plain")
    drifts = sum(mark.kind == "drift" for mark in curves.marks)
    resets = sum(mark.kind == "reset" for mark in curves.marks)
    symbols = "document.querySelectorAll('#chart-marks .mark-symbol path').length"
    assert plain.run(symbols) == drifts + resets
    assert plain.run("document.querySelectorAll('#chart-timeline .mark-rect path').length") == len(curves.generations)
    assert plain.run("document.querySelectorAll('#chart-cost .mark-symbol path').length") == len(summary.variants) + len(summary.controls)
    assert plain.run("document.querySelectorAll('#chart-cpu .mark-rect path').length") == len(summary.variants) + len(summary.controls)
    own = {(point.partition, point.duel, point.contestant) for point in curves.duels if point.variant == "variant_0"}
    thresholds = {(point.partition, point.duel) for point in curves.duels if point.variant == "variant_0"}
    assert lines_in(plain, "duels") == len(own) + len(thresholds)
    incidents = "document.querySelectorAll('#chart-quality .mark-rule.role-mark line').length"
    assert plain.run(incidents) == 1


@pytest.mark.parametrize("axis", ["position", "time"])
def test_of_a_tuned_run_the_charts_begin_where_the_later_part_does(browser: Browser, pages: dict[str, Path], axis: str) -> None:
    """Beside the edge of the plot stands why; a reader who goes to the beginning reads the first interval that there is."""
    browser.screen()
    browser.open(pages["tuned"])
    if axis == "position":
        choose(browser, "axis", "position")
    summary, curves = result_of("tuned")
    assert summary.from_position == 36 * 250
    begins = "Number(/^M(-?[0-9.]+)/.exec(line.getAttribute('d'))[1])"
    lefts = browser.run(f"[...document.querySelectorAll('#chart-quality .mark-line path')].map((line) => {begins})")
    width = browser.run("document.querySelector('#chart-quality .mark-group .background').getBoundingClientRect().width")
    assert all(0 <= left <= width / 20 for left in lefts), "no part of the chart is empty"
    texts = browser.run("[...document.querySelectorAll('#chart-quality .mark-text text')].map((text) => text.textContent)")
    assert any("no setting was chosen by" in text for text in texts)
    browser.run("document.getElementById('chart-quality').focus()")
    press(browser, "Home")
    assert "positions 9,000 to 9,249" in text_of(browser, "#readout")
    assert "250 labels" in text_of(browser, "#readout")
    assert "begin at position 9,000" in text_of(browser, "main")
    bars = browser.run("document.querySelectorAll('#chart-timeline .mark-rect path').length")
    assert bars == len(curves.generations)


def labels_of(browser: Browser, chart: str) -> list[str]:
    found: list[str] = browser.run(
        f"[...document.querySelectorAll('#chart-{chart} .role-axis-label text')].map((label) => label.textContent)"
    )
    return found


@pytest.mark.parametrize("scale", [400.0, 3e6, 1e-5])
def test_heights_are_written_as_people_write_them(browser: Browser, tmp_path: Path, scale: float) -> None:
    """The errors of a regression can be of any size: 150 is not 1.5e+2, and what is very large or very small is short."""
    summary, curves = result_of("regression")
    rows = [
        dataclasses.replace(each, loss=(each.loss or 0) * scale, metrics={"MAE": (each.loss or 0) * scale}) for each in curves.intervals
    ]
    write_report(summary, dataclasses.replace(curves, intervals=rows), tmp_path / "r.html")
    browser.screen()
    browser.open(tmp_path / "r.html")
    heights = [label for label in labels_of(browser, "quality") if re.search(r"^[0-9.,]+([kMe].*)?$", label)]
    assert len(heights) >= 3
    assert all(len(label) <= 7 for label in heights)
    assert any("e" in label for label in heights) == (scale < 1), heights


def test_costs_that_are_near_each_other_have_an_axis_with_figures(plain: Browser) -> None:
    assert sum(label.isdigit() for label in labels_of(plain, "cost")) >= 2


def test_where_the_control_makes_no_error_kappa_temporal_says_why_it_is_empty(browser: Browser, tmp_path: Path) -> None:
    summary, curves = result_of("plain")
    rows = [dataclasses.replace(each, loss=0.0) if each.variant == "previous label" else each for each in curves.intervals]
    write_report(summary, dataclasses.replace(curves, intervals=rows), tmp_path / "r.html")
    browser.screen()
    browser.open(tmp_path / "r.html")
    assert "made no error" in text_of(browser, "#empty-kappa")


def test_the_axis_of_e_values_says_what_it_shows(plain: Browser) -> None:
    labels = plain.run("[...document.querySelectorAll('#chart-duels .role-axis-label text')].map((label) => label.textContent)")
    assert [label for label in ("0.001", "1", "10") if label in labels] == ["0.001", "1", "10"]
    assert "0.0001" not in labels


def test_of_many_replacements_the_lines_are_kept_free(browser: Browser, pages: dict[str, Path]) -> None:
    browser.screen()
    browser.open(pages["hundreds"])
    assert "drawn below only" in text_of(browser, "#box-quality .hint")
    hollow = "document.querySelectorAll('#chart-quality .mark-symbol path[fill=\"var(--paper)\"]').length"
    assert browser.run(hollow) == 0
    assert browser.run("document.querySelectorAll('#chart-marks .mark-symbol path').length") > 1_000
    browser.after("document.getElementById('closer').click()")
    browser.after("document.getElementById('closer').click()")
    browser.after("document.getElementById('closer').click()")
    browser.after("document.getElementById('closer').click()")
    assert 0 < browser.run(hollow) <= 40


def test_pressing_a_variant_in_the_legend_hides_it_in_every_chart(plain: Browser) -> None:
    before = {chart: lines_in(plain, chart) for chart in ("quality", "kappa", "estimate", "width")}
    plain.after("document.querySelectorAll('#legend .chip')[1].click()")
    assert {chart: lines_in(plain, chart) for chart in before} == {chart: count - 1 for chart, count in before.items()}
    assert plain.run("[...document.querySelectorAll('#legend .chip')].map((chip) => chip.getAttribute('aria-pressed'))")[1] == "false"
    assert "variant_1" not in text_of(plain, "#chart-marks")
    plain.after("document.querySelectorAll('#legend .chip')[1].click()")
    assert {chart: lines_in(plain, chart) for chart in before} == before


def test_a_kind_of_mark_can_be_hidden(plain: Browser) -> None:
    _, curves = result_of("plain")
    plain.after("document.querySelectorAll('#kinds .chip')[0].click()")
    resets = sum(mark.kind == "reset" for mark in curves.marks)
    assert plain.run("document.querySelectorAll('#chart-marks .mark-symbol path').length") == resets


def test_a_partition_is_chosen_for_all_charts(plain: Browser) -> None:
    _, curves = result_of("plain")
    assert text_of(plain, "#title-quality") == "Accuracy, rolling, all partitions"
    before = plain.run("document.querySelector('#chart-quality .mark-line path').getAttribute('d')")
    choose(plain, "partition", "1")
    assert text_of(plain, "#title-quality") == "Accuracy, rolling, partition 1"
    assert plain.run("document.querySelector('#chart-quality .mark-line path').getAttribute('d')") != before
    generations = sum(span.partition == 1 for span in curves.generations)
    assert plain.run("document.querySelectorAll('#chart-timeline .mark-rect path').length") == generations


def test_the_axis_is_event_time_or_position(plain: Browser) -> None:
    assert "Jan" in text_of(plain, "#chart-quality .plot") or "2026" in text_of(plain, "#chart-quality .plot")
    choose(plain, "axis", "position")
    assert "10,000" in text_of(plain, "#chart-quality .plot")


def test_another_quality_and_another_detector_can_be_chosen(plain: Browser) -> None:
    choose(plain, "quality", "loss")
    assert text_of(plain, "#title-quality").startswith("Share of labels missed, by interval")
    assert text_of(plain, "#box-quality .hint") == "Lower is better."
    assert plain.run("document.getElementById('box-statistic').hidden")
    choose(plain, "series", plain.run("document.getElementById('series').options[1].value"))
    assert not plain.run("document.getElementById('box-statistic').hidden")
    assert lines_in(plain, "statistic") == 2 * len(result_of("plain")[0].variants), "each with its threshold"
    assert plain.run("document.getElementById('box-estimate').hidden")


def test_dragging_over_a_chart_zooms_all_and_a_press_shows_everything_again(plain: Browser) -> None:
    everything = sorted(text_of(plain, "#chart-marks .plot").split())
    x, y = middle_of(plain, "#chart-quality", 0.4)
    drawn = plain.run("Number(document.documentElement.dataset.drawn)")
    move(plain, "mouseMoved", x, y)
    move(plain, "mousePressed", x, y, 1)
    for step in (10, 60, 120):
        move(plain, "mouseMoved", x + step, y, 1)
    move(plain, "mouseReleased", x + 120, y)
    plain.until(f"document.documentElement.dataset.drawn > {drawn}")
    assert sorted(text_of(plain, "#chart-marks .plot").split()) != everything
    assert not plain.run("document.getElementById('whole').disabled")
    rows = plain.run(
        "(() => { const d = document.querySelector('[data-of=quality]'); d.open = true;"
        " return new Promise((done) => setTimeout(() => done(d.querySelectorAll('tbody tr').length), 100)) })()"
    )
    assert 1 < rows < SHAPES["plain"].intervals / 2
    plain.after("document.getElementById('whole').click()")
    assert sorted(text_of(plain, "#chart-marks .plot").split()) == everything


def test_a_pointer_reads_the_values_of_an_interval_in_every_chart(plain: Browser) -> None:
    x, y = middle_of(plain, "#chart-kappa", 0.3)
    move(plain, "mouseMoved", x, y)
    plain.until("!document.getElementById('readout').hidden")
    shown = text_of(plain, "#readout")
    assert all(name in shown for name in ("variant_0", "variant_1", "variant_2", "positions", "labels"))
    cursors = "[...document.querySelectorAll('.cursor')].filter((line) => !line.hidden)"
    places = plain.run(f"{cursors}.map((line) => Math.round(line.getBoundingClientRect().left))")
    assert len(places) >= 5
    assert max(places) - min(places) <= 1, "the cursors stand under each other"
    move(plain, "mouseMoved", 5, 5)
    plain.until("document.getElementById('readout').hidden")


def test_keys_read_the_exact_values_aloud(plain: Browser) -> None:
    _, curves = result_of("plain")
    plain.run("document.getElementById('chart-quality').focus()")
    press(plain, "Home")
    press(plain, "ArrowRight")
    slider = "document.getElementById('chart-quality').getAttribute('{}')"
    assert plain.run(slider.format("aria-valuenow")) == "1"
    spoken = plain.run(slider.format("aria-valuetext"))
    values = {each.variant: each.metrics["Accuracy"] for each in curves.intervals if each.partition is None and each.number == 1}
    assert len(values) == 5
    for name, value in values.items():
        assert f"{name} {float(f'{value:.5g}'):g}" in spoken
    press(plain, "+")
    plain.until("!document.getElementById('whole').disabled")


def test_every_control_and_chart_has_a_name_for_a_screen_reader(plain: Browser) -> None:
    nodes = plain.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in ("button", "combobox", "slider", "link", "region", "figure")
    ]
    assert len(named) > 40
    assert [each for each in named if not each[1]] == []


def test_every_chart_has_its_values_as_a_table(plain: Browser) -> None:
    summary, curves = result_of("plain")
    plain.run("document.querySelectorAll('details.values').forEach((each) => (each.open = true))")
    plain.until("document.querySelectorAll('details[data-of=duels] tbody tr').length")
    count = "[each.dataset.of, each.querySelectorAll('tbody tr').length]"
    rows = plain.run(f"Object.fromEntries([...document.querySelectorAll('details.values')].map((each) => {count}))")
    assert rows["quality"] == rows["kappa"] == rows["width"] == SHAPES["plain"].intervals
    assert rows["timeline"] == len(curves.generations)
    assert rows["cost"] == len(summary.variants) + len(summary.controls)
    last = plain.run("document.querySelector('details[data-of=quality] tbody tr:last-child').innerText").split("\t")
    interval = next(each for each in reversed(curves.intervals) if each.variant == "variant_0" and each.partition is None)
    assert last[3] == f"{float(format(interval.metrics['Accuracy'], '.6g')):g}"


def test_the_log_tells_what_happened_and_zooms_to_it(plain: Browser) -> None:
    _, curves = result_of("plain")
    assert plain.run("document.querySelectorAll('#log-table tbody tr').length") == len(curves.marks) + 1
    choose(plain, "log-kind", "incident")
    assert "two columns are swapped" in text_of(plain, "#log-table tbody")
    plain.after("document.querySelector('#log-table button').click()")
    assert not plain.run("document.getElementById('whole').disabled")


def test_names_from_users_are_text_and_nothing_of_them_runs(browser: Browser, pages: dict[str, Path]) -> None:
    browser.screen()
    browser.open(pages["names"])
    browser.run("document.querySelectorAll('details.values').forEach((each) => (each.open = true))")
    x, y = middle_of(browser, "#chart-quality")
    move(browser, "mouseMoved", x, y)
    browser.until("!document.getElementById('readout').hidden")
    assert NASTY in text_of(browser, "#readout")
    assert NASTY in text_of(browser, ".ranking")
    assert browser.run("window.pwned === undefined && document.images.length === 0")


def test_the_policy_forbids_connections_and_foreign_scripts(plain: Browser) -> None:
    blocked = plain.run("fetch('https://example.invalid/').then(() => 'came', () => 'blocked')")
    assert blocked == "blocked"
    plain.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 1' }))")
    assert plain.run("window.ran === undefined")
    assert any("Content Security Policy" in each for each in plain.said)
    assert not [each for each in plain.asked if each.startswith("http")]


def colour(browser: Browser, selector: str, what: str) -> tuple[int, ...]:
    value: str = browser.run(f"getComputedStyle(document.querySelector({selector!r})).{what}")
    return tuple(int(each) for each in re.findall(r"\d+", value)[:3])


def test_at_night_it_is_dark_and_its_lines_are_light_enough(browser: Browser, pages: dict[str, Path]) -> None:
    browser.screen()
    browser.open(pages["plain"])
    by_day = colour(browser, "#chart-quality .mark-line path", "stroke")
    assert (colour(browser, "body", "backgroundColor"), by_day) == ((244, 245, 247), (0, 114, 178))
    browser.screen(dark=True)
    assert max(colour(browser, "body", "backgroundColor")) < 40
    assert min(colour(browser, "body", "color")) > 200
    assert sum(colour(browser, "#chart-quality .mark-line path", "stroke")) > sum(by_day)
    for name in ("#chart-quality .role-axis-label text", ".hint", ".ranking small"):
        paper = (23, 26, 32)
        assert contrast(colour(browser, name, "fill" if "axis" in name else "color"), paper) >= 4.5


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """By WCAG."""

    def light(parts: tuple[int, ...]) -> float:
        linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = max(light(one), light(other)), min(light(one), light(other))
    return (lighter + 0.05) / (darker + 0.05)


def test_on_paper_it_is_white_and_open_and_nothing_is_cut(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    width = 688  # of an A4 sheet within its margins
    browser.screen(width, 1000, media="print", dark=True)
    browser.open(pages["plain"])
    assert colour(browser, "body", "backgroundColor") == (255, 255, 255)
    assert min(colour(browser, "h1", "color")) < 40
    assert browser.run("getComputedStyle(document.querySelector('.toolbar .choices')).display") == "none"
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(
        "[...document.querySelectorAll('.chart:not([hidden]) svg')].every((svg) => svg.getBoundingClientRect().right <= innerWidth)"
    )
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert browser.run("[...document.querySelectorAll('details.section')].every((each) => each.open)")


@pytest.mark.parametrize("name", SHAPES)
def test_on_a_phone_nothing_goes_beyond_the_screen(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.screen(PHONE_PX, 844, touch=True)
    browser.open(pages[name])
    assert browser.run("document.documentElement.scrollWidth") == PHONE_PX
    assert browser.run(
        "[...document.querySelectorAll('.chart:not([hidden]) svg')].every((svg) => svg.getBoundingClientRect().right <= innerWidth)"
    )
    assert browser.run("document.querySelector('.toolbar').getBoundingClientRect().height") < 110


def test_a_finger_reads_values_too(browser: Browser, pages: dict[str, Path]) -> None:
    browser.screen(PHONE_PX, 844, touch=True)
    browser.open(pages["plain"])
    x, y = middle_of(browser, "#chart-quality")
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.until("!document.getElementById('readout').hidden")
    left, right = browser.run(
        "(() => { const r = document.getElementById('readout').getBoundingClientRect(); return [r.left, r.right] })()"
    )
    assert left >= 0
    assert right <= PHONE_PX


def test_without_scripts_the_verdict_the_ranking_and_the_notes_can_be_read(browser: Browser, pages: dict[str, Path]) -> None:
    browser.screen()
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=pages["plain"].as_uri())
        tree: Any = {}
        for _ in range(100):
            tree = browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])
            if any("predicted best" in text for text in tree["strings"]):
                break
        strings = " ".join(tree["strings"])
        for text in ("predicted best", "variant_2", "Retention has deleted", "scripts are off"):
            assert text in strings
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
