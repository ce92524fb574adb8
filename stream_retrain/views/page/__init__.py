"""The status page: a few files written by hand, which load nothing but each other and what the worker serves beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["page_files"]

_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_SCRIPTS: Final = ("page", "card", "chart", "dom", "link", "model", "models", "shards", "speech", "timeline", "version", "view")
_NAMES: Final = {
    "/": "page.html",
    "/page.css": "page.css",
    **{f"/{name}.js": f"{name}.js" for name in _SCRIPTS},
    "/icon.svg": "icon.svg",
}


def page_files() -> dict[str, tuple[str, bytes]]:
    """By path: content type and content."""
    return {path: (_KINDS[name.rpartition(".")[2]], (Path(__file__).parent / name).read_bytes()) for path, name in _NAMES.items()}
