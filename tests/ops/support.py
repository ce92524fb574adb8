"""Debian's Prometheus for the tests, and what it is asked."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["debian"]


def debian(command: str) -> str:
    """The path of a command that Debian's package `prometheus` or `prometheus-alertmanager` brings; without it the test is skipped."""
    if path := shutil.which(command):
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{command} is not installed, and CI must not skip this: apt-get install prometheus prometheus-alertmanager")
    pytest.skip(f"{command} is not installed: apt-get install prometheus prometheus-alertmanager")
