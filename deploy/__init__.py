"""How it is deployed. Rules and dashboards exist once, in the package: what a manifest holds of them is made here.

python -m deploy    (`make manifests`)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from stream_retrain.ops import DASHBOARDS, rules_text

__all__ = ["BASE", "generated"]

BASE: Final = Path(__file__).parent / "kubernetes" / "base"
RUNBOOKS: Final = "docs/runbooks"
MADE: Final = "# Made by `make manifests` from the files of stream_retrain/ops. Changes belong there.\n"


def generated() -> dict[str, str]:
    """The manifests by file name."""
    return {"prometheusrule.yaml": _text([_rule()]), "dashboards.yaml": _text(_dashboards())}


def _rule() -> dict[str, Any]:
    groups = yaml.safe_load(rules_text(RUNBOOKS))["groups"]
    return _object("monitoring.coreos.com/v1", "PrometheusRule", "stream-retrain") | {"spec": {"groups": groups}}


def _dashboards() -> list[dict[str, Any]]:
    """One ConfigMap a dashboard, so that none comes near the size that an annotation of `kubectl apply` may have."""
    made = []
    for path in sorted(DASHBOARDS.iterdir()):
        # Grafana's sidecar looks for the label.
        found = _object("v1", "ConfigMap", path.stem.replace("_", "-") + "-dashboard", {"grafana_dashboard": "1"})
        content = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
        made.append(found | {"data": {path.name: content}})
    return made


def _object(version: str, kind: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name} | ({"labels": labels} if labels else {})}


def _text(objects: list[dict[str, Any]]) -> str:
    return MADE + yaml.safe_dump_all(objects, sort_keys=False, width=140, allow_unicode=True)
