"""The examples of callbacks: what Slack and a mail server would get, from servers that stand for them; and `callbacks --test`."""

from __future__ import annotations

import importlib.util
import json
import socketserver
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stream_retrain import Decision
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.decision import read_decision
from stream_retrain.lane.decision_examples import example_decisions
from tests.engines.callbacks.support import Answer, Receiver, receiving

FOLDER = Path(__file__).parent.parent / "examples" / "callbacks"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decision(kind: str) -> Decision:
    found = (read_decision(value) for value in example_decisions(ShardId("shop", "shop.orders", 2)))
    return next(each for each in found if each is not None and each.kind == kind)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client that does not log in needs."""

    def handle(self) -> None:
        inbox: Any = self.server
        self.say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line.split(" ")[0].upper()
            if word == "DATA":
                self.say("354 go on")
                lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                inbox.messages.append("".join(lines))
            elif word == "RCPT":
                inbox.receivers.append(line)
            self.say("221 bye" if word == "QUIT" else "250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Inbox(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Mail)
        self.messages: list[str] = []
        self.receivers: list[str] = []


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def test_slack_gets_a_text_and_blocks_that_hold_no_link_of_foreign_text(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    slack = loaded("slack_message")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", receiver.url)
    slack.post_to_slack(decision("duel.ended"))
    posted = json.loads(receiver.came[0].body)
    assert receiver.came[0].headers["content-type"] == "application/json"
    assert posted["text"] == "shop: duel 3 ended, promoted by log loss: retrained is the champion"
    assert [block["type"] for block in posted["blocks"]] == ["section", "context"]
    assert "partition 2" in posted["blocks"][1]["elements"][0]["text"]
    assert slack._escaped("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"


def test_what_slack_refuses_raises_so_that_it_is_tried_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    slack = loaded("slack_message")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", receiver.url)
    receiver.answers.append(Answer(429))
    with pytest.raises(urllib.error.HTTPError) as raised:
        slack.post_to_slack(decision("duel.ended"))
    raised.value.close()


def test_a_mail_has_the_decision_and_the_same_id_each_time(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = loaded("mail_message")
    host, port = inbox.server_address[:2]
    for name, value in (("HOST", host), ("PORT", port), ("FROM", "ml@example.org"), ("TO", "a@example.org, b@example.org")):
        monkeypatch.setenv(f"MAIL_{name}", str(value))
    for _ in range(2):
        mail.send_mail(decision("training.failed"))
    [first, second] = map(message_from_string, inbox.messages)
    assert first["Subject"] == "[shop] training 3 of challenger retrained failed: this is an example"
    assert first["Message-ID"] == second["Message-ID"]
    assert '"training": 3' in first.get_payload()
    assert len(inbox.receivers) == 4


def test_a_subject_holds_no_line_end_of_foreign_text() -> None:
    mail = loaded("mail_message")
    foreign = read_decision(
        next(value for value in example_decisions(ShardId("s", "t", 0)) if b"training.failed" in value).replace(
            b"this is an example", b"a\\r\\nBcc: x@y"
        )
    )
    message = mail.mail_message(foreign, "a@b", "c@d")
    assert "\n" not in message["Subject"]
    assert message["Bcc"] is None


@pytest.mark.slow
def test_callbacks_are_tried_without_kafka(receiver: Receiver, inbox: Inbox) -> None:
    host, port = inbox.server_address[:2]
    environment = {
        "SLACK_WEBHOOK_URL": receiver.url,
        "MAIL_HOST": str(host),
        "MAIL_PORT": str(port),
        "MAIL_FROM": "ml@example.org",
        "MAIL_TO": "a@example.org",
    }
    command = [sys.executable, "-m", "stream_retrain", "callbacks", str(FOLDER / "told_shop.py"), "--test", "--json"]
    chosen = ["--handler", "on_promotion", "--handler", "on_failure", "--handler", "ml"]
    done = subprocess.run([*command, *chosen], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, "a secret that is not there is told before anything is called"
    assert "ML_WEBHOOK_SECRET" in done.stderr
    done = subprocess.run([*command, *chosen[:4]], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["failed"], {each["handler"] for each in found["tried"]}) == (0, {"on_promotion", "on_failure"})
    promotions = sum(each["handler"] == "on_promotion" for each in found["tried"])
    assert [json.loads(came.body)["text"][:9] for came in receiver.came] == ["told_shop"] * promotions
    assert promotions > 1
    assert len(inbox.messages) == sum(each["handler"] == "on_failure" for each in found["tried"]) > 2
