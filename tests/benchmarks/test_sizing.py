"""The benchmark that sizes an installation measures what the page says it does."""

from __future__ import annotations

import pytest

from benchmarks.sizing import PARTITIONS, sized
from stream_retrain.errors import LocalStackError
from stream_retrain.local import LocalStack
from stream_retrain.settings import load_settings

pytestmark = [pytest.mark.services, pytest.mark.slow]


def test_everything_of_a_model_is_measured() -> None:
    try:
        stack = LocalStack.start()  # one of its own: the size of topics is that of its files
    except LocalStackError as error:
        pytest.skip(str(error))
    with stack:
        places = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        settings = load_settings(None, {}, {**places, "http_port": 0, "log_level": "error", "trainer": "off"})
        found = sized("StandardScaler | LogisticRegression", 2_000, stack, settings)
        waiting = sized("StandardScaler | LogisticRegression", 2_000, stack, settings, labelled=False)
    assert found["window_rows"] == 2_000 / PARTITIONS, "every row is in a window"
    assert 8 * 8 < found["window_row_bytes"] < 300, "eight numbers of eight bytes, and little else"
    assert 1_000 < found["checkpoint_bytes"] < found["other_bytes"]
    assert 0 < found["outputs_disk_bytes"] < found["source_disk_bytes"]
    assert found["worker_mib"] > PARTITIONS * found["shard_mib"] > 0
    assert found["events_per_core_s"] == pytest.approx(1e6 / found["cpu_us"], rel=0.01)
    assert waiting["window_rows"] == 0, "no label has come"
    assert 8 * 8 < (waiting["checkpoint_bytes"] * PARTITIONS / 2_000) < 1_000, "a checkpoint holds every question"
