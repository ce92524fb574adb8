"""The HTTP door, asked over real sockets: who may ask, what is answered, how often, and that a token is one request."""

from __future__ import annotations

import dataclasses
import hmac
import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.errors import BrokerError, RequestsFullError, StoreError
from stream_retrain.facts.request import REQUEST_KINDS, Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.requests import Requests
from stream_retrain.views.access import WriteAccess
from stream_retrain.views.door import ASKED_AT_ONCE, ASKED_BURST, ASKED_BYTES_MAX, ASKED_PER_S, REFUSED_BURST, Bucket, Door
from stream_retrain.views.http import HttpServer, serve
from tests.test_requests import PIPELINE, requests, waiting
from tests.views.test_http import Worker, pages_of

WRITE, READ = "write-write-write-write", "read-read-read-read"
RETRAIN = "/v1/pipelines/p/retrain"


class Shards:
    """What the door asks: the real thing over a store in memory; a test may put an error or a wait in its way."""

    def __init__(self) -> None:
        self.of: Requests = requests()
        self.error: Exception | None = None
        self.may_go = threading.Event()
        self.may_go.set()

    def ask(self, asked: Asked, partitions: Sequence[int] | None) -> Mapping[str, object]:
        self.may_go.wait(20)
        if self.error is not None:
            raise self.error
        return self.of.ask(asked, partitions).shown()

    def waits(self) -> list[list[Asked]]:
        return [waiting(self.of, number) for number in range(3)]


@dataclasses.dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def shards() -> Shards:
    return Shards()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def serving(shards: Shards, write: str | None = WRITE, clock: Clock | None = None, timeout_s: float = 5.0) -> HttpServer:
    door = Door(PIPELINE.name, shards.ask, WriteAccess(write, READ), clock_s=clock or Clock(), timeout_s=timeout_s)
    return serve("127.0.0.1", 0, pages_of(Worker()), token=READ, door=door)


@pytest.fixture
def server(shards: Shards, clock: Clock) -> Iterator[HttpServer]:
    with serving(shards, clock=clock) as server:
        yield server


def send(
    server: HttpServer, path: str = RETRAIN, body: Any = None, token: str | None = WRITE, method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        given.setdefault("Authorization", f"Bearer {token}")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body).encode(), given)
        answer = connection.getresponse()
        content = answer.read()
        assert content.count(b"\n") == 1
        assert content.endswith(b"\n")
        found: dict[str, Any] = json.loads(content)
        assert answer.status == 202 or found["status"] == answer.status
        return answer.status, found, dict(answer.getheaders())
    finally:
        connection.close()


def test_what_is_asked_waits_for_the_shards_and_the_answer_is_the_command_lines(server: HttpServer, shards: Shards) -> None:
    status, told, headers = send(
        server, body={"partitions": [0, 2], "reason": "a new season", "token": "t1", "do": "retrain", "pipeline": "p", "at": 5}
    )
    assert (status, headers["Content-Type"]) == (202, "application/json")
    asked = Asked(token="t1", do="retrain", reason="a new season", by="http:127.0.0.1")
    assert shards.waits() == [[asked], [], [asked]]
    again = requests().ask(asked, [0, 2]).shown()
    assert told == json.loads(json.dumps(again))


def test_without_a_body_all_partitions_are_asked_under_a_token_that_the_answer_names(server: HttpServer, shards: Shards) -> None:
    status, told, _ = send(server)
    assert status == 202
    assert {each[0].token for each in shards.waits()} == {told["token"]}


@pytest.mark.parametrize("do", REQUEST_KINDS)
def test_every_request_has_its_path(server: HttpServer, shards: Shards, do: str) -> None:
    version = {"version": "1-g4"} if do == "promote" else {}
    status, told, _ = send(server, f"/v1/pipelines/p/{do}", {"partition": 1, **version})
    assert (status, told["do"], list(told["requests"])) == (202, do, ["1"])
    if do == "pause":
        assert shards.of.stores.requests.look(ShardId("p", "s", 1)).paused is not None
    elif do != "resume":
        assert [each.do for each in shards.waits()[1]] == [do]


def test_the_same_key_again_is_the_same_request(server: HttpServer, shards: Shards) -> None:
    first = send(server, Idempotency_Key="k1")
    second = send(server, body={"token": "k1"})
    assert (first[0], first[1]["new"], second[0], second[1]["new"]) == (202, [0, 1, 2], 202, [])
    assert [len(each) for each in shards.waits()] == [1, 1, 1]


def test_the_example_of_the_page_on_requests_is_taken(shards: Shards, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    [example] = re.findall(r"^```bash\n(curl .*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "http.write.token").write_text(WRITE + "\n")
    with serving(shards) as server:
        command = example.replace(":9464/", f":{server.port}/").replace("/orders/", "/p/")
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["requests"] == {"2": "release-42"}
    assert [each.version for each in shards.waits()[2]] == ["2-g14"]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/v1/pipelines/p/retire", None, 404, "there is POST /v1/pipelines/p/(retrain|"),
        ("/v1/pipelines/q/retrain", None, 404, "there is p"),
        ("/v1/pipelines/p/retrain/0", None, 404, "no such path"),
        (RETRAIN, {"partition": 3}, 404, "partitions 0 to 2, and not 3"),
        ("/v1/pipelines/p/promote", {"partition": 1, "version": "0-g1"}, 409, "version 0-g1 is of partition 0"),
        ("/v1/pipelines/p/promote", {"version": "best"}, 422, "names no version"),
        (RETRAIN, {"version": "0-g1"}, 422, "a retrain has no version"),
        (RETRAIN, {"reason": "x" * 1_001}, 422, "1,000 bytes"),
        (RETRAIN, {"token": "two words"}, 422, "a token has"),
        (RETRAIN, {"token": ""}, 422, "a token has"),
        (RETRAIN, {"partition": 0, "partitions": [1]}, 422, "not both"),
        (RETRAIN, {"partitions": []}, 422, "length >= 1"),
        (RETRAIN, {"partition": True}, 422, "Expected `int"),
        (RETRAIN, {"partition": 10**30}, 404, "partitions 0 to 2, and not 1000"),
        (RETRAIN, {"partition": -1}, 404, "partitions 0 to 2, and not -1"),
        (RETRAIN, {"partiton": 1}, 422, "partiton"),
        (RETRAIN, {"do": "reset"}, 422, "the path says retrain, and do of the body 'reset'"),
        (RETRAIN, {"pipeline": "q"}, 422, "the path says p, and pipeline of the body 'q'"),
        (RETRAIN, [], 422, "it is no JSON object of these fields"),
        (RETRAIN, b"{", 422, "it is no JSON object of these fields"),
        (RETRAIN, b'{"reason": "\xff"}', 422, "it is no JSON object of these fields"),
        (RETRAIN, b'{"reason": "\\ud800"}', 422, "it is no JSON object of these fields"),
        (RETRAIN, b"[" * 5_000, 422, "it is no JSON object of these fields"),
        (RETRAIN, b" " * (ASKED_BYTES_MAX + 1), 413, "at most 16,384 bytes"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_asked(
    server: HttpServer, shards: Shards, path: str, body: Any, status: int, detail: str
) -> None:
    found, told, headers = send(server, path, body)
    assert (found, headers["Content-Type"]) == (status, "application/problem+json")
    assert detail in told["detail"]
    assert shards.waits() == [[], [], []]


def test_two_keys_that_differ_are_none(server: HttpServer, shards: Shards) -> None:
    assert send(server, body={"token": "a"}, Idempotency_Key="b")[0] == 422
    assert shards.waits() == [[], [], []]


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        ("header", "status", "detail"),
        [
            (None, 401, "needs the token of http_write_token_file"),
            ("Bearer ", 401, "needs the token"),
            ("Bearer " + WRITE[:-1], 401, "needs the token"),
            ("Bearer " + "x" * 10_000, 401, "needs the token"),
            ("Bearer é", 401, "needs the token"),
            ("Basic dTp3cml0ZS13cml0ZS13cml0ZS13cml0ZQ==", 401, "as Authorization: Bearer"),
            (f"Bearer {READ}", 403, "this is the token that reads"),
        ],
    )
    def test_nobody_without_the_write_token(self, server: HttpServer, shards: Shards, header: str | None, status: int, detail: str) -> None:
        given = {} if header is None else {"Authorization": header}
        found, told, headers = send(server, token=None, **given)
        assert found == status
        assert detail in told["detail"]
        assert ("WWW-Authenticate" in headers) == (status == 401)
        assert shards.waits() == [[], [], []]

    def test_it_reads_nothing(self, server: HttpServer) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/status", headers={"Authorization": f"Bearer {WRITE}"})
        assert connection.getresponse().status == 401
        connection.close()

    def test_nobody_where_there_is_no_write_token(self, shards: Shards) -> None:
        with serving(shards, write=None) as server:
            for token in (WRITE, READ, "", None):
                status, told, _ = send(server, token=token)
                assert (status, told["detail"].split(",")[0]) == (403, "the setting http_write_token_file is not given")
        assert shards.waits() == [[], [], []]

    def test_tokens_are_compared_in_constant_time_and_at_one_length(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[tuple[int, int]] = []
        access, real = WriteAccess(WRITE, READ), hmac.compare_digest
        monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
        assert [access.judged(f"Bearer {each}") for each in (WRITE, READ, "x", "y" * 500)] == ["write", "read", "none", "none"]
        assert set(compared) == {(32, 32)}

    def test_no_page_of_another_site_nor_a_name_that_is_not_served(self, server: HttpServer, shards: Shards) -> None:
        assert send(server, Sec_Fetch_Site="cross-site")[0] == 403
        assert send(server, Sec_Fetch_Site="same-site")[0] == 403
        assert send(server, Host="elsewhere.example")[0] == 421
        assert shards.waits() == [[], [], []]


def test_only_post_asks_and_only_there(server: HttpServer) -> None:
    for method in ("GET", "PUT", "DELETE"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request(method, RETRAIN, headers={"Authorization": f"Bearer {READ}"})
        assert connection.getresponse().status == 405
        connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/status", b"{}", {"Authorization": f"Bearer {WRITE}"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    connection.close()


def test_a_body_in_chunks_is_not_read(server: HttpServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"POST {RETRAIN} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        assert b" 411 " in client.recv(100)


class TestHowOften:
    def test_a_burst_then_so_many_a_second_and_strangers_use_up_nothing_of_it(
        self, server: HttpServer, clock: Clock, shards: Shards
    ) -> None:
        shards.error = StoreError("away")  # what is counted is who asks, and not what comes of it
        strangers = [send(server, token="wrong")[0] for _ in range(REFUSED_BURST + 1)]
        assert strangers == [401] * REFUSED_BURST + [429]
        owners = [send(server)[0] for _ in range(ASKED_BURST + 1)]
        assert owners == [503] * ASKED_BURST + [429]
        status, _, headers = send(server)
        assert (status, headers["Retry-After"]) == (429, "1")
        clock.now_s += 1
        assert [send(server)[0] for _ in range(int(ASKED_PER_S) + 1)] == [503] * int(ASKED_PER_S) + [429]

    def test_a_bucket_holds_no_more_than_its_burst(self) -> None:
        clock = Clock()
        bucket = Bucket(0.5, 2, clock)
        clock.now_s = 1e9
        assert [bucket.wait_s() for _ in range(3)] == [0, 0, 2]
        clock.now_s += 1.5
        assert bucket.wait_s() == 1


class TestTheStoreIsAway:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (StoreError("Redis does not answer"), 503),
            (BrokerError("Kafka does not answer"), 503),
            (RequestsFullError("100 requests wait"), 429),
            (ZeroDivisionError("a secret"), 500),
        ],
    )
    def test_the_answer_says_so_and_names_the_token_to_ask_again_with(
        self, server: HttpServer, shards: Shards, error: Exception, status: int
    ) -> None:
        shards.error = error
        found, told, headers = send(server, Idempotency_Key="k1")
        assert (found, told["token"]) == (status, "k1")
        assert ("Retry-After" in headers) == (status != 500)
        assert ("secret" in json.dumps(told)) is False

    def test_who_asks_is_told_in_time_and_others_are_served_meanwhile(self, shards: Shards) -> None:
        shards.may_go.clear()
        with serving(shards, timeout_s=0.3) as server:
            began_s = time.monotonic()
            answers = [send(server, Idempotency_Key=f"k{number}") for number in range(ASKED_AT_ONCE + 1)]
            assert [status for status, _, _ in answers] == [503] * (ASKED_AT_ONCE + 1)
            assert "it may have been asked" in answers[0][1]["detail"]
            assert "nothing was asked" in answers[-1][1]["detail"]
            assert time.monotonic() - began_s < 20
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
            shards.may_go.set()
            until_s = time.monotonic() + 20
            while len(shards.waits()[0]) < ASKED_AT_ONCE and time.monotonic() < until_s:
                time.sleep(0.01)
            assert send(server, Idempotency_Key="k0")[1]["new"] == []
