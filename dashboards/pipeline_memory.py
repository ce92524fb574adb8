"""A part of the pipeline's dashboard: models of keys, and what models take of memory."""

from __future__ import annotations

from typing import Final

from dashboards.panels import Panel
from dashboards.selectors import E, X

__all__ = ["MEMORY"]

MEMORY: Final = (
    Panel(
        title="Memory of models",
        says="About, as measured last, and dashed the limits. Only where a rule is of memory.",
        kind="lines",
        unit="bytes",
        low=0,
        width=8,
        dashed=".*limit.*",
        queries=(
            (f"max by (partition) (S_model_memory_bytes{X})", "{{partition}} largest model"),
            (f"max by (partition) (S_shard_memory_bytes{X})", "{{partition}} all models"),
            (f"max by (partition) (S_model_memory_max_bytes{X})", "{{partition}} limit of a model"),
            (f"max by (partition) (S_shard_memory_max_bytes{X})", "{{partition}} limit of a shard"),
        ),
    ),
    Panel(
        title="Limits passed, models pruned",
        says="When they happened. A process near memory_bytes_max is counted each minute.",
        kind="bars",
        unit="short",
        width=4,
        queries=(
            (f"sum(increase(S_memory_reached_total{X}[$__interval]))", "limit passed"),
            (f"sum(increase(S_models_pruned_total{X}[$__interval]))", "pruned"),
            (f"sum(increase(S_memory_high_total{E}[$__interval]))", "process near its limit"),
        ),
    ),
    Panel(
        title="Keys with a model of their own",
        says="Hot ones are ready to predict, cold ones are put away.",
        kind="lines",
        unit="short",
        low=0,
        width=4,
        queries=((f"sum by (tier) (S_model_keys{X})", "{{tier}}"),),
    ),
    Panel(
        title="Memory of their models",
        says="About.",
        kind="lines",
        unit="bytes",
        low=0,
        width=4,
        queries=((f"sum by (tier) (S_model_keys_bytes{X})", "{{tier}}"),),
    ),
    Panel(
        title="What became of them",
        says="Since the model that serves began. Taken back as often as put away: more hot keys would save time.",
        kind="lines",
        unit="short",
        low=0,
        width=4,
        queries=tuple(
            (f"sum(S_model_keys_{name}{X})", name.replace("_", " ")) for name in ("put_away", "taken_back", "dropped", "shared_answers")
        ),
    ),
)
