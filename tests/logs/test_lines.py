"""A record as a line, to read or as JSON."""

from __future__ import annotations

import datetime
import logging
import re
import sys
import time
from collections.abc import Iterator

import pytest

from stream_retrain.facts.shard import DriftDetected, ModelReset
from stream_retrain.logs import ALWAYS, fields_with
from tests.facts.examples import EXAMPLES
from tests.logs.support import Lines
from tests.views.support import processed


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class TestJson:
    def test_a_line_is_an_object_with_the_fields_that_are_promised(self) -> None:
        lines = Lines(instance="host-0", pipeline="shop")
        before = datetime.datetime.now(datetime.UTC)
        lines.log.warning("waits %d s", 3, extra=fields_with(partition=7, cause=None))
        [told] = lines.objects
        at = datetime.datetime.fromisoformat(told.pop("timestamp"))
        assert abs(at - before) < datetime.timedelta(seconds=10)
        assert told == {
            "level": "warning",
            "event": "waits 3 s",
            "logger": "tests.lines",
            "instance": "host-0",
            "pipeline": "shop",
            "partition": 7,
        }

    @pytest.mark.usefixtures("zone")
    def test_the_timestamp_is_rfc_3339_in_utc(self) -> None:
        lines = Lines()
        lines.log.info("x")
        stamp = lines.objects[0]["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
        assert abs(datetime.datetime.fromisoformat(stamp).timestamp() - time.time()) < 10

    def test_a_decision_has_kind_place_and_cause(self) -> None:
        lines = Lines(instance="host-0", pipeline="another")
        lines.of_facts(processed(EXAMPLES[ModelReset]))
        [told] = lines.objects
        del told["timestamp"]
        assert told == {
            "level": "info",
            "event": "flights/flights.events/3 offset 10: the model was reset; generation 3 serves; cause: drift:error",
            "logger": "stream_retrain.worker",
            "instance": "host-0",
            "pipeline": "flights",
            "kind": "model.reset",
            "topic": "flights.events",
            "partition": 3,
            "offset": 10,
            "cause": "drift:error",
            "generation": 3,
        }

    def test_a_traceback_is_a_field_and_its_secrets_are_masked(self) -> None:
        lines = Lines("hunter22")
        try:
            raise ConnectionError("redis://u:hunter22@h refused hunter22")
        except ConnectionError:
            lines.log.exception("no store")
        [told] = lines.objects
        assert told["exception"].startswith("Traceback")
        assert told["exception"].endswith("ConnectionError: redis://u:***@h refused ***")
        assert "hunter22" not in lines.text

    def test_whatever_a_field_holds_is_one_line(self) -> None:
        lines = Lines()
        lines.log.info("a\nb", extra=fields_with(odd=object(), text="c\nd", many=(1, "é")))
        assert len(lines.lines) == 1
        assert lines.objects[0]["many"] == [1, "é"]


class TestText:
    @pytest.mark.usefixtures("zone")
    def test_a_line_has_date_zone_level_and_instance(self) -> None:
        lines = Lines(as_json=False, instance="host-0")
        lines.log.warning("%s is live", "shop")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+05:30 WARNING  host-0 shop is live\n", lines.text)

    def test_colours_are_for_those_who_ask(self) -> None:
        plain, coloured = Lines(as_json=False), Lines(as_json=False, coloured=True, instance="h")
        for lines in (plain, coloured):
            lines.log.error("x")
        assert "\x1b" not in plain.text
        assert "\x1b[31mERROR   \x1b[0m" in coloured.text
        assert coloured.text.endswith("\x1b[0m x\n")

    def test_a_text_of_input_is_one_line_and_orders_the_terminal_nothing(self) -> None:
        lines = Lines(as_json=False)
        lines.log.info("%s", "a\r\n2026-01-05 CRITICAL forged\x1b]0;title\x07\u2028\x85")
        assert len(lines.lines) == 1
        assert r"a\r\n2026-01-05 CRITICAL forged\x1b]0;title\x07\u2028\x85" in lines.text

    def test_a_traceback_and_a_stack_stand_below(self) -> None:
        lines = Lines(as_json=False)
        try:
            raise ValueError("x")
        except ValueError:
            lines.log.critical("ends", exc_info=sys.exc_info(), extra=fields_with(ALWAYS, stack="file, line 1\nfile, line 2"))
        assert lines.lines[-3:] == ["ValueError: x", "file, line 1", "file, line 2"]


class TestRepeats:
    def test_the_first_few_are_said_and_the_others_counted_with_the_next_line(self) -> None:
        lines = Lines()
        for number in range(191):
            lines.log.info("drift at %d", number, extra=fields_with("drift", offset=number))
        lines.log.info("reset", extra=fields_with(ALWAYS))
        assert lines.events == [*(f"drift at {number}" for number in range(5)), "reset"]
        lines.now_s = 60.0
        lines.log.info("live")
        assert lines.events[6:] == ["and 186 more of the kind in 60 s; the last: drift at 190", "live"]
        counted = lines.objects[6]
        assert (counted["repeated"], counted["offset"], counted["level"]) == (186, 190, "info")

    def test_a_timer_says_them_where_no_line_comes(self) -> None:
        lines = Lines()
        for _ in range(7):
            lines.log.info("same")
        lines.now_s = 61.0
        lines.handler.say_due()
        assert lines.events[5:] == ["and 2 more of the kind in 60 s; the last: same"]

    def test_the_end_says_them(self) -> None:
        lines = Lines()
        for _ in range(6):
            lines.log.info("same")
        lines.now_s = 2.0
        lines.handler.close()
        assert lines.events[5:] == ["and 1 more of the kind in 2 s; the last: same"]

    def test_lines_that_differ_in_numbers_alone_are_of_one_kind_but_errors_are_not(self) -> None:
        lines = Lines()
        for number in range(20):
            lines.log.warning("%s:%d is away for %.1f s", "127.0.0.1", number, number / 3)
            lines.log.error("checkpoint %d failed", number)
        assert sum("away" in event for event in lines.events) == 5
        assert sum("checkpoint" in event for event in lines.events) == 20

    def test_errors_that_are_the_same_are_counted(self) -> None:
        lines = Lines()
        for _ in range(20):
            lines.log.error("full")
        assert lines.events == ["full"] * 5

    def test_what_is_asked_for_is_said(self) -> None:
        lines = Lines()
        for _ in range(20):
            lines.log.debug("x")
        assert len(lines.lines) == 20

    def test_a_seasonal_feature_leaves_the_rest_to_be_read(self) -> None:
        lines = Lines()
        lines.of_facts(*[processed(EXAMPLES[DriftDetected])] * 188, *[processed(EXAMPLES[ModelReset])] * 7)
        lines.handler.close()
        kinds = [told["kind"] for told in lines.objects]
        assert kinds == ["drift.detected"] * 5 + ["model.reset"] * 7 + ["drift.detected"]
        assert lines.objects[-1]["repeated"] == 183


def test_a_stream_that_cannot_be_written_ends_nothing() -> None:
    lines = Lines()
    lines.stream.close()
    raising = logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        lines.log.info("x")
    finally:
        logging.raiseExceptions = raising
