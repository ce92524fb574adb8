"""The files, and how they are copied to where an operator wants them."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
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
    _refuse_others([(RULES, rules), (_PROMETHEUS, settings)])
    rules.write_text(rules_text(runbooks))
    shutil.copyfile(_PROMETHEUS, settings)
    return [rules, settings]


def export_dashboards(folder: Path) -> list[Path]:
    """Write the dashboards, and the files by which Grafana finds them and Prometheus; the files written. Raises OSError."""
    copies = [
        (file, folder / below / file.relative_to(origin))
        for origin, below in ((DASHBOARDS, "dashboards"), (_PROVISIONING, "provisioning"))
        for file in sorted(path for path in origin.rglob("*") if path.is_file())
    ]
    _refuse_others(copies)
    for file, copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return [copy for _, copy in copies]


def _refuse_others(copies: Iterable[tuple[Path, Path]]) -> None:
    """Names like prometheus.yml are common: a file that does not begin as ours is somebody else's. Raises FileExistsError."""
    for origin, copy in copies:
        if copy.is_file() and _first_line(copy) != _first_line(origin):
            raise FileExistsError(errno.EEXIST, "is there already and was not exported; choose another folder", str(copy))


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(1_000)
