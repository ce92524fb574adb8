"""Long trainings, off the poll loop: jobs, the work, and the processes that do it."""

from __future__ import annotations

from stream_retrain.engines.trainer.inline import InlineTrainer
from stream_retrain.engines.trainer.jobs import (
    Job,
    Trained,
    Trainer,
    TrainerLimits,
    TrainerResult,
    TrainingFailed,
    TrainingProgressed,
)
from stream_retrain.engines.trainer.models import open_model, seal_model, verify_model
from stream_retrain.engines.trainer.process import ProcessTrainer
from stream_retrain.engines.trainer.work import train_job

__all__ = [
    "InlineTrainer",
    "Job",
    "ProcessTrainer",
    "Trained",
    "Trainer",
    "TrainerLimits",
    "TrainerResult",
    "TrainingFailed",
    "TrainingProgressed",
    "open_model",
    "seal_model",
    "train_job",
    "verify_model",
]
