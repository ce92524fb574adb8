"""Real workers as they are seen from outside: through Redis, over TLS with a token, and as a page in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.cli.group_status import group_status
from stream_retrain.cli.status import fetch_status
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from stream_retrain.views.tls import client_context
from tests import warm
from tests.backtesting.browser import Browser, find_chromium
from tests.conftest import Services
from tests.engines.live import Place, has
from tests.engines.support import Worker, worker
from tests.views.test_access import certificate

pytestmark = [pytest.mark.services, pytest.mark.slow]
__all__ = ["certificate"]
TOKEN = "s3cret-s3cret-s3cret"


def status(services: Services, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["status", *arguments], services.environment)


def group_of(place: Place) -> dict[str, Any]:
    """What the command prints with `--json`, without the time that a process takes to start."""
    group = f"stream_retrain.{place.pipeline.name}"
    return group_status(group, connect(place.services.redis_url).workers.all(group))


def offsets(shards: Iterable[dict[str, Any]]) -> list[int]:
    """What a worker tells every two seconds may be older than what it answers."""
    return sorted(shard["offset"] for shard in shards)


def test_every_worker_of_a_group_is_shown_as_long_as_it_runs(services: Services, tmp_path: Path) -> None:
    place = Place(services, tmp_path, partitions=2)
    nobody = status(services, str(place.file))
    assert (nobody.returncode, nobody.stdout) == (3, "")
    assert f"no worker of group stream_retrain.{place.pipeline.name} runs" in nobody.stderr
    place.send(30)
    place.send(40, partition=1)
    with place.worker(instance="first", session_timeout_ms=6_000) as first:
        first.wait_for(has(first, 30))
        first.wait_for(has(first, 40, 1))
        first.wait_for(lambda: bool(group_of(place)["ready"]) and group_of(place)["partitions"]["unowned"] == [])
        first.wait_for(lambda: offsets(group_of(place)["workers"][0]["shards"]) == offsets(first.status()["shards"].values()))
        found = json.loads(status(services, str(place.file), "--json").stdout)
        [told] = found["workers"]
        direct = first.status()
        assert (found["partitions"]["owned"], told["instance"], told["url"]) == ([0, 1], "first", first.url)
        by_partition = {int(name.rpartition("/")[2]): shard for name, shard in direct["shards"].items()}
        for shard in told["shards"]:
            same = by_partition[shard["partition"]]
            assert {name: shard[name] for name in ("offset", "events_seen", "pending", "generation", "rolling")} == {
                name: same[name] for name in ("offset", "events_seen", "pending", "generation", "rolling")
            }
        with place.worker(instance="second", session_timeout_ms=6_000) as second:
            second.wait_for(lambda: len(second.status()["shards"]) == 1 and second.status()["ready"])
            first.wait_for(lambda: len(first.status()["shards"]) == 1, seconds=30)
            second.wait_for(lambda: [len(each["shards"]) for each in group_of(place)["workers"]] == [1, 1])
            shown = status(services, "--group", f"stream_retrain.{place.pipeline.name}")
            assert shown.returncode == 0, shown.stderr
            assert "2 of 2 partitions have a worker" in shown.stdout
            assert re.search(r"^\s*second\s+running", shown.stdout, re.MULTILINE)
            second.stop()
        first.wait_for(lambda: [each["instance"] for each in group_of(place)["workers"]] == ["first"])
        first.wait_for(lambda: len(first.status()["shards"]) == 2)
        first.stop()
    assert group_of(place)["workers"] == []


def https(running: Worker) -> str:
    running.wait_for(lambda: "serving https://" in running.log)
    found = re.search(r"serving (https://[^\s:]+:\d+)", running.log)
    assert found
    return found[1]


def code(url: str, authorities: Path) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10, context=client_context(authorities)) as answer:
            found: int = answer.status
            return found
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_over_tls_with_a_token_a_command_and_a_browser_read_what_others_may_not(
    services: Services, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    place, token = Place(services, tmp_path), tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    cert, key = certificate
    place.send(50)
    with place.worker(http_tls_cert_file=cert, http_tls_key_file=key, http_token_file=token) as running:
        url = https(running)
        with Browser(find_chromium()) as browser:
            browser.call("Security.setIgnoreCertificateErrors", ignore=True)
            browser.screen(360, 800)
            browser.call("Page.navigate", url=url.replace("https://", f"https://me:{TOKEN}@") + "/")
            browser.until("document.querySelector('#shards .open')")
            browser.until("document.getElementById('state').innerText === '✓ ready'")
            browser.until("document.querySelector('#now').innerText.includes('50 since the start')")
            assert browser.said == []
            assert browser.run("document.documentElement.scrollWidth") == 360
            asked = status(services, "--url", url, "--token-file", str(token), "--ca-file", str(cert), "--json")
            assert asked.returncode == 0, asked.stderr
            [shard] = json.loads(asked.stdout)["shards"].values()
            assert shard["records"] == 50
            assert (code(f"{url}/healthz", cert), code(f"{url}/readyz", cert), code(f"{url}/status", cert)) == (200, 200, 401)
            refused = status(services, "--url", url, "--ca-file", str(cert))
            assert refused.returncode == 3
            assert "HTTP 401; it asks for a token: --token-file" in refused.stderr
            assert running.stop() < 8, "an open page does not hold it up"
            browser.until("!document.getElementById('lost').hidden")
    assert TOKEN not in running.log


RACE = """
from river import drift, linear_model, metrics, preprocessing
from stream_retrain import Challenge, On, Pipeline, Schema, Watch
pipeline = Pipeline(
    name="{name}", task="binary", source="{source}", metrics=[metrics.Accuracy()],
    schema=Schema(id="id", label="y", features={{"a": float, "b": float}}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Challenge(challengers=("fresh", "since_change")), cooldown_events=500)],
)
"""


def test_a_drift_and_its_duel_come_to_a_page_that_is_open_and_to_one_that_is_opened_later(services: Services, tmp_path: Path) -> None:
    file, source = tmp_path / "pipeline.py", services.name("events")
    file.write_text(RACE.format(name=services.name("race"), source=source))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})

    def rows(first: int, last: int, flipped: bool) -> list[dict[str, Any]]:
        made = [(number, number * 37 % 101 / 50 - 1, number * 53 % 97 / 48 - 1) for number in range(first, last)]
        return [{"id": f"e{number}", "a": a, "b": b, "y": (a + b > 0) != flipped} for number, a, b in made]

    publish_rows(iter(rows(0, 2_000, False)), settings, topic=source, partitions=1)
    with worker(services, file) as running, Browser(find_chromium()) as browser:
        browser.screen()
        browser.call("Page.navigate", url=f"{running.url}/")
        browser.until("document.querySelector('#now').innerText.includes('2,000 since the start')")
        assert "nothing yet" in browser.run("document.querySelector('#decisions tbody').innerText")
        publish_rows(iter(rows(2_000, 5_000, True)), settings, topic=source)
        browser.until("document.querySelector('#decisions tbody').innerText.includes('ADWIN detected that error went up')")
        browser.until("document.querySelector('#cards .mark.drift')")
        browser.until("document.querySelector('#cards .race').innerText.includes('promoted')")
        browser.until("document.querySelector('#cards .mark.promotion')")
        assert browser.said == []
        marks = browser.run("document.querySelectorAll('#cards .mark').length")
        browser.call("Page.navigate", url=f"{running.url}/?again")
        browser.until("document.querySelector('#cards .mark.promotion')")
        assert browser.run("document.querySelectorAll('#cards .mark').length") == marks
        found = fetch_status(running.url)["shards"][f"{source}/0"]
        assert (found["promotions"], found["last_duel"]["result"], found["watches"][0]["drifts"]) == (1, "promoted", 1)
        running.stop()
