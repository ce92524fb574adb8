"""`stream-retrain models promote` and `models rollback`: have another version of a model serve."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_retrain.cli.asking import ON_COMMAND_LINE, Partitions, Reason, Timeout, Token, Wait, asks
from stream_retrain.cli.by_topic import ByTopic
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile

__all__ = ["promote", "rollback"]


def promote(
    pipeline: PipelineArgument,
    version: Annotated[
        str,
        typer.Argument(metavar="VERSION", help="2-g14, 2-t3, import-0123456789ab, challenger or previous.", show_default=False),
    ],
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    token: Token = None,
    wait: Wait = False,
    timeout: Timeout = 120.0,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Have a version serve from the next event on, as a new generation; a duel under way ends.

    A version of a partition serves there; an import serves all, unless --partition says which.
    """
    asks(
        "promote", pipeline, settings, partition, reason, token, wait=wait, timeout_s=timeout, json=json, version=version, by_topic=by_topic
    )


def rollback(
    pipeline: PipelineArgument,
    partition: Partitions = None,
    reason: Reason = ON_COMMAND_LINE,
    token: Token = None,
    wait: Wait = False,
    timeout: Timeout = 120.0,
    by_topic: ByTopic = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Have what served before the present model serve again, in all partitions or in those that are named."""
    asks("rollback", pipeline, settings, partition, reason, token, wait=wait, timeout_s=timeout, json=json, by_topic=by_topic)
