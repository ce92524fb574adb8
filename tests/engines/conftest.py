"""A Valkey for tests that need no Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores import conftest as servers


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that the tests of this folder share: use shards of your own."""
    with servers.running("valkey", tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url
