"""Write the dashboards to where the package has them."""

from __future__ import annotations

from dashboards import generated
from stream_retrain.ops import DASHBOARDS

if __name__ == "__main__":
    DASHBOARDS.mkdir(parents=True, exist_ok=True)
    for name, text in generated().items():
        (DASHBOARDS / name).write_text(text)
