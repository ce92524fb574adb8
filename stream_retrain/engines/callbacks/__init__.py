"""Callbacks and webhooks: who calls them, with what limits, and what becomes of a call. Where decisions come from is not known here.

dispatcher   every decision goes to the handlers that ask for it; how far each partition is done with
runner       one handler: its queue, its attempts
caller       one handler's child process, watched
child        what runs in it: a function of the user's, or `deliver` for a webhook
"""

from __future__ import annotations

__all__ = ["callbacks_group"]


def callbacks_group(group: str) -> str:
    """The group of the processes that make the calls for the workers of a group."""
    return f"{group}.callbacks"
