"""The table of docs/callbacks.md, made from `facts.occasions`: `make docs` writes it, a test compares it."""

from __future__ import annotations

import re
from pathlib import Path

from stream_retrain.facts.occasions import OCCASIONS, When

PAGE = Path(__file__).parent / "callbacks.md"
BEGIN, END = "<!-- made by `make docs` from stream_retrain/facts/occasions.py -->\n", "<!-- end -->"


def table() -> str:
    """The table as it should be."""
    lines = ["| occasion | function | decisions |", "|---|---|---|"]
    for occasion, rows in OCCASIONS.items():
        lines.append(f"| `{occasion}` | `on_{occasion}` | {'; '.join(map(_words, rows))} |")
    return "\n".join(lines) + "\n"


def _words(row: When) -> str:
    which = "" if row.field is None else f" with `{row.field}` {' or '.join(f'`{value}`' for value in row.values)}"
    return f"`{row.kind}`{which}: {row.words}"


def page(before: str) -> str:
    """The page with the table in its place."""
    return re.sub(f"(?<={re.escape(BEGIN)}).*?(?={re.escape(END)})", lambda _: table(), before, flags=re.DOTALL)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    main()
