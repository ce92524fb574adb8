"""Several expositions as one, read by the parsers of both formats."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from stream_retrain.facts.worker import Assigned
from stream_retrain.views.catalogue import PREFIX
from stream_retrain.views.merge import merged
from stream_retrain.views.metrics import Metrics, PipelineLabels
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

OPEN = "application/openmetrics-text; version=1.0.0"
ODD = 'a "quoted" } name, with\nbreaks and \\ and {braces} '


def exposition(accept: str, *, name: str = "flights", shard: bool = True) -> str:
    metrics = Metrics(PipelineLabels(name=name, task="binary", topic="t", model="M", watches=(("ADWIN", "error"),)), "1")
    if shard:
        for fact in (Assigned(shard=SHARD, offset=0, live_from=0), processed(*EXAMPLES.values()), observed()):
            metrics(fact)
    return metrics.render(accept)[1].decode()


@pytest.mark.parametrize("accept", ["", OPEN], ids=["text", "OpenMetrics"])
def test_every_sample_is_there_once_for_each_worker_and_a_family_stands_together(accept: str) -> None:
    read = open_metrics_families if accept else text_string_to_metric_families
    whole = {"0": exposition(accept), "1": exposition(accept, name=ODD), "2": exposition(accept, shard=False)}
    families = list(read(merged("worker", whole)))
    assert len({family.name for family in families}) == len(families)
    found = [(each.name, sorted(each.labels.items()), str(each.value)) for family in families for each in family.samples]
    expected = [
        (each.name, sorted({**each.labels, "worker": worker}.items()), str(each.value))
        for worker, text in whole.items()
        for family in read(text)
        for each in family.samples
    ]
    assert sorted(found) == sorted(expected)


def test_a_family_keeps_its_type_and_its_help() -> None:
    one = {family.name: (family.type, family.documentation) for family in text_string_to_metric_families(exposition(""))}
    both = merged("worker", {"0": exposition(""), "1": exposition("")})
    assert {family.name: (family.type, family.documentation) for family in text_string_to_metric_families(both)} == one
    assert both.count(f"# TYPE {PREFIX}quality gauge") == 1


def test_a_family_that_only_a_later_one_has_is_there_with_its_comments() -> None:
    text = merged("worker", {"0": "# TYPE a gauge\na 1\n", "1": "# HELP b of b\n# TYPE b gauge\nb 2\n# TYPE a gauge\na 3\n"})
    assert text == '# TYPE a gauge\na{worker="0"} 1\na{worker="1"} 3\n# HELP b of b\n# TYPE b gauge\nb{worker="1"} 2\n'


def test_what_is_the_parent_s_own_has_no_label() -> None:
    own = '# TYPE up gauge\nup{worker="0"} 1\n'
    assert merged("worker", {"0": "# TYPE a gauge\na 1\n"}, [own]) == f'{own}# TYPE a gauge\na{{worker="0"}} 1\n'


def test_a_brace_in_a_value_is_not_taken_for_labels() -> None:
    assert merged("worker", {"0": "# TYPE a gauge\na 1 # {}\n"}) == '# TYPE a gauge\na{worker="0"} 1 # {}\n'


def test_nobody_answered() -> None:
    assert merged("worker", {}) == ""
    assert merged("worker", {}, ["# EOF\n"]) == "# EOF\n"


def test_the_shards_of_two_workers_do_not_mix() -> None:
    first, second = (Metrics(PipelineLabels(name="p", task="binary", topic="t", model="M"), "1") for _ in range(2))
    first(observed(SHARD))
    second(observed(OTHER))
    text = merged("worker", {"0": first.render("")[1].decode(), "1": second.render("")[1].decode()})
    assert f'{PREFIX}model_generation{{worker="0",partition="3",pipeline="p"}} 2.0' in text
    assert f'{PREFIX}model_generation{{worker="1",partition="4",pipeline="p"}} 2.0' in text
