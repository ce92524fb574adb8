"""What may be declared of callbacks, webhooks and integrations; and that none of it is part of what a pipeline is."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Callbacks, Decision, Pipeline, PipelineError, Schema, Secret, Webhook
from stream_retrain.core.callbacks import VersionsTold, handlers_of


def declared(**parts: Any) -> Pipeline:
    schema = Schema(id="id", label="y", features={"a": float})
    return Pipeline(name="p", task="binary", source="s", model=linear_model.LogisticRegression(), schema=schema, **parts)


def took(decision: Decision) -> None:
    """A callback."""


async def later(decision: Decision) -> None:
    """No callback."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """An integration."""

    called: str = "elsewhere"
    on: tuple[str, ...] = ("training.joined",)
    timeout_s: float = 1.0
    attempts_max: int = 1
    pause_s: float = 1.0

    def faults(self) -> Iterator[str]:
        yield from ()

    def missing(self) -> str:
        return ""

    def build(self, versions: VersionsTold) -> Any:  # noqa: ARG002 - the protocol is that of an integration
        return took

    def trial(self) -> Any:
        return took


def faults(**parts: Any) -> list[str]:
    with pytest.raises(PipelineError) as raised:
        declared(**parts)
    return list(raised.value.faults)


def test_two_pipelines_that_differ_only_in_who_is_told_are_the_same() -> None:
    plain = declared()
    told = declared(
        callbacks=Callbacks(on_drift=lambda _: None),
        webhooks=[Webhook(url="https://example.org/hook", secret=Secret(env="HOOK"))],
        integrations=[Elsewhere()],
    )
    assert (told.digest(), told.model_digest(), told.parts()) == (plain.digest(), plain.model_digest(), plain.parts())


def test_a_pickle_has_nobody_who_is_told_so_that_a_lambda_stands_in_no_way() -> None:
    told = declared(callbacks=Callbacks(on_drift=lambda _: None), webhooks=[Webhook(url="https://example.org/hook")])
    opened = pickle.loads(pickle.dumps(told))
    assert (opened.callbacks, opened.webhooks, opened.integrations) == (None, (), ())
    assert opened.digest() == told.digest()


def test_handlers_have_names_and_what_they_ask_for_in_the_order_in_which_they_are_declared() -> None:
    hook = Webhook(url="https://example.org:8443/hook", on=["drift", "training.failed"])
    told = declared(
        callbacks=Callbacks(on_failure=took, on_drift=took),
        webhooks=[hook, Webhook(url="http://other/", name="ops")],
        integrations=[Elsewhere()],
    )
    assert [(each.name, each.on) for each in handlers_of(told)][:3] == [
        ("on_drift", ("drift",)),
        ("on_failure", ("failure",)),
        ("webhook:example.org", ("drift", "training.failed")),
    ]
    assert [each.name for each in handlers_of(told)][3:] == ["ops", "elsewhere"]


def test_every_fault_of_callbacks_is_told() -> None:
    wrong: Any = {"on_drift": "print", "on_failure": later, "on_success": lambda: None, "timeout_s": 0, "attempts_max": 0, "pause_s": -1}
    found = faults(callbacks=Callbacks(**wrong, memory_bytes_max=1))
    assert [fault.partition(": ")[2].split(" ")[0] for fault in found] == [
        "on_drift",
        "on_success",
        "on_failure",
        "memory_bytes_max",
        "timeout_s",
        "attempts_max",
        "pause_s",
    ]
    assert "coroutine" in found[2]
    assert faults(callbacks=took) == ["callbacks must be a Callbacks, not function"]


def test_a_class_a_partial_and_a_built_in_of_one_argument_are_callbacks() -> None:
    class Held:
        def __call__(self, decision: Decision) -> None: ...

    assert len(declared(callbacks=Callbacks(on_drift=Held(), on_failure=print)).callbacks.functions()) == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "example.org", "https://", "https://example.org/a b", "http://example.org:99999", 7, "https://exämple.org"]
)
def test_a_webhook_s_address_is_one(url: Any) -> None:
    assert faults(webhooks=[Webhook(url=url)]) == ["webhooks 0: url is no http:// or https:// address"]


def test_no_secret_is_ever_in_a_declaration_or_in_its_fault() -> None:
    [of_url] = faults(webhooks=[Webhook(url="https://me:hunter22@example.org/")])
    [of_secret] = faults(webhooks=[Webhook(url="https://example.org/", secret="whsec_hunter22")])  # type: ignore[arg-type]
    [of_env] = faults(webhooks=[Webhook(url="https://example.org/", secret=Secret(env="whsec_hunter22/+="))])
    assert all("hunter22" not in fault for fault in (of_url, of_secret, of_env))
    assert "give its name, never the secret itself" in of_env


@pytest.mark.parametrize("secret", [Secret(), Secret(env="A", file="b")])
def test_a_secret_is_in_one_place(secret: Secret) -> None:
    assert "names one place" in faults(webhooks=[Webhook(url="https://example.org/", secret=secret)])[0]


def test_every_fault_of_a_webhook_is_told() -> None:
    headers: Any = {"Webhook-Id": "1", "Content-Type": "x", "Good": "v\n", "a b": "x", "X-Token": Secret()}
    found = faults(webhooks=[Webhook(url="https://example.org/", on=("drfit", "duel.ended"), headers=headers, attempts_max=101)])
    assert [fault.removeprefix("webhooks 0: ")[:12] for fault in found] == [
        "on: 'drfit' ",
        "headers: 'We",
        "headers: 'Co",
        "headers Good",
        "headers: 'a ",
        "headers X-To",
        "attempts_max",
    ]
    assert faults(webhooks=[Webhook(url="https://example.org/", on="drift")])[0].startswith("webhooks 0: on is 'drift'")
    assert faults(webhooks=Webhook(url="https://example.org/")) == ["webhooks must be a list of Webhook"]
    assert faults(integrations=[took]) == ["integrations 0: function is no Integration"]


def test_two_of_one_name_must_be_told_apart() -> None:
    twice = [Webhook(url="https://example.org/a"), Webhook(url="https://example.org/b")]
    assert faults(webhooks=twice) == ["two are called 'webhook:example.org': give each a name"]
    assert faults(webhooks=[Webhook(url="https://example.org/", name="a b")]) == ["'a b' is no name: use letters, digits, . : - and _"]
