"""The page on callbacks: its pipeline loads, its receiver verifies, its table is the code's, its commands are understood."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from docs import callbacks as page
from stream_retrain.codec.webhook import read_secret, signing_keys, webhook_headers
from stream_retrain.core.callbacks import Secret, handlers_of
from stream_retrain.engines.callbacks.runner import Dead, Over
from stream_retrain.engines.kafka.callback_letters import letter_headers
from stream_retrain.loading import load_pipeline
from tests.engines.callbacks.support import place_of, value_of

TEXT = page.PAGE.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_table_is_that_of_the_code() -> None:
    assert page.page(TEXT) == TEXT, "run `make docs`"
    assert page.table() in TEXT


def test_the_pipeline_of_the_page_loads(tmp_path: Path) -> None:
    file = tmp_path / "told_page.py"
    file.write_text(BLOCKS[0])
    assert [each.name for each in handlers_of(load_pipeline(str(file)))] == [
        "on_drift",
        "on_promotion",
        "on_failure",
        "webhook:ml.example.org",
    ]


def test_the_receiver_of_the_page_takes_what_is_signed_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    body = json.dumps({"type": "t", "data": {}}).encode()
    headers = webhook_headers("msg_1", body, signing_keys(secret), time.time())
    assert names["receive"](body, headers, secret) == 204
    assert names["receive"](body + b" ", headers, secret) == 400


def test_the_recipe_for_a_secret_makes_one_that_is_taken(tmp_path: Path) -> None:
    [recipe] = re.findall(r"^    (echo \"whsec_.*)$", TEXT, re.MULTILINE)
    subprocess.run(["bash", "-ec", recipe], cwd=tmp_path, check=True)
    assert len(signing_keys(read_secret(Secret(file=str(tmp_path / "webhook.secret"))))[0]) == 32


def test_the_headers_of_a_dead_letter_are_on_the_page() -> None:
    found = letter_headers(Over(place_of(value_of()), "on_drift", Dead("ValueError: no", 5)), "shop", 12.5)
    assert {name for name, _ in found} == set(re.findall(r"`(sr_\w+)`", TEXT))
    assert dict(found)["sr_failed_at_ms"] == b"12500"


def test_the_options_of_the_page_are_those_of_the_command() -> None:
    named = {
        option
        for line in re.findall(r"^    stream-retrain callbacks (.*)$", TEXT, re.MULTILINE)
        for option in re.findall(r"--[a-z]+", line)
    }
    command = [sys.executable, "-m", "stream_retrain", "callbacks", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, env={"COLUMNS": "200"}).stdout
    assert named == {"--test", "--once", "--from", "--handler"}
    assert all(option in shown for option in named)
