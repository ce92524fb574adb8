"""The Grafana dashboards as code: `make dashboards` writes them to stream_retrain/ops/grafana/dashboards, a test compares.

panels      what a panel is, as a value, and how it becomes Grafana's JSON
overview    how all pipelines are: for whoever is on duty (and overview_below)
pipeline    one pipeline: what drifted, what was done about it, what came of it (and pipeline_*, selectors)
"""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import overview, pipeline

__all__ = ["generated"]


def generated() -> dict[str, str]:
    """The text of each file, by its name."""
    boards: dict[str, Any] = {"stream_retrain_overview.json": overview.dashboard(), "stream_retrain_pipeline.json": pipeline.dashboard()}
    return {name: json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n" for name, board in boards.items()}
