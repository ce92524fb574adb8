"""The report's words, figures, data and file; how it looks and behaves in a browser is in `test_report_page`."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.backtesting.figures import figures as text_figures
from stream_retrain.backtesting.report import check_report_path, render_report, write_report
from stream_retrain.backtesting.report.formats import lead_text, loss_text, moment, number, plural, share
from stream_retrain.backtesting.report.payload import DUEL_POINTS_MAX, MARKS_MAX, payload
from stream_retrain.backtesting.report.tables import figures, ranking_rows
from stream_retrain.backtesting.report.verdict import verdict
from stream_retrain.backtesting.result import BacktestSummary
from stream_retrain.errors import SettingsError
from tests.backtesting.made import LONG, NASTY, Shape, made

PLAIN = made()


def summary_of(**shape: Any) -> BacktestSummary:
    return made(Shape(**shape))[0]


def with_losses(losses: dict[str, float | None], *, shown: bool = True) -> BacktestSummary:
    """The plain summary with other losses, and the ranking that follows from them."""
    summary = PLAIN[0]

    def changed(each: Any) -> Any:
        return dataclasses.replace(each, loss=losses[each.name], kappa_temporal=None)

    variants, controls = [*map(changed, summary.variants)], [*map(changed, summary.controls)]
    order = sorted((each for each in [*variants, *controls] if each.loss is not None), key=lambda each: each.loss)
    example = summary.ranking[0]
    ranking = [
        dataclasses.replace(example, better=one.name, worse=other.name, difference=0.02, low=0.01 if shown else -0.01, high=0.03)
        for one, other in itertools.pairwise(order)
    ]
    return dataclasses.replace(summary, variants=variants, controls=controls, ranking=ranking)


# ---- words


def test_the_best_variant_is_named_where_the_paired_interval_excludes_zero() -> None:
    found = verdict(PLAIN[0])
    [comparison] = [each for each in PLAIN[0].ranking if each.better == "variant_0"]
    assert (found.tone, found.headline) == ("shown", "“variant_0” predicted best.")
    low, high = (f"{100 * value:.2f}" for value in (comparison.low, comparison.high))
    assert f"points fewer misses than “variant_1”, the next; the paired 95 % interval is {low} to {high}." in found.sentences[1]


def test_two_that_cannot_be_told_apart_are_not_ranked_in_words() -> None:
    found = verdict(summary_of(shown=False))
    assert found.tone == "open"
    assert found.headline == "“variant_0” is ahead of “variant_1”, and chance alone could have done that."
    assert "which includes 0" in found.sentences[1]


def test_two_that_are_equal_are_said_to_be() -> None:
    losses: dict[str, float | None] = {"variant_0": 0.2, "variant_1": 0.2, "variant_2": 0.4, "previous label": 0.5, "blind reset": 0.5}
    summary = with_losses(losses)
    equal = dataclasses.replace(summary.ranking[0], difference=0.0, low=0.0, high=0.0)
    found = verdict(dataclasses.replace(summary, ranking=[equal, *summary.ranking[1:]]))
    assert (found.tone, found.headline) == ("open", "“variant_0” and “variant_1” did equally well.")
    assert found.sentences[1] == "“variant_1” has the same losses on the same labels, interval by interval."


def test_a_variant_that_declares_another_metric_is_not_told_in_that_column() -> None:
    """The table has the metric of the first variant; a figure of another one would be taken for it."""
    summary = summary_of()
    other = dataclasses.replace(summary.variants[1], metric="ROCAUC", quality=0.77, metrics={"ROCAUC": 0.77})
    mixed = dataclasses.replace(summary, variants=[summary.variants[0], other, summary.variants[2]])
    assert mixed.metric == "Accuracy"
    shown = text_figures(mixed)
    assert shown.header[1] == "Accuracy"
    [row] = [row for row in shown.rows if row[0] == "variant_1"]
    assert row[1] == number(None)
    assert payload(mixed, PLAIN[1])["variants"][1]["quality"] is None


def test_a_control_that_leads_is_said_first() -> None:
    losses: dict[str, float | None] = {"variant_0": 0.2, "variant_1": 0.3, "variant_2": 0.4, "previous label": 0.1, "blind reset": 0.5}
    found = verdict(with_losses(losses))
    assert found.tone == "control"
    assert found.headline == "No variant beat the control “previous label”; “variant_0” came nearest."
    assert found.sentences[1].startswith("“previous label” is ahead by 2.00 points of “variant_0”, the next")
    assert "Control “previous label”, loss 10.00 %: none of 3 variants did better." in found.sentences
    assert "Control “blind reset”, loss 50.00 %: all of 3 variants did better." in found.sentences


def test_some_variants_may_beat_a_control_and_others_not() -> None:
    losses: dict[str, float | None] = {"variant_0": 0.2, "variant_1": 0.3, "variant_2": 0.4, "previous label": 0.35, "blind reset": 0.5}
    assert any(
        "1 of 3 variants did better" in each or "2 of 3 variants did better" in each for each in verdict(with_losses(losses)).sentences
    )


def test_one_variant_is_compared_with_controls_alone() -> None:
    assert verdict(summary_of(variants=1)).headline == "“variant_0” beat every control."
    assert verdict(summary_of(variants=1, shown=False)).headline == "“variant_0” cannot be told from the control “previous label”."
    alone = verdict(summary_of(variants=1, controls=False))
    assert (alone.tone, alone.headline) == ("open", "“variant_0” ran alone: there is nothing to compare it with.")


def test_without_labels_nothing_is_said_of_the_quality() -> None:
    found = verdict(summary_of(labels=False))
    assert (found.tone, found.headline, found.sentences) == ("none", "Nothing can be said of the quality: no labels came.", ())


def test_a_regression_is_told_in_the_label_s_own_unit() -> None:
    found = verdict(summary_of(task="regression"))
    assert re.search(r"its mean absolute error over 14,993 labels is \d\.\d+\.", found.sentences[0])
    assert re.search(r"That is \d\.\d+ less than “variant_1”", found.sentences[1])
    assert "%" not in found.sentences[1].replace("95 %", "")


def test_the_cost_is_set_beside_the_cheapest_variant() -> None:
    losses: dict[str, float | None] = {"variant_0": 0.3, "variant_1": 0.2, "variant_2": 0.4, "previous label": 0.5, "blind reset": 0.6}
    assert verdict(with_losses(losses)).sentences[-1] == "It costs 37.0 us of CPU an event, 3.1 times that of the cheapest, “variant_0”."


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(0.84101), "0.8410"),
        (number(12430.4), "12,430"),
        (number(3.1234e-7), "3.123e-07"),
        (number(0.0), "0"),
        (number(-0.0326, 3), "-0.0326"),
        (number(None), "–"),
        (number(float("inf")), "–"),
        (number(1e15), "1.000e+15"),
        (share(0.11087), "11.09 %"),
        (share(float("nan")), "–"),
        (plural(1, "drift"), "1 drift"),
        (plural(1_204, "record"), "1,204 records"),
        (loss_text(0.5, "binary"), "50.00 %"),
        (loss_text(3.25, "regression"), "3.250"),
        (lead_text(0.0359, "multiclass"), "3.59 points"),
        (lead_text(0.5, "regression"), "0.5000"),
        (moment(831_427_200.0), "1996-05-07 00:00"),
        (moment(1.0), "1970-01-01 00:00:01"),
        (moment(None), "–"),
        (moment(1e18), "1,000,000,000,000,000,000 s"),
    ],
)
def test_figures_are_rounded_to_what_they_say(said: str, expected: str) -> None:
    assert said == expected


# ---- figures


def test_the_ranking_is_by_loss_and_draws_each_interval_on_one_scale() -> None:
    rows = ranking_rows(PLAIN[0])
    assert [row.each.loss for row in rows] == sorted(row.each.loss or 0.0 for row in rows)
    assert [row.place for row in rows] == [1, 2, 3, 4, 5]
    assert max(row.right for row in rows) == 100.0
    for row in rows[:-1]:
        assert 0 <= row.zero <= row.left < row.middle < row.right <= 100
    assert rows[-1].lead is None


def test_an_interval_that_includes_zero_reaches_over_it() -> None:
    rows = ranking_rows(summary_of(shown=False))
    assert all(row.left < row.zero < row.middle < row.right for row in rows[:-1])


def test_the_key_figures_are_those_of_the_summary() -> None:
    found = {figure.name: figure.value for figure in figures(summary_of(partitions=3, drifts=5))}
    assert found["Events"] == "14,993"
    assert (found["Variants"], found["Partitions"], found["Drifts"]) == ("3", "3", "45")
    assert found["Time covered"] == "10.4 days"
    assert "Time covered" not in {figure.name for figure in figures(summary_of(times=False))}


# ---- data


def test_the_payload_has_every_curve_of_every_variant_and_partition() -> None:
    summary, curves = made(Shape(variants=2, partitions=3))
    found = payload(summary, curves)
    assert found["partitions"] == ["all", "0", "1", "2"]
    assert {(each["v"], each["p"]) for each in found["curves"]} == {(v, p) for v in range(4) for p in found["partitions"]}
    [first] = [each for each in found["curves"] if (each["v"], each["p"]) == (1, "2")]
    own = [each for each in curves.intervals if (each.variant, each.partition) == ("variant_1", 2)]
    assert first["loss"] == [pytest.approx(each.loss, rel=1e-5) for each in own]
    assert first["metrics"]["Accuracy"] == [pytest.approx(each.metrics["Accuracy"], rel=1e-5) for each in own]
    assert found["repeating"] == 2
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_single_partition_is_told_once() -> None:
    found = payload(*PLAIN)
    assert found["partitions"] == ["all"]
    assert {each["p"] for each in found["curves"]} == {"all"}
    assert {each["p"] for each in found["readings"]} == {"0"}


def test_intervals_that_are_missing_are_null_and_columns_without_values_are_left_out() -> None:
    summary, curves = made(Shape(intervals=6))
    kept = [each for each in curves.intervals if not (each.variant == "variant_1" and each.number in (2, 3))]
    found = payload(summary, dataclasses.replace(curves, intervals=kept))
    [curve] = [each for each in found["curves"] if each["v"] == 1]
    assert [value is None for value in curve["loss"]] == [False, False, True, True, False, False]
    adwin = next(each for each in found["readings"] if each["detector"] == "ADWIN")
    assert (adwin["statistic"], len(adwin["estimate"])) == (None, 6)


def test_numbers_no_json_has_become_null() -> None:
    summary, curves = made(Shape(intervals=3))
    odd = [
        dataclasses.replace(each, loss=float("nan"), metrics={"Accuracy": float("inf")}, from_time_s=-1e300) for each in curves.intervals
    ]
    found = payload(summary, dataclasses.replace(curves, intervals=odd))
    assert all(curve["loss"] is None and curve["metrics"]["Accuracy"] is None for curve in found["curves"])
    assert found["shards"]["all"]["from"] is None


def test_marks_and_duel_points_are_bounded_and_what_is_left_out_is_counted() -> None:
    summary, curves = made(Shape(variants=1, drifts=3 * MARKS_MAX, intervals=100))
    found = payload(summary, curves)
    drifts = [mark for mark in found["marks"] if mark[2] == "drift"]
    assert len(drifts) <= MARKS_MAX + 1
    assert found["leftOut"] == len(curves.marks) - len(found["marks"])
    assert drifts[-1][3] == max(mark.position for mark in curves.marks if mark.kind == "drift")
    one = curves.duels[0]
    many = [dataclasses.replace(one, position=number) for number in range(3 * DUEL_POINTS_MAX)]
    thinned = payload(summary, dataclasses.replace(curves, duels=many))["duels"]
    assert len(thinned) <= DUEL_POINTS_MAX + 1
    assert thinned[-1][4] == many[-1].position


def test_a_metric_of_which_less_is_better_is_known_as_such() -> None:
    assert payload(*made(Shape(task="regression")))["metrics"] == [{"name": "MAE", "up": False}]
    assert payload(*PLAIN)["metrics"] == [{"name": "Accuracy", "up": True}]


# ---- the file


@pytest.mark.slow
def test_the_page_is_a_function_of_the_result_and_asks_for_nothing() -> None:
    page = render_report(*PLAIN)
    assert page == render_report(*PLAIN)
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy.replace("&#39;", "'").startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy
    tags = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!#|data:,")', tags)


def test_what_comes_from_users_cannot_become_a_tag() -> None:
    summary, curves = made(Shape(names=(NASTY,)))
    odd = dataclasses.replace(summary, notes=[NASTY], source=NASTY, command=NASTY, versions={NASTY: NASTY}, pipeline=NASTY)
    page = render_report(odd, curves)
    assert len(re.findall(r"<script\b", page)) == 3
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page, "a name is text, never a template"
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["variants"][0]["name"] == NASTY


def test_a_partial_result_says_so_at_the_top() -> None:
    page = render_report(*made(Shape(partial=True)))
    assert page.index("Partial result.") < page.index("<h1")
    assert "Partial result." not in render_report(*PLAIN)


def test_notes_command_and_versions_are_in_the_page() -> None:
    page = render_report(*PLAIN)
    for text in ["Retention has deleted 1,204 records", "stream-retrain backtest shop.py:orders", "0.26.1", "orders.jsonl.gz"]:
        assert text in page


@pytest.mark.slow
def test_a_million_events_of_twelve_variants_on_twelve_partitions_stay_below_five_megabytes(tmp_path: Path) -> None:
    shape = Shape(variants=12, partitions=12, intervals=200, records=5_000, drifts=50, names=(LONG,))
    summary, curves = made(shape)
    assert summary.events > 999_000
    write_report(summary, curves, tmp_path / "large.html")
    assert (tmp_path / "large.html").stat().st_size < 5_000_000


def test_a_report_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    write_report(*PLAIN, path)
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_written_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in [
        (tmp_path, "it is a folder"),
        (tmp_path / "none" / "report.html", "does not exist"),
        (tmp_path / "file" / "report.html", "does not exist"),
    ]:
        with pytest.raises(SettingsError, match=why):
            check_report_path(path)
        with pytest.raises(SettingsError, match=re.escape(str(path))):
            write_report(*PLAIN, path)
    with pytest.raises(SettingsError, match="cannot be written"):
        write_report(*PLAIN, Path("/proc/report.html"))


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hint = re.escape("a report needs vl-convert-python and Jinja2, which are not installed: pip install 'stream_retrain[report]'")
    for module in ("vl_convert", "jinja2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            for does in (lambda: render_report(*PLAIN), lambda: check_report_path(tmp_path / "report.html")):
                with pytest.raises(SettingsError, match=hint):
                    does()
