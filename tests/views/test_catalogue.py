"""The catalogue as Prometheus's rules for names want it, and the page that is made from it."""

from __future__ import annotations

import re

import pytest

from docs import metrics as page
from stream_retrain.views.catalogue import CATALOGUE, LABELS, Family

families = pytest.mark.parametrize("family", CATALOGUE, ids=lambda family: family.name)


@families
def test_a_name_has_base_units_and_no_ending_that_its_kind_gives(family: Family) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", family.name)
    assert not family.name.endswith(("_total", "_info", "_count", "_sum", "_bucket", "_ms", "_milliseconds", "_minutes", "_kb", "_percent"))
    if family.kind == "histogram":
        assert family.name.endswith("_seconds")


@families
def test_buckets_ascend_and_only_histograms_have_them(family: Family) -> None:
    assert bool(family.buckets) == (family.kind == "histogram")
    assert list(family.buckets) == sorted(set(family.buckets))


@families
def test_every_label_is_explained_and_none_is_reserved(family: Family) -> None:
    assert set(family.every_label) <= LABELS.keys()
    assert not set(family.labels) & {"job", "instance", "le", "quantile", "alertname"}
    assert len(set(family.every_label)) == len(family.every_label)


def test_names_are_unique_and_no_label_is_explained_that_is_not_used() -> None:
    assert len({family.name for family in CATALOGUE}) == len(CATALOGUE)
    assert {label for family in CATALOGUE for label in family.every_label} == LABELS.keys()


def test_the_page_is_made_from_the_catalogue() -> None:
    assert page.PAGE.read_text() == page.page(), "run `make docs`"


def test_the_page_has_every_family_by_the_name_it_is_scraped_under() -> None:
    told = page.page()
    assert all(f"| `{family.exposed.removeprefix('stream_retrain_')}` | {family.kind} |" in told for family in CATALOGUE)
    assert "buckets 0.001, 0.0025" in told
