"""The open jobs of a trainer: attempts, results, and the order in which jobs are attempted."""

from __future__ import annotations

import dataclasses

from stream_retrain.engines.trainer.jobs import Job, JobDone, JobFailed, JobProgressed
from stream_retrain.engines.trainer.open_jobs import OpenJobs
from stream_retrain.facts.values import ShardId
from tests.engines import trainer_support as support

A, B = ShardId("flights", "events", 0), ShardId("flights", "events", 1)


def job(shard: ShardId, training: int = 0) -> Job:
    return Job(shard=shard, epoch=1, training=support.training(9, training=training))


def failed(shard: ShardId, error: str, training: int = 0, attempts: int = 0) -> JobFailed:
    return JobFailed(shard=shard, training=training, error=error, attempts=attempts)


def test_a_job_is_reported_until_it_is_done() -> None:
    jobs = OpenJobs(attempts_max=2)
    jobs.add(job(A, 7))
    assert jobs.begin(A) == job(A, 7)
    jobs.progressed(A, 200, 1_000)
    done = JobDone(shard=A, training=7, sealed=b"model", learned_through=9, rows=1_000, seconds=1.0)
    jobs.done(done)
    assert jobs.take_results() == [JobProgressed(shard=A, training=7, rows=200, rows_total=1_000), done]
    assert (jobs.take_results(), len(jobs)) == ([], 0)


def test_a_newer_job_replaces_the_older_one_of_its_shard() -> None:
    jobs = OpenJobs(attempts_max=2)
    for added in (job(A, 0), job(B, 0), job(A, 1)):
        jobs.add(added)
    assert jobs.take_results() == [failed(A, "a newer training of the shard took its place")]
    assert [opened.job for opened in jobs] == [job(B, 0), job(A, 1)]


def test_earlier_results_of_the_same_training_are_dropped_and_others_are_kept() -> None:
    jobs = OpenJobs(attempts_max=2)
    for shard in (A, B):
        jobs.add(job(shard))
        jobs.fail(shard, "cancelled")
    jobs.add(job(A))
    assert jobs.take_results() == [failed(B, "cancelled")]


def test_a_job_is_attempted_so_many_times_behind_the_jobs_that_wait() -> None:
    jobs = OpenJobs(attempts_max=2)
    jobs.add(job(A))
    jobs.add(job(B))
    jobs.begin(A)
    assert jobs.retry(A, "killed")
    assert [opened.job.shard for opened in jobs] == [B, A]
    jobs.begin(A)
    assert not jobs.retry(A, "killed again")
    assert jobs.take_results() == [dataclasses.replace(failed(A, "killed again", attempts=2), again=True)]
    assert [opened.job.shard for opened in jobs] == [B]


def test_a_shard_without_a_job_cannot_fail() -> None:
    jobs = OpenJobs(attempts_max=1)
    jobs.fail(A, "cancelled")
    assert jobs.take_results() == []


def test_cleared_jobs_have_no_results() -> None:
    jobs = OpenJobs(attempts_max=1)
    jobs.add(job(A))
    jobs.clear()
    assert (jobs.take_results(), list(jobs)) == ([], [])
