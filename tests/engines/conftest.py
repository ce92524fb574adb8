"""A Valkey for tests that need no Kafka, and a pipeline with a source of its own for those that do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.engines.live import Place
from tests.stores import conftest as servers


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that the tests of this folder share: use shards of your own."""
    with servers.running("valkey", tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture
def place(services: Services, tmp_path: Path) -> Place:
    return Place(services, tmp_path)
