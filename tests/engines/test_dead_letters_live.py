"""Dead letters at a real Kafka: counted and filtered, sent back once wherever the sending is killed, and refused again with a count."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain import Pipeline, Shard
from stream_retrain.cli import main
from stream_retrain.engines.kafka.letters import Note, Replayed, Selection, letters_topic, notes_topic, read_letters, read_replayed
from stream_retrain.engines.kafka.letters_replay import Step, replay_letters
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.errors import BrokerError, FencedError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.live import FILE, Place, has
from tests.engines.support import Stored, read_topic

pytestmark = [pytest.mark.services, pytest.mark.slow]

BAD: dict[str, bytes | None] = {"decode": b"{", "schema": b'{"id":"x","a":"free"}', "empty": None, "too_large": b"[" + b"1," * 400 + b"1]"}
BYTES_MAX = 500


class Letters:
    """A pipeline with records in its source that were refused, as a worker leaves them; two partitions."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services, self.file = services, folder / "pipeline.py"
        self.file.write_text(FILE.format(name=services.name("letters"), source=services.name("events")))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        self.settings: Settings = load_settings(
            None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url, "allow_unsigned": True}
        )
        self.producer = Producer({"bootstrap.servers": services.bootstrap_servers})
        for topic in (self.pipeline.source, letters_topic(self.pipeline.name)):
            create_topic(self.settings, topic, 2)

    def refuse(self, *reasons: str, partition: int = 0) -> None:
        """Publish records that are refused, and put what a lane makes of them into the dead-letter topic."""
        before = len(self.source(partition))
        records = [
            Record(before + number, b"key %d" % number, BAD[reason], 1_700_000_000_000 + number, [("trace", b"t%d" % number)])
            for number, reason in enumerate(reasons)
        ]
        for record in records:
            where: dict[str, Any] = {"partition": partition, "timestamp": record.timestamp_ms, "headers": list(record.headers or ())}
            self.producer.produce(self.pipeline.source, record.value, record.key, **where)
        decoder = EventDecoder.of(self.pipeline, record_bytes_max=BYTES_MAX)
        lane = Lane(ShardId(self.pipeline.name, self.pipeline.source, partition), Shard(self.pipeline), decoder)
        step = lane.take(Records.of(records))
        assert step is not None
        for _, _, key, value, headers in step.outputs:
            self.producer.produce(letters_topic(self.pipeline.name), value, key, partition=partition, headers=headers)
        assert self.producer.flush(20) == 0

    def source(self, partition: int = 0) -> list[Stored]:
        from stream_retrain.engines.kafka.read import read_topic

        return read_topic(self.settings, self.pipeline.source)[partition]

    def sent_back(self, total: int) -> collections.Counter[str]:
        """How often each letter stands in the source, by its mark, once so many do: a commit can be read a moment later."""
        until_s = time.monotonic() + 20
        while (found := self._sent_back()).total() < total and time.monotonic() < until_s:
            time.sleep(0.05)
        return found

    def _sent_back(self) -> collections.Counter[str]:
        marks = [
            record.headers["sr_replayed"].decode() for each in (0, 1) for record in self.source(each) if "sr_replayed" in record.headers
        ]
        return collections.Counter(mark.partition("/")[2] for mark in marks)

    def replay(self, **chosen: Any) -> Any:
        return replay_letters(self.settings, self.pipeline, Selection(**chosen))

    def command(self, *arguments: str) -> list[str]:
        return ["dead-letters", arguments[0], str(self.file), *arguments[1:]]


@pytest.fixture
def letters(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Letters:
    services.given_here(monkeypatch)
    return Letters(services, tmp_path)


def ran(capsys: pytest.CaptureFixture[str], command: list[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(command)
    told = capsys.readouterr()
    return int(str(ended.value.code)), told.out, told.err


def test_they_are_counted_filtered_and_shown(letters: Letters, capsys: pytest.CaptureFixture[str]) -> None:
    letters.refuse("decode", "schema", "schema", "empty", "too_large")
    letters.refuse("schema", partition=1)
    code, out, _ = ran(capsys, letters.command("list", "--json"))
    shown = json.loads(out)
    assert (code, shown["letters"], shown["replayed"]) == (0, 6, 0)
    assert shown["by_reason"] == {"schema": 3, "decode": 1, "empty": 1, "too_large": 1}
    assert shown["by_field"] == {"a": 3}
    first = next(each for each in shown["shown"] if each["reason"] == "schema" and each["partition"] == 0)
    assert first["origin"] == {"topic": letters.pipeline.source, "partition": 0, "offset": 1}
    assert (first["key"], first["value"], first["headers"]) == ("key 1", '{"id":"x","a":"free"}', [["trace", "t1"]])
    assert first["detail"] == "Expected `float`, got `str`"
    for options, count in [
        (["--reason", "schema"], 3),
        (["--field", "a", "--partition", "1"], 1),
        (["--partition", "0", "--from", "0:1", "--to", "0:3"], 2),
        (["--to", "2020-01-01T00:00Z"], 0),
    ]:
        assert json.loads(ran(capsys, letters.command("list", "--json", *options))[1])["letters"] == count, options
    code, out, _ = ran(capsys, letters.command("list", "-n", "1", "--reason", "too_large"))
    assert "0/4" in out
    assert "by reason: too_large 1" in out
    assert f"1 dead letters in {letters_topic(letters.pipeline.name)}, 0 of them were sent back" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--reason", "odd"], "'odd' is none of empty, too_large"),
        (["--from", "yesterday"], "from=yesterday: use 2026"),
        (["--from", "offset:5", "--to", "offset:5"], "from is not before to"),
        (["--partition", "7"], "has the partitions 0 to 1, and not 7"),
    ],
)
def test_a_filter_that_is_none_is_usage(letters: Letters, capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    code, out, err = ran(capsys, letters.command("list", *options))
    assert (code, out) == (2, "")
    assert words in err


def test_a_letter_is_sent_back_as_it_came_with_a_mark_and_once(letters: Letters, capsys: pytest.CaptureFixture[str]) -> None:
    letters.refuse("decode", "schema")
    code, out, _ = ran(capsys, letters.command("replay", "--dry-run", "--json"))
    assert (code, json.loads(out)["replayed"], letters.sent_back(0).total()) == (0, 2, 0)
    code, out, _ = ran(capsys, letters.command("replay"))
    assert code == 0
    assert "2 dead letters were sent back" in out
    assert letters.sent_back(2) == {"0/0": 1, "0/1": 1}
    record = letters.source()[-1]
    assert (record.key, record.value, record.timestamp_ms) == (b"key 1", BAD["schema"], 1_700_000_000_001)
    assert record.headers == {"trace": b"t1", "sr_replayed": f"{letters_topic(letters.pipeline.name)}/0/1".encode(), "sr_replays": b"1"}
    code, out, _ = ran(capsys, letters.command("replay", "--json"))
    assert json.loads(out) | {"examples": 0} == {
        "pipeline": letters.pipeline.name,
        "source": letters.pipeline.source,
        "dry_run": False,
        "chosen": 2,
        "before": 2,
        "replayed": 0,
        "not_replayable": 0,
        "by_reason": {},
        "examples": 0,
    }
    assert letters.sent_back(2) == {"0/0": 1, "0/1": 1}, "and no more"
    assert "2 of them were sent back" in ran(capsys, letters.command("list"))[1]


def test_what_other_filters_chose_before_is_not_sent_again_and_the_rest_is(letters: Letters) -> None:
    letters.refuse("decode", "schema", "decode", "schema")
    letters.refuse("decode", partition=1)
    assert letters.replay(reason="decode").replayed == 3
    rest = letters.replay()
    assert (rest.chosen, rest.before, rest.replayed) == (5, 3, 2)
    letters.refuse("decode")
    assert letters.replay().replayed == 1
    sent = letters.sent_back(6)
    assert (set(sent.values()), sent.total()) == ({1}, 6)


KILL = """
import os, sys
from stream_retrain.engines.kafka.letters import Selection
from stream_retrain.engines.kafka import letters_replay
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
letters_replay.BATCH = 2
left = 2
def at(step):
    global left
    left -= step == sys.argv[2]
    if left <= 0:
        os.kill(os.getpid(), 9)
letters_replay.replay_letters(load_settings(None), load_pipeline(sys.argv[1]), Selection(), on_step=at)
"""


@pytest.mark.parametrize("step", ["sent", "noted", "committed"])
def test_killed_in_the_second_of_three_transactions_it_loses_and_doubles_nothing(letters: Letters, step: Step) -> None:
    letters.refuse(*["decode"] * 3)
    letters.refuse(*["decode"] * 3, partition=1)
    done = subprocess.run([sys.executable, "-c", KILL, str(letters.file), step], env=letters.services.environment, capture_output=True)
    assert done.returncode == -9, done.stderr
    report = letters.replay()
    assert (report.chosen, report.before) == (6, 4 if step == "committed" else 2)
    assert letters.sent_back(6) == {f"{partition}/{offset}": 1 for partition in (0, 1) for offset in range(3)}


def test_a_run_that_another_one_overtakes_sends_nothing_any_more(letters: Letters) -> None:
    letters.refuse("decode", "schema")
    waiting, go_on = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def hold(step: Step) -> None:
        if step == "sent":
            waiting.set()
            assert go_on.wait(60)

    def first() -> None:
        try:
            replay_letters(letters.settings, letters.pipeline, Selection(), on_step=hold)
        except BrokerError as error:
            failed.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert waiting.wait(60)
    assert letters.replay().replayed == 2
    go_on.set()
    thread.join(60)
    assert [type(error) for error in failed] == [FencedError]
    assert letters.sent_back(2) == {"0/0": 1, "0/1": 1}


def test_the_value_of_one_that_was_too_large_comes_from_the_source(letters: Letters) -> None:
    letters.refuse("too_large")
    assert letters.replay().replayed == 1
    assert letters.sent_back(1) == {"0/0": 1}
    assert letters.source()[-1].value == BAD["too_large"]
    assert letters.source()[-1].headers["trace"] == b"t0"


def test_what_cannot_be_sent_back_is_named(letters: Letters) -> None:
    letters.refuse("empty", "too_large", "decode")
    admin = letters.producer
    admin.produce(letters_topic(letters.pipeline.name), b"no letter", partition=0, headers=[("sr_reason", b"schema")])
    assert admin.flush(20) == 0
    cut(letters, 2)
    report = letters.replay()
    assert (report.chosen, report.replayed, report.not_replayable) == (3, 1, 2)
    assert [each.why for each in report.examples] == [
        "the record had no value",
        f"its value is in no dead letter, and {letters.pipeline.source!r} does not hold offset 1 any more",
    ]


def test_another_record_at_its_place_is_not_sent_back(letters: Letters) -> None:
    letters.refuse("too_large")
    [letter] = read_topic(letters.services, letters_topic(letters.pipeline.name))[0]
    headers = {name: value for name, value in letter.headers.items() if value is not None} | {"sr_bytes": b"7"}
    letters.producer.produce(letters_topic(letters.pipeline.name), letter.value, letter.key, partition=0, headers=list(headers.items()))
    assert letters.producer.flush(20) == 0
    report = letters.replay()
    assert (report.chosen, report.replayed, report.not_replayable) == (2, 1, 1)
    place = f"{letters.pipeline.source!r} holds another record at its place"
    assert [each.why for each in report.examples] == [f"its value is in no dead letter, and {place}"]


def cut(letters: Letters, before: int) -> None:
    """Delete the first records of the source."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": letters.services.bootstrap_servers})
    [done] = admin.delete_records([TopicPartition(letters.pipeline.source, 0, before)]).values()
    done.result(20)


def test_notes_are_of_one_dead_letter_topic_and_others_are_passed_over(letters: Letters) -> None:
    letters.refuse("decode")
    create_topic(letters.settings, notes_topic(letters.pipeline.name), 1)
    other = b'{"topic_id":"of another topic","partition":0,"offsets":[[0,0]]}'
    for value in (other, b"no JSON", None, b'{"topic_id":1}'):
        letters.producer.produce(notes_topic(letters.pipeline.name), value)
    assert letters.producer.flush(20) == 0
    assert (0, 0) not in read_replayed(letters.settings, letters.pipeline.name)
    assert letters.replay().replayed == 1
    assert letters.sent_back(1) == {"0/0": 1}
    assert (0, 0) in read_replayed(letters.settings, letters.pipeline.name)


def test_a_note_says_ranges() -> None:
    replayed = Replayed()
    replayed.add(Note(topic_id="", partition=1, offsets=[(3, 5), (9, 9)]))
    assert [offset for offset in range(12) if (1, offset) in replayed] == [3, 4, 5, 9]
    assert (0, 3) not in replayed


def test_without_a_dead_letter_topic_it_is_said_so(services: Services) -> None:
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    with pytest.raises(BrokerError, match="dead_letters"):
        list(read_letters(settings, services.name("nobody"), Selection()))


def declared(place: Place, b: str) -> Pipeline:
    """The pipeline with a second feature of this type."""
    place.file.write_text(place.file.read_text().replace('{"a": float}', f'{{"a": float, "b": {b}}}').replace('"b": float}', f'"b": {b}}}'))
    return load_pipeline(str(place.file))


def test_after_a_fix_a_worker_predicts_them_and_what_is_refused_again_has_a_count(services: Services, tmp_path: Path) -> None:
    place = Place(services, tmp_path)
    declared(place, "float")
    producer = Producer({"bootstrap.servers": services.bootstrap_servers})
    for value in (b'{"id":"n1","a":1,"y":true}', b"rubbish", b'{"id":"n2","a":2}', b'{"id":"g","a":1,"b":1,"y":true}'):
        producer.produce(place.source, value)
    assert producer.flush(20) == 0
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    with place.worker() as running:
        running.wait_for(has(running, 4))
        running.stop()
    assert place.ids() == ["g"]
    pipeline = declared(place, "float | None")
    with place.worker(checkpoint_unfit="window") as running:
        running.wait_for(lambda: running.status()["ready"])
        assert replay_letters(settings, pipeline, Selection()).replayed == 3
        running.wait_for(lambda: len(letters_of(settings, pipeline)) == 4)
        running.wait_for(lambda: len(place.ids()) == 3)
    assert place.ids() == ["g", "n1", "n2"]
    found = letters_of(settings, pipeline)
    assert [(each.reason, each.replays, bool(each.replayed)) for each in found] == [
        ("schema", 0, False),
        ("decode", 0, False),
        ("schema", 0, False),
        ("decode", 1, True),
    ]
    assert found[-1].replayed == f"{letters_topic(pipeline.name)}/0/1"


def letters_of(settings: Settings, pipeline: Pipeline) -> list[Any]:
    return [each.letter for each in read_letters(settings, pipeline.name, Selection())]
