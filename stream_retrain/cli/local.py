"""`stream-retrain local up`: a real Kafka and Valkey to play with, held open until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Protocol

import typer

from stream_retrain.cli.output import JsonFlag, errors, print_json

__all__ = ["app", "hold"]

app = typer.Typer(help="A real Apache Kafka and Valkey on this machine, from packages alone.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `up` a command of its own."""


@app.command()
def up(
    brokers: Annotated[int, typer.Option(help="Kafka brokers: 1 or 3.", min=1, max=3)] = 1,
    keep: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the data there, and find it again next time.")] = None,
    json: JsonFlag = False,
) -> None:
    """Start Kafka and Valkey on free ports and hold them open until Ctrl-C or SIGTERM."""
    from stream_retrain.local import LocalStack

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with LocalStack.start(brokers=brokers, directory=keep, on_progress=lambda text: errors().print(text, markup=False)) as stack:
        if json:
            place = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
            print_json({**place, "directory": str(stack.directory)})
        else:
            typer.echo(f"export STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS={stack.bootstrap_servers}")
            typer.echo(f"export STREAM_RETRAIN_REDIS_URL={stack.redis_url}")
            errors().print(f"data in {stack.directory}; Ctrl-C stops both", markup=False)
        hold({"Valkey": stack.valkey, **{f"Kafka's node {number}": node for number, node in enumerate(stack.kafka.brokers, 1)}}, stopped)
        errors().print("stopping", markup=False)


class _Alive(Protocol):
    @property
    def alive(self) -> bool: ...


def hold(servers: Mapping[str, _Alive], stopped: threading.Event, every_s: float = 1.0) -> None:
    """Wait until told to stop; a server that ends before that is named, once."""
    running = dict(servers)
    while not stopped.wait(every_s):
        for name in [name for name, server in running.items() if not server.alive]:
            del running[name]
            errors().print(f"{name} has ended; Ctrl-C, and local up again", markup=False)
