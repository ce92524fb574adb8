"""The training itself: the same rows in the same order make the same model, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.models import open_model, seal_model, verify_model
from stream_retrain.core.contest.cause import challenger_of
from stream_retrain.core.contest.challenger import Challenger, TopicRange, Window
from stream_retrain.core.digest import digest
from stream_retrain.engines.trainer import InlineTrainer, Job, JobDone, JobFailed, train_job
from stream_retrain.errors import StateError, StoreError, TrainingError
from stream_retrain.facts.values import Learned
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.engines import trainer_support as support
from tests.engines.trainer_support import KEYRING, MODEL, TREE


@pytest.fixture
def stores() -> Stores:
    return connect("memory://")


def done(of: Pipeline, stores: Stores, wanted: Job, **more: Any) -> JobDone:
    return train_job(wanted, of, stores.window, KEYRING, **more)


@pytest.mark.parametrize(
    ("window", "passes", "first"),
    [(Window(rows=700), 1, 300), (Window(rows=700), 3, 300), (Window(seconds=100.0), 1, 899), (Window(rows=5_000), 2, 0)],
    ids=["rows", "passes", "seconds", "more than there are"],
)
def test_it_learns_the_window_through_the_offset_and_then_what_came_since(stores: Stores, window: Window, passes: int, first: int) -> None:
    of = support.pipeline(Challenger(name="long", window=window, passes=passes))
    rows = support.rows(1_200)
    epoch = support.fill(stores, of, rows)
    trained = done(of, stores, support.job(of, epoch, 999))
    assert support.digest_of(trained, of) == support.taught(MODEL, rows[first:1_000], rows[1_000:], passes=passes)
    assert (trained.learned_through, trained.rows, trained.gap) == (1_199, (1_000 - first) * passes + 200, False)


def test_since_change_is_counted_as_the_shard_counts_it(stores: Stores) -> None:
    of = support.pipeline(Challenger(name="again", window=Window(since_change=True), passes=2))
    rows = [row._replace(y_pred=row.y if row.offset < 850 else not row.y) for row in support.rows(1_000)]
    trained = done(of, stores, support.job(of, support.fill(stores, of, rows), 999))
    assert support.digest_of(trained, of) == support.taught(MODEL, rows[850:], passes=2)


def test_another_family_and_a_warm_start_learn_the_window(stores: Stores) -> None:
    window = Window(rows=400)
    of = support.pipeline(Challenger(name="tree", window=window, passes=2, model=TREE))
    warm = support.pipeline(Challenger(name="warm", start="champion", window=window, passes=2))
    rows = support.rows(600)
    trained = done(of, stores, support.job(of, support.fill(stores, of, rows), 599))
    assert support.digest_of(trained, of) == support.taught(TREE, rows[200:], passes=2)
    champion = MODEL.clone()
    for row in rows:
        champion.learn_one(row.x, row.y)
    base = seal_model(champion, warm, support.shard_of(warm), KEYRING, learned_through=599, generation=7)
    trained = done(warm, stores, support.job(warm, support.fill(stores, warm, rows), 599, base=base))
    expected = MODEL.clone()
    for row in [*rows, *rows[200:], *rows[200:]]:
        expected.learn_one(row.x, row.y)
    header, _ = verify_model(trained.sealed, warm, trained.shard, KEYRING)
    assert support.digest_of(trained, warm) == digest(expected)
    assert (header.kind, header.generation, header.offset, header.extra["training"]) == ("model", 7, 600, "0")


def test_a_training_can_start_from_a_stored_version(stores: Stores) -> None:
    stored = TREE.clone()
    rows = support.rows(1_000)
    for row in rows[:500]:
        stored.learn_one(row.x, row.y)
    of = support.pipeline(Challenger(name="stored", start="given", window=Window(rows=450), model=stored))
    trained = done(of, stores, support.job(of, support.fill(stores, of, rows), 999))
    assert support.digest_of(trained, of) == support.taught(TREE, [*rows[:500], *rows[550:]])


def test_an_earlier_result_only_catches_up(stores: Stores) -> None:
    of = support.pipeline()
    rows = support.rows(2_500)
    epoch = support.fill(stores, of, rows[:2_000])
    first = done(of, stores, support.job(of, epoch, 1_999))
    support.append(stores, of, epoch, rows[2_000:])
    again = done(of, stores, support.job(of, epoch, 1_999, base=first.sealed, learned_through=first.learned_through))
    assert (again.rows, again.learned_through) == (500, 2_499)
    assert support.digest_of(again, of) == support.taught(MODEL, rows[:2_000], rows[2_000:], passes=2)


def test_a_window_trimmed_beyond_what_was_learned_is_reported(stores: Stores) -> None:
    of = support.pipeline()
    epoch = support.fill(stores, of, support.rows(2_000), rows_max=500)
    base = done(of, stores, support.job(of, epoch, 1_999)).sealed
    assert done(of, stores, support.job(of, epoch, 1_999, base=base, learned_through=700)).gap
    assert not done(of, stores, support.job(of, epoch, 1_999, base=base, learned_through=1_900)).gap


def test_rows_that_newer_ones_pushed_out_before_the_trainer_came_are_told_with_what_helps(stores: Stores) -> None:
    of = support.pipeline()
    epoch = support.fill(stores, of, support.rows(2_000), rows_max=500)
    with pytest.raises(TrainingError, match=r"no rows through offset 900: by now it begins at 1500\..* a larger window_rows_max"):
        done(of, stores, support.job(of, epoch, 900))


def test_a_topic_range_is_read_by_the_reader_that_was_given(stores: Stores) -> None:
    wanted = TopicRange(topic="history", to_time_s=50.0)
    of = support.pipeline(Challenger(name="all", window=Window(topic=wanted)))
    rows, recent = support.rows(300), support.rows(20, first=300)
    epoch = support.fill(stores, of, recent)
    asked: list[tuple[Pipeline, Job, TopicRange]] = []

    def read(given: Pipeline, job: Job, topic_range: TopicRange) -> Iterable[Learned]:
        asked.append((given, job, topic_range))
        yield from rows

    job = support.job(of, epoch, 299)
    trained = done(of, stores, job, read_topic=read)
    assert asked == [(of, job, wanted)]
    assert support.digest_of(trained, of) == support.taught(MODEL, rows, recent)
    with pytest.raises(TrainingError, match="learns from topic 'history', and this trainer reads no topics"):
        done(of, stores, support.job(of, epoch, 299))


def test_it_reports_its_progress(stores: Stores) -> None:
    of = support.pipeline(Challenger(name="long", window=Window(rows=500), passes=2))
    reported: list[tuple[int, int | None]] = []
    wanted = support.job(of, support.fill(stores, of, support.rows(600)), 499)
    done(of, stores, wanted, progress=lambda rows, total: reported.append((rows, total)))
    assert reported == [(0, 1_000), (200, 1_000), (400, 1_000), (600, 1_000), (800, 1_000), (1_000, 1_000)]


def test_rows_that_have_not_reached_the_window_are_waited_for_and_then_an_error(stores: Stores) -> None:
    of = support.pipeline()
    epoch = support.fill(stores, of, support.rows(100))
    with pytest.raises(StoreError, match="ends at offset 99, and the training needs the rows through offset 120"):
        done(of, stores, support.job(of, epoch, 120))
    with pytest.raises(StoreError, match="is empty"):
        done(of, connect("memory://"), support.job(of, epoch, 120))


def test_a_model_that_raises_on_every_row_fails(stores: Stores) -> None:
    of = support.pipeline(Challenger(name="bad", window=Window(rows=500), model=support.Raising()))
    with pytest.raises(TrainingError, match="raised on every row, 500 of them; first ZeroDivisionError: no such row"):
        done(of, stores, support.job(of, support.fill(stores, of, support.rows(600)), 599))


class TestSeals:
    def other(self, **changes: Any) -> Any:
        of = support.pipeline()
        return of, support.shard_of(of), seal_model(MODEL.clone(), of, support.shard_of(of), KEYRING, learned_through=9, **changes)

    def test_one_of_another_shard_or_pipeline_is_refused(self) -> None:
        of, shard, sealed = self.other()
        with pytest.raises(StateError, match="is of another partition"):
            open_model(sealed, of, shard._replace(partition=1), KEYRING)
        another = support.pipeline()
        with pytest.raises(StateError, match="is of another pipeline"):
            open_model(sealed, another, support.shard_of(another), KEYRING)
        with pytest.raises(StateError, match="its pipeline_digest is another"):
            open_model(sealed, support.pipeline(name=of.name, rolling_events=51), shard, KEYRING)

    def test_one_that_was_changed_or_signed_by_another_is_refused(self) -> None:
        of, shard, sealed = self.other()
        forged = sealed[:-1] + bytes([sealed[-1] ^ 1])
        with pytest.raises(StateError):
            verify_model(forged, of, shard, KEYRING)
        with pytest.raises(StateError, match="signed with the key 'k1'"):
            verify_model(sealed, of, shard, Keyring(keys=(Key(id="k2", secret=b"a secret of another"),)))
        with pytest.raises(StateError):
            verify_model(sealed, of, shard, Keyring(keys=(Key(id="k1", secret=b"a secret of another"),)))

    def test_a_base_without_a_valid_seal_ends_the_training(self, stores: Stores) -> None:
        of = support.pipeline(Challenger(name="warm", start="champion", window=Window(rows=400), passes=2))
        epoch = support.fill(stores, of, support.rows(500))
        with pytest.raises(TrainingError, match="starts from a model, and the job has none"):
            done(of, stores, support.job(of, epoch, 499))
        with pytest.raises(StateError):
            done(of, stores, support.job(of, epoch, 499, base=b"no seal at all"))


class TestInline:
    def test_a_job_is_done_in_submit_and_returned_once(self, stores: Stores) -> None:
        of = support.pipeline()
        rows = support.rows(2_000)
        trainer = InlineTrainer(of, stores, KEYRING)
        trainer.submit(support.job(of, support.fill(stores, of, rows), 1_999, training=4))
        [trained] = trainer.poll()
        assert isinstance(trained, JobDone)
        assert (trained.training, support.digest_of(trained, of)) == (4, support.taught(MODEL, rows, passes=2))
        assert trainer.poll() == []

    def test_a_failure_is_reported(self, stores: Stores) -> None:
        of = support.pipeline()
        trainer = InlineTrainer(of, stores, KEYRING)
        trainer.submit(support.job(of, 1, 1_999))
        [failed] = trainer.poll()
        assert isinstance(failed, JobFailed)
        assert "is empty" in failed.error

    def test_a_cancelled_job_is_not_returned(self, stores: Stores) -> None:
        of = support.pipeline()
        trainer = InlineTrainer(of, stores, KEYRING)
        trainer.submit(support.job(of, support.fill(stores, of, support.rows(2_000)), 1_999))
        trainer.cancel(support.shard_of(of))
        assert trainer.poll() == []


def test_a_rule_without_challengers_has_no_training() -> None:
    of = support.pipeline(react=[])
    with pytest.raises(TrainingError, match="has no challenger 0"):
        challenger_of(of, support.training(5))
