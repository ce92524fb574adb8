"""Real services for the tests: one Kafka and one Valkey a session, from packages or from where the environment says.

Where they cannot be had, a test that needs them is skipped aloud; where CI is set it fails.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from stream_retrain.errors import LocalStackError
from stream_retrain.local import LocalStack
from tests.order import in_order

# How long an example takes says how busy the machine is, and nothing about us.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = in_order(items)


@dataclasses.dataclass(frozen=True)
class Services:
    """Where Kafka and Redis are; `name` gives topics and pipelines that no other test uses."""

    bootstrap_servers: str
    redis_url: str

    def name(self, what: str) -> str:
        return f"{what}-{uuid.uuid4().hex[:8]}"

    @property
    def environment(self) -> dict[str, str]:
        """For a worker in a process of its own."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": self.redis_url,
            "STREAM_RETRAIN_ALLOW_UNSIGNED": "true",
            "NO_COLOR": "1",
            "COLUMNS": "160",
        }

    def given_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For commands that are run in this process; only they are its settings then."""
        for name in ("KAFKA", "REDIS"):
            monkeypatch.delenv(f"STREAM_RETRAIN_TEST_{name}", raising=False)
        for name, value in self.environment.items():
            if name.startswith("STREAM_RETRAIN_"):
                monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    kafka, redis = os.environ.get("STREAM_RETRAIN_TEST_KAFKA"), os.environ.get("STREAM_RETRAIN_TEST_REDIS")
    if kafka and redis:
        yield Services(kafka, redis)
        return
    try:
        stack = LocalStack.start()
    except LocalStackError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no Kafka or Valkey for the tests: {error}")
        pytest.skip(f"no Kafka or Valkey for the tests: {error}")
    with stack:
        yield Services(stack.bootstrap_servers, stack.redis_url)
