"""What the queries of the pipeline's dashboard have in common."""

from __future__ import annotations

from typing import Final

E: Final = '{pipeline="$pipeline"}'
X: Final = '{pipeline="$pipeline",partition=~"$partition"}'
QUALITY: Final = '{pipeline="$pipeline",partition=~"$partition",metric="$metric"}'
ROLLING: Final = '{pipeline="$pipeline",partition=~"$partition",metric="$metric",window="rolling"}'
RATE: Final = "[$__rate_interval]"
ANSWERED: Final = f"sum(rate(S_label_delay_seconds_count{E}{RATE}))"
EXPIRED: Final = f'sum(rate(S_labels_unmatched_total{{pipeline="$pipeline",reason=~"expired_.*"}}{RATE}))'
LEADER: Final = f"max by (partition, contestant) (S_contestant_serves{X}) == 1"
SERVING: Final = f"({LEADER}) * on (partition) group_left max by (partition) (S_duel_events{X})"
