"""The pool without processes: the worker's side and trainers, over a topic and stores in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from benchmarks.fuzz_mutations import mutated
from stream_retrain import Pipeline
from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.models import seal_model
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.engines.driver.inputs import Inputs
from stream_retrain.engines.trainer import InlineTrainer, Job, JobDone, JobFailed, JobProgressed, JobWaits, TrainerLimits, TrainerResult
from stream_retrain.engines.trainer.pool import PoolTrainer
from stream_retrain.engines.trainer.serve import BURST_S, Served, TicketServer
from stream_retrain.engines.trainer.tickets import open_ticket, trainers_group
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import TrainingWaits, WorkerFact
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Ending, Stores
from tests.engines import trainer_support as support
from tests.engines.pool_support import MemoryTopic, job, made
from tests.engines.trainer_support import KEYRING, MODEL

OTHER_KEY = Keyring(keys=(Key(id="k1", secret=b"a secret of a stranger"),))


class Slow:
    """A `Trainer` that trains when it is let."""

    def __init__(self, of: Pipeline, stores: Stores, begun: list[ShardId]) -> None:
        self._inline = InlineTrainer(of, stores, KEYRING)
        self._begun = begun
        self.job: Job | None = None
        self.let = False

    def submit(self, job: Job) -> None:
        self.job, self.let = job, False
        self._begun.append(job.shard)

    def poll(self) -> list[TrainerResult]:
        if self.job is None:
            return []
        if not self.let:
            return [JobProgressed(shard=self.job.shard, training=self.job.training.number, rows=7, rows_total=70)]
        self._inline.submit(self.job)
        self.job = None
        return self._inline.poll()

    def cancel(self, _: Any) -> None:
        self.job = None

    def close(self, _: float) -> None:
        self.job = None


class Pool:
    """Pipelines with a topic each, workers that ask, and trainers."""

    def __init__(self, pipelines: int = 1) -> None:
        self.stores = connect("memory://")
        self.pipelines = [made() for _ in range(pipelines)]
        self.topics = [MemoryTopic() for _ in self.pipelines]
        self.slow: list[Slow] = []
        self.begun: list[ShardId] = []
        """The shards of the trainings that slow trainers began, in order."""
        self.count = 0

    @property
    def of(self) -> Pipeline:
        return self.pipelines[0]

    @property
    def topic(self) -> MemoryTopic:
        return self.topics[0]

    def asker(self, number: int = 0, **limits: Any) -> PoolTrainer:
        return PoolTrainer(
            self.pipelines[number], self.stores.jobs, self.topics[number], KEYRING, TrainerLimits(**limits), lambda: self.count
        )

    def job(self, number: int = 0, *, partition: int = 0, challenger: str = "long", **changes: Any) -> Job:
        """A job for which the window has rows."""
        of = self.pipelines[number]
        shard = support.shard_of(of)._replace(partition=partition)
        epoch = self.stores.checkpoints.claim(shard)
        if self.stores.window.span(shard) is None:
            support.append_to(self.stores, shard, epoch, support.rows(50))
        return job(of, epoch, 49, challenger, partition=partition, **changes)

    def trainer(self, *, slow: bool = False, children: int = 1) -> TicketServer:
        def maker(of: Pipeline) -> Callable[[], Any]:
            def make() -> Any:
                if not slow:
                    return InlineTrainer(of, self.stores, KEYRING)
                self.slow.append(Slow(of, self.stores, self.begun))
                return self.slow[-1]

            return make

        places = zip(self.pipelines, self.topics, strict=True)
        served = [Served(pipeline=of, source=topic.join(), trainer=maker(of)) for of, topic in places]
        return TicketServer(served, self.stores.jobs, KEYRING, children=children)

    def tickets(self) -> list[bytes]:
        return [ticket for log in self.topic.logs for ticket in log]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr("stream_retrain.engines.trainer.pool.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("stream_retrain.engines.trainer.serve.HEARTBEAT_EVERY_S", 0.0)
    return Pool()


def turns(*trainers: TicketServer, count: int = 3) -> None:
    for _ in range(count):
        for trainer in trainers:
            trainer.turn(0.0)


def only(kind: type[Any], results: list[TrainerResult]) -> Any:
    [result] = [each for each in results if isinstance(each, kind)]
    return result


class TestATraining:
    def test_a_job_is_trained_and_its_result_is_not_kept(self, pool: Pool) -> None:
        asker, trainer = pool.asker(), pool.trainer()
        asker.submit(pool.job(training=4))
        turns(trainer)
        done = only(JobDone, asker.poll())
        assert (done.training, done.rows) == (4, 100)
        assert support.digest_of(done, pool.of) == support.taught(MODEL, support.rows(50), passes=2)
        assert trainer.outcomes == {"trained": 1, "failed": 0, "unwanted": 0, "given_back": 0, "dropped": 0}
        assert pool.stores.jobs.look(done.shard) is None

    def test_progress_is_reported_and_what_is_cancelled_or_replaced_ends(self, pool: Pool) -> None:
        asker, trainer = pool.asker(), pool.trainer(slow=True)
        asker.submit(pool.job(training=1))
        turns(trainer)
        assert only(JobProgressed, asker.poll()).rows == 7
        assert "training 1 of" in trainer.doing
        asker.submit(pool.job(training=2))
        assert only(JobFailed, asker.poll()).error == "a newer training of the shard took its place"
        turns(trainer)
        assert (trainer.outcomes["unwanted"], "training 2 of" in trainer.doing) == (1, True)
        asker.cancel(support.shard_of(pool.of))
        turns(trainer)
        assert (trainer.outcomes["unwanted"], trainer.doing) == (2, "idle")

    def test_a_model_to_start_from_is_the_one_that_the_ticket_names(self, pool: Pool) -> None:
        of, shard = pool.of, support.shard_of(pool.of)
        bases = [seal_model(MODEL.clone(), of, shard, KEYRING, learned_through=through) for through in (1, 2)]
        asker, trainer = pool.asker(), pool.trainer()
        asker.submit(pool.job(challenger="warm", base=bases[0]))
        state = pool.stores.jobs.look(shard)
        assert state
        pool.stores.jobs.ask(shard, pool.stores.checkpoints.claim(shard), state.token, 60.0, base=bases[1])  # genuine, and another
        turns(trainer)
        assert "was changed in the store" in only(JobFailed, asker.poll()).error

    def test_one_that_failed_for_good_is_not_tried_again_and_others_are(self, pool: Pool) -> None:
        asker, trainer = pool.asker(attempts_max=2), pool.trainer()
        asker.submit(pool.job(challenger="bad"))
        turns(trainer)
        failed = only(JobFailed, asker.poll())
        assert ("ZeroDivisionError" in failed.error, failed.attempts) == (True, 1)
        asker.submit(pool.job())
        for _ in range(2):
            state = pool.stores.jobs.look(failed.shard)
            assert state
            pool.stores.jobs.take(failed.shard, state.token)
            pool.stores.jobs.end(failed.shard, state.token, Ending(error="its process died", again=True))
            results = asker.poll()
        assert only(JobFailed, results).attempts == 2

    def test_several_at_a_time_and_the_pipelines_in_turn_the_oldest_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.serve.HEARTBEAT_EVERY_S", 0.0)
        pool = Pool(pipelines=2)
        busy, other = pool.asker(0), pool.asker(1)
        for partition in (3, 1, 2):
            busy.submit(pool.job(0, partition=partition))
            time.sleep(0.002)
        other.submit(pool.job(1))
        trainer = pool.trainer(slow=True, children=2)
        for _ in range(6):
            trainer.turn(0.0)
            assert sum(each.job is not None for each in pool.slow) <= 2
            for each in pool.slow:
                each.let = True
        begun = [(name == other._pipeline.name, partition) for name, _, partition in pool.begun]
        assert begun == [(False, 3), (True, 0), (False, 1), (False, 2)]
        assert trainer.outcomes["trained"] == 4


class TestTrainersThatComeAndGo:
    def test_one_that_is_told_to_stop_gives_back_and_another_begins_it_at_once(self, pool: Pool) -> None:
        asker, first, second = pool.asker(attempts_max=1), pool.trainer(slow=True), pool.trainer(slow=True)
        asker.submit(pool.job())
        turns(first, second)
        at_work, other = (first, second) if first.doing != "idle" else (second, first)
        at_work.close(time.monotonic())
        assert at_work.outcomes["given_back"] == 1
        assert asker.poll() == [], "it was no attempt"
        turns(other)
        assert "training 0" in other.doing
        pool.slow[1].let = True
        turns(other)
        assert only(JobDone, asker.poll()).rows == 100

    def test_one_that_is_silent_is_followed_by_another_and_its_late_result_is_dropped(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asker, first = pool.asker(), pool.trainer(slow=True)
        asker.submit(pool.job())
        turns(first)
        pool.topic.members.clear()
        second = pool.trainer(slow=True)
        asker.poll()
        turns(second)
        assert second.doing == "idle", "its heartbeats were there a moment ago"
        with monkeypatch.context() as patched:
            patched.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
            asker.poll()
        turns(second)
        assert second.doing != "idle"
        pool.slow[0].let = True
        turns(first)
        assert (first.outcomes["unwanted"], first.outcomes["trained"]) == (1, 0)
        assert not [each for each in asker.poll() if isinstance(each, JobDone)]
        pool.slow[1].let = True
        turns(second)
        assert only(JobDone, asker.poll()).rows == 100

    def test_a_job_that_ends_trainer_after_trainer_fails(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
        asker = pool.asker(attempts_max=2)
        asker.submit(pool.job())
        results: list[TrainerResult] = []
        for _ in range(2):
            turns(pool.trainer(slow=True), count=1)
            pool.topic.members.clear()
            results += asker.poll()
        failed = only(JobFailed, results)
        assert ("has sent no heartbeat" in failed.error, failed.attempts) == (True, 2)

    def test_a_ticket_of_a_busy_trainer_comes_to_one_that_is_idle(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        asker, busy, idle = pool.asker(), pool.trainer(slow=True), pool.trainer(slow=True)
        for partition in (0, 2):
            asker.submit(pool.job(partition=partition))
        turns(busy, idle)
        assert (busy.doing != "idle", idle.doing) == (True, "idle")
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
        waiting = asker._calls[support.shard_of(pool.of)._replace(partition=2)]
        until_s = time.monotonic() + 5
        while idle.doing == "idle":
            assert time.monotonic() < until_s
            asker._waits(support.shard_of(pool.of)._replace(partition=2), waiting)
            turns(idle)
        for each in pool.slow:
            each.let = True
        turns(busy, idle)
        assert sum(isinstance(each, JobDone) for each in asker.poll()) == 2
        assert (busy.outcomes["trained"], idle.outcomes["trained"]) == (1, 1)

    def test_one_for_a_burst_ends_at_the_end_of_the_topic(self, pool: Pool) -> None:
        asker, began_s = pool.asker(), time.monotonic()
        for partition in range(3):
            asker.submit(pool.job(partition=partition))
        assert pool.trainer().run(lambda: False, burst=True)["trained"] == 3
        assert time.monotonic() - began_s < BURST_S
        assert sum(isinstance(each, JobDone) for each in asker.poll()) == 3

    def test_one_for_a_burst_that_has_no_part_of_the_topic_ends_once_nothing_came_again(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.serve.BURST_S", 0.2)
        others, last, began_s = [pool.topics[0].join() for _ in range(4)], pool.trainer(), time.monotonic()
        pool.asker().submit(pool.job())
        assert last.run(lambda: False, burst=True) == dict.fromkeys(last.outcomes, 0)
        assert time.monotonic() - began_s > 0.2
        assert any(other.receive(0) for other in others)

    def test_one_for_a_burst_that_gave_a_ticket_up_waits_for_it_to_come_again(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
        asker, trainer = pool.asker(), pool.trainer()
        asker.submit(pool.job())
        trainer._jobs, turned = connect("redis://127.0.0.1:1/0").jobs, list[bool]()

        def stop() -> bool:
            """Redis is back after the first turn, and the worker sends the ticket again after the second."""
            turned.append(True)
            if len(turned) > 1:
                trainer._jobs = pool.stores.jobs
            if len(turned) == 3:
                asker.poll()
            return False

        assert trainer.run(stop, burst=True)["trained"] == 1

    def test_while_the_store_is_away_a_result_waits_and_a_ticket_comes_again(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
        away = connect("redis://127.0.0.1:1/0").jobs
        asker, trainer = pool.asker(), pool.trainer(slow=True)
        asker.submit(pool.job())
        trainer._jobs = away
        turns(trainer, count=1)
        assert trainer.doing == "idle"
        trainer._jobs = pool.stores.jobs
        asker.poll()
        turns(trainer, count=1)
        assert trainer.doing != "idle"
        pool.slow[0].let = True
        trainer._jobs = away
        turns(trainer, count=1)
        assert trainer.outcomes["trained"] == 0
        trainer._jobs = pool.stores.jobs
        turns(trainer, count=1)
        assert isinstance(only(JobDone, asker.poll()), JobDone)


class TestTickets:
    def sealed(self, pool: Pool, **changes: Any) -> bytes:
        """A ticket of a job that was asked for."""
        pool.asker().submit(pool.job(**changes))
        return pool.tickets()[-1]

    def test_what_is_forged_damaged_or_of_another_place_is_refused(self, pool: Pool) -> None:
        genuine = self.sealed(pool)
        header, payload = unseal(genuine, KEYRING)
        elsewhere = msgspec.structs.replace(header, partition=3)
        model = checkpoint_header(pool.of, support.shard_of(pool.of), 3, 0, kind="model")
        for forged in (
            genuine[:-1] + b"?",
            genuine[:40],
            b"",
            b"\x80\x05cos\nsystem\n(S'true'\ntR.",
            seal(header, payload, OTHER_KEY),
            seal(header, payload, Keyring.unsigned()),
            seal(model, payload, KEYRING),
            seal(elsewhere, payload, KEYRING),
        ):
            with pytest.raises(StateError):
                open_ticket(forged, pool.of, KEYRING)
        with pytest.raises(StateError, match="of another pipeline"):
            open_ticket(genuine, made(), KEYRING)

    def test_those_for_trainers_of_another_version_are_passed_over_and_those_have_a_group_of_their_own(self, pool: Pool) -> None:
        genuine = self.sealed(pool)
        header, payload = unseal(genuine, KEYRING)
        change, versions = msgspec.structs.replace, header.versions
        for other, reason in (
            (change(header, pipeline_digest="another"), "another version of the pipeline"),
            (change(header, extra={"sources": "of other files"}), "other code"),
            (change(header, versions=change(versions, river="0.1.0")), "River 0.1.0"),
            (change(header, versions=change(versions, python="3.1.4")), "Python 3.1.4"),
            (change(header, schema=77), "schema 77"),
        ):
            ticket = seal(other, payload, KEYRING)
            with pytest.raises(StateError, match=reason):
                open_ticket(ticket, pool.of, KEYRING)
            pool.topic.put(1, ticket)
        trainer = pool.trainer()
        turns(trainer)
        assert (trainer.outcomes["dropped"], trainer.outcomes["trained"]) == (5, 1), "no job has failed because of those"
        changed = dataclasses.replace(pool.of, window_rows_max=777)
        assert trainers_group("g", changed) != trainers_group("g", pool.of) == trainers_group("g", pool.of)

    def test_one_of_a_release_that_writes_it_differently_is_passed_over(self, pool: Pool) -> None:
        header, _ = unseal(self.sealed(pool), KEYRING)
        with pytest.raises(StateError, match="another release wrote it"):
            open_ticket(seal(header, b'{"token": 1}', KEYRING), pool.of, KEYRING)

    def test_thousands_that_are_near_a_genuine_one_end_no_trainer_and_the_genuine_one_is_trained(self, pool: Pool) -> None:
        genuine, chance = self.sealed(pool), random.Random(7)
        trainer = pool.trainer()
        forged = [value for value in (mutated(chance, genuine) for _ in range(3_000)) if value != genuine]
        pool.topic.logs = [list(forged), [], [], []]
        pool.topic.put(0, genuine)
        turns(trainer)
        assert trainer.outcomes == {"trained": 1, "failed": 0, "unwanted": 0, "given_back": 0, "dropped": len(forged)}
        pool.topic.put(1, genuine)  # sent again by somebody else
        turns(trainer)
        assert trainer.outcomes["unwanted"] == 1

    def test_of_a_shard_the_one_sent_last_counts_in_whatever_order_they_come(self, pool: Pool) -> None:
        asker = pool.asker()
        for training in (1, 2):
            asker.submit(pool.job(training=training))
            time.sleep(0.002)
        pool.topic.logs = [[], pool.tickets()[::-1], [], []]
        trainer = pool.trainer()
        turns(trainer)
        assert only(JobDone, asker.poll()).training == 2
        assert trainer.outcomes == {"trained": 1, "failed": 0, "unwanted": 0, "given_back": 0, "dropped": 0}

    def test_they_hold_no_pickle_and_no_model(self, pool: Pool) -> None:
        base = seal_model(MODEL.clone(), pool.of, support.shard_of(pool.of), KEYRING, learned_through=1)
        _, payload = unseal(self.sealed(pool, challenger="warm", base=base), KEYRING)
        text = msgspec.json.decode(payload)
        assert text["base"] == hashlib.sha256(base).hexdigest()
        assert len(payload) < 1_000


class TestTheWorkersSide:
    def test_a_ticket_that_is_lost_is_sent_again_and_one_that_came_twice_is_trained_once(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asker, trainer = pool.asker(), pool.trainer()
        pool.topic.losing = True
        asker.submit(pool.job())
        pool.topic.losing = False
        assert (asker.poll(), pool.tickets()) == ([], [])
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.QUIET_S", 0.0)
        for _ in range(20):
            asker.poll()
        assert len(set(pool.tickets())) == 1, "the very same ticket, so its place among others stays"
        assert sum(bool(log) for log in pool.topic.logs) > 1, "anywhere"
        turns(trainer)
        assert isinstance(only(JobDone, asker.poll()), JobDone)
        assert (trainer.outcomes["trained"], trainer.outcomes["failed"]) == (1, 0)

    def test_one_begins_with_the_partition_of_its_shards_number(self, pool: Pool) -> None:
        asker = pool.asker()
        for partition in range(4):
            asker.submit(pool.job(partition=partition))
        assert [len(log) for log in pool.topic.logs] == [1, 1, 1, 1]

    def test_one_that_nobody_takes_for_an_hour_fails(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_retrain.engines.trainer.pool.WAITING_S_MAX", -1.0)
        asker = pool.asker()
        asker.submit(pool.job())
        assert "no trainer took it" in only(JobFailed, asker.poll()).error

    def test_it_is_told_once_that_trainers_are_missing_or_busy(self, pool: Pool) -> None:
        for pool.count in (0, 2):
            asker = pool.asker(trainer_wait_s=0.0)
            asker.submit(pool.job())
            told = [each for _ in range(5) for each in asker.poll()]
            assert only(JobWaits, told).trainers == pool.count

    def test_the_driver_tells_it_as_a_fact(self, pool: Pool) -> None:
        told = list[WorkerFact]()
        asker = pool.asker(trainer_wait_s=0.0)
        inputs = Inputs(pool.of, pool.stores, KEYRING, asker, told.append, ArtifactLimits(bytes_max=0, age_max_s=None))
        asker.submit(pool.job())
        inputs._poll()
        [fact] = told
        assert isinstance(fact, TrainingWaits)
        assert (fact.shard, fact.trainers) == (support.shard_of(pool.of), 0)

    def test_a_job_that_the_store_loses_is_asked_for_again_but_not_for_ever(self, pool: Pool) -> None:
        asker = pool.asker(attempts_max=2)
        wanted = pool.job()
        asker.submit(wanted)
        results: list[TrainerResult] = []
        for _ in range(4):
            if (state := pool.stores.jobs.look(wanted.shard)) is not None:
                pool.stores.jobs.drop(wanted.shard, state.token)
            results += asker.poll()
        assert only(JobFailed, results).error == "the store has lost it"

    def test_jobs_wait_while_the_store_is_away(self, pool: Pool) -> None:
        asker = pool.asker()
        asker._store = connect("redis://127.0.0.1:1/0").jobs
        asker.submit(pool.job())
        assert asker.poll() == []
        asker.cancel(support.shard_of(pool.of))
        assert [type(result) for result in asker.poll()] == [JobFailed]

    def test_a_training_asked_for_again_is_reported_once(self, pool: Pool) -> None:
        asker, wanted = pool.asker(), pool.job()
        asker.submit(wanted)
        asker.cancel(wanted.shard)
        asker.submit(wanted)
        assert asker.poll() == []
        asker.submit(pool.job(training=1))
        assert [result.training for result in asker.poll()] == [0]

    def test_an_older_owner_is_refused(self, pool: Pool) -> None:
        asker, older = pool.asker(), pool.job()
        pool.stores.checkpoints.claim(older.shard)
        asker.submit(older)
        assert "was claimed under epoch" in only(JobFailed, asker.poll()).error

    def test_what_is_open_is_dropped_at_the_end(self, pool: Pool) -> None:
        asker, wanted = pool.asker(), pool.job()
        asker.submit(wanted)
        asker.close(time.monotonic() + 5)
        assert (asker.poll(), pool.stores.jobs.look(wanted.shard)) == ([], None)

    @pytest.mark.parametrize(("changes", "refusal"), [({}, None), ({"training": "1"}, "is of another training"), ({"epoch": "9"}, "is of")])
    def test_a_result_is_taken_only_if_it_belongs_to_the_job(self, pool: Pool, changes: dict[str, str], refusal: str | None) -> None:
        result = self.ended(pool, changes)
        if refusal is None:
            assert isinstance(result, JobDone)
        else:
            assert refusal in result.error

    def test_a_result_that_was_changed_is_refused(self, pool: Pool) -> None:
        assert "its result was refused" in self.ended(pool, {}, end=b"?").error

    @staticmethod
    def ended(pool: Pool, changes: dict[str, str], end: bytes = b"") -> Any:
        asker, wanted = pool.asker(), pool.job()
        asker.submit(wanted)
        extra = {"epoch": str(wanted.epoch), "training": "0", "rows": "10", "seconds": "0.1", "gap": "no", **changes}
        sealed = seal_model(MODEL.clone(), pool.of, wanted.shard, KEYRING, learned_through=9, extra=extra)
        state = pool.stores.jobs.look(wanted.shard)
        assert state
        pool.stores.jobs.take(wanted.shard, state.token)
        assert pool.stores.jobs.end(wanted.shard, state.token, Ending(sealed=sealed[: len(sealed) - len(end)] + end))
        [result] = asker.poll()
        return result
