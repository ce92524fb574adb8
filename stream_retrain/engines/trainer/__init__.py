"""Trainings outside the poll loop: the jobs, the work, and the processes that do it."""

from __future__ import annotations

from stream_retrain.engines.trainer.inline import InlineTrainer
from stream_retrain.engines.trainer.jobs import (
    Job,
    JobDone,
    JobFailed,
    JobProgressed,
    JobWaits,
    TopicReader,
    Trainer,
    TrainerLimits,
    TrainerResult,
)
from stream_retrain.engines.trainer.process import ProcessTrainer
from stream_retrain.engines.trainer.work import train_job

__all__ = [
    "InlineTrainer",
    "Job",
    "JobDone",
    "JobFailed",
    "JobProgressed",
    "JobWaits",
    "ProcessTrainer",
    "TopicReader",
    "Trainer",
    "TrainerLimits",
    "TrainerResult",
    "train_job",
]
