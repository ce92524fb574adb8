"""The picture of the house in docs/architecture.md, drawn from the import contracts: `make docs` writes it, a test compares it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- drawn by `make docs` from the import contracts -->", "<!-- end of what is drawn -->"
WIDTH = 72


def picture(pyproject: dict[str, Any]) -> str:
    """Floors from top to bottom: a floor may import those below it; names side by side on one floor do not import each other."""
    contracts = {each["id"]: each for each in pyproject["tool"]["importlinter"]["contracts"] if "id" in each}
    lines = []
    for title, wanted in (("stream_retrain", "house"), ("engines", "engines"), ("lane", "lane"), ("core", "core")):
        lines.append(f"{title} ".ljust(WIDTH + 4, "="))
        for layer in contracts[wanted]["layers"]:
            names = [name.removeprefix("stream_retrain.core.") for name in re.split(r"\s*[|:]\s*", layer)]
            lines += _floor(names)
        lines.append("")
    return "\n".join([BEGIN, "```text", *lines[:-1], "```", END])


def _floor(names: list[str]) -> list[str]:
    rows, row = [], ""
    for name in names:
        if row and len(row) + len(name) + 3 > WIDTH:
            rows.append(row)
            row = ""
        row = f"{row} | {name}" if row else name
    return [f"| {each.center(WIDTH)} |" for each in [*rows, row]] + ["+" + "-" * (WIDTH + 2) + "+"]


def main() -> None:
    """Write the picture."""
    page = ROOT / "docs" / "architecture.md"
    text = page.read_text()
    drawn = picture(tomllib.loads((ROOT / "pyproject.toml").read_text()))
    page.write_text(text[: text.index(BEGIN)] + drawn + text[text.index(END) + len(END) :])


if __name__ == "__main__":
    main()
