"""The page docs/metrics.md, made from the catalogue of the code: `make docs` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path

from stream_retrain.views.catalogue import GROUPS, LABELS, OF_THE_PARENT, PREFIX, Family

PAGE = Path(__file__).parent / "metrics.md"
HEAD = """\
# Metrics

<!-- made by `make docs` from stream_retrain/views/catalogue.py -->

Every worker serves these at `/metrics`, as OpenMetrics or in Prometheus's text format, whichever is asked for. With
`run --workers N` the parent serves those of all its worker processes in one answer, each with the label `worker`: one scrape target
is enough. A worker process that does not answer has `{prefix}worker_up` 0, and the others are there.

Names have the prefix `{prefix}`, left out below. Every family has the label `pipeline`, but
`{plain}`. Beside them are `process_*`, of the worker's process: memory, CPU,
open files.

- The hot loop counts in plain numbers, once a batch; they become families when they are asked for.
- What is said of a shard goes when the shard does. Counters stay.
- Counters that are known beforehand begin at 0, so that `increase()` sees the first of each.
- A gauge that has no value is absent: `quality` before the first label, `contestant_loss` where there is no duel.

## Dashboards and alerts

    stream-retrain dashboards export DIR                   # two dashboards, and Grafana's provisioning files
    stream-retrain rules export DIR --runbooks URL         # alert rules, and a Prometheus configuration that reads them

*Overview* is for whoever is on duty; a row of its table leads to *Pipeline: drift and retraining*. The scrape job has to be called
`stream_retrain`. A drift is a red mark on the dashboards and no alert; many of them are. Each alert leads to its page in
[runbooks](runbooks/README.md).

The tests run the query of every panel, and the metrics of every alert, on Debian's Prometheus, which scrapes live workers through drifts,
duels, failed trainings, dead letters, late labels and a killed worker; `promtool` shows for each alert when it fires and when not. The
dashboards were read by Grafana's own model (its SDK) but **were not opened in a Grafana**: none can be installed where this is built. The
tests draw the panels themselves (`STREAM_RETRAIN_PICTURES=FOLDER`), which shows the data and not Grafana's looks.
"""


def page() -> str:
    """The page as it should be."""
    plain = "`, `".join(sorted({"build_info", *OF_THE_PARENT}))
    lines = [HEAD.format(prefix=PREFIX, plain=plain)]
    for group in GROUPS:
        lines += [f"## {group.title}", "", "| name | kind | labels | meaning |", "|---|---|---|---|", *map(_row, group.families), ""]
    lines += [
        "## Labels",
        "",
        "No label is made from an event, a key, an offset or an error's text.",
        "",
        "| label | values |",
        "|---|---|",
    ]
    lines += [f"| `{label}` | {values} |" for label, values in LABELS.items()]
    return "\n".join(lines) + "\n"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    buckets = f"; buckets {', '.join(f'{bound:g}' for bound in family.buckets)}" if family.buckets else ""
    return f"| `{family.exposed.removeprefix(PREFIX)}` | {family.kind} | {labels} | {family.meaning}{buckets} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
