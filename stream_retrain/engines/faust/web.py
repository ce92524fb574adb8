"""A pipeline's pages among those of Faust's own web server, under a path of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Answer", "add_pages"]

Answer: TypeAlias = Callable[[str, str], tuple[int, str, bytes]]
"""From the path below the prefix and the Accept header to status, content type and content; quick, and called in Faust's loop."""


def add_pages(app: Any, prefix: str, answer: Answer, headers: Mapping[str, str]) -> None:
    """Serve what `answer` says at `prefix` and below, with these headers."""

    async def get(view: Any, request: Any, path: str = "") -> Any:
        status, kind, content = answer(f"/{path}", request.headers.get("Accept", ""))
        return view.bytes(content, status=status, headers={"Content-Type": kind, **headers})

    app.page(f"{prefix}/{{path:.*}}", name=prefix.strip("/").replace("/", "."))(get)
