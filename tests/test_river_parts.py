"""Each part of River goes through the trial, 200 events, a checkpoint, a restore and 20 events more; or it is refused at load.

docs/models.md lists what is refused and why: `python -m tests.river_parts` writes it.
"""

from __future__ import annotations

import pytest

from stream_retrain import PipelineError
from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.state import dump_state
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import DetectorFailed, Rejected
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.shard import Shard
from tests import river_parts

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PARTS = list(river_parts.parts())


@pytest.mark.parametrize("part", PARTS, ids=[f"{part.name}-{number}" for number, part in enumerate(PARTS)])
def test_a_part_goes_on_after_a_restore_as_if_it_had_never_stopped_or_is_refused(part: river_parts.Part) -> None:
    for make in river_parts.pipelines(part):
        try:
            pipeline = make()
        except PipelineError:
            continue
        lines = river_parts.records(pipeline)
        decoder = EventDecoder(pipeline.schema, pipeline.task, record_bytes_max=10_000)
        events = decoder.decode_batch(records_of(lines)).events
        assert len(events) == len(lines)
        whole = Shard(pipeline)
        first = whole.process(events[: river_parts.EVENTS])
        assert not [fact for fact in first.facts if isinstance(fact, Rejected | DetectorFailed)]
        state = dump_state(whole.snapshot())
        restored = Shard(pipeline, open_payload(state, pipeline, "the state"))
        assert restored.digest() == whole.digest()
        rest = events[river_parts.EVENTS :]
        expected, got = whole.process(rest), restored.process(rest)
        assert digest(got.predicted) == digest(expected.predicted)
        assert restored.digest() == whole.digest()
        restored.observe()


def test_the_docs_list_what_is_refused() -> None:
    assert river_parts.written(river_parts.DOCS.read_text()) == river_parts.table(), "write it again: python -m tests.river_parts"


def records_of(lines: list[bytes]) -> Records:
    return Records.of(Record(number, None, line, 1_700_000_000_000 + 1_000 * number) for number, line in enumerate(lines))
