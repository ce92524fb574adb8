"""The files, and how they are copied to where an operator wants them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

__all__ = ["DASHBOARDS", "RULES", "export_dashboards", "export_rules", "rules_text"]

_HERE: Final = Path(__file__).parent
RULES: Final = _HERE / "prometheus" / "stream_retrain.rules.yml"
_PROMETHEUS: Final = _HERE / "prometheus" / "prometheus.yml"
DASHBOARDS: Final = _HERE / "grafana" / "dashboards"
_PROVISIONING: Final = _HERE / "grafana" / "provisioning"


def rules_text(runbooks: str) -> str:
    """The alert rules, whose links lead to pages below `runbooks`."""
    return RULES.read_text().replace("RUNBOOKS/", f"{runbooks.rstrip('/')}/")


def export_rules(folder: Path, runbooks: str) -> list[Path]:
    """Write the alert rules and a Prometheus configuration that reads them; the files written. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    rules, settings = folder / RULES.name, folder / _PROMETHEUS.name
    rules.write_text(rules_text(runbooks))
    shutil.copyfile(_PROMETHEUS, settings)
    return [rules, settings]


def export_dashboards(folder: Path) -> list[Path]:
    """Write the dashboards, and the files by which Grafana finds them and Prometheus; the files written. Raises OSError."""
    written = []
    for origin, below in ((DASHBOARDS, "dashboards"), (_PROVISIONING, "provisioning")):
        for file in sorted(path for path in origin.rglob("*") if path.is_file()):
            copy = folder / below / file.relative_to(origin)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            written.append(copy)
    return written
