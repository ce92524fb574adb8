"""`stream-retrain status`: how every worker of a group stands, or one worker asked directly."""

from __future__ import annotations

import http.client
import json as json_
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_retrain.cli.group_status import console_of_tables, group_status, nobody_runs, score_text, show_group, table_of
from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, errors, loaded, plain, print_json
from stream_retrain.codec.private_file import read_token
from stream_retrain.engines.callbacks import callbacks_group
from stream_retrain.errors import SettingsError
from stream_retrain.stores import connect
from stream_retrain.stores.worker_status import due_text
from stream_retrain.views.tls import client_context

if TYPE_CHECKING:
    from stream_retrain.core.pipeline import Pipeline

__all__ = ["fetch_status", "status"]

TIMEOUT_S = 5.0
UNHEALTHY = 3


def status(
    pipeline: Annotated[
        str | None, typer.Argument(metavar="[PIPELINE]", help="Show every worker of this pipeline's group.", show_default=False)
    ] = None,
    group: Annotated[str | None, typer.Option(help="Show every worker of this consumer group.", show_default=False)] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask the worker at this address (default without PIPELINE and group: http_host and http_port).")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="With --url: the token that the worker asks for (default: http_token_file).", show_default=False)
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="With --url https://...: certificates to trust, in PEM, instead of the system's.", show_default=False),
    ] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Show shards, scores, lag, labels and trainings; exit code 3 where no worker answers, or one is not ready."""
    wanted = configured(settings)
    if url is not None and (pipeline or group):
        raise SettingsError("--url asks one worker: leave out PIPELINE and --group, or --url")
    of = loaded(pipeline) if pipeline and not group else None
    name = group or (wanted.group_of(of.name) if of is not None else wanted.group)
    if url is None and name is not None:
        _show_group(name, None if of is None else _trainers_of(name, of), wanted.redis_url, json)
        return
    scheme = "http" if wanted.http_tls_cert_file is None else "https"
    address = (url or f"{scheme}://{wanted.http_host}:{wanted.http_port}").rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise SettingsError(f"--url is the address of a worker, such as http://127.0.0.1:9464, not {address}")
    token = token_file or wanted.http_token_file
    try:
        found = fetch_status(address, read_token(token) if token else None, client_context(ca_file) if ca_file else None)
    except (OSError, ValueError) as error:
        errors().print(f"no worker answers at {address}: {error}", markup=False)
        raise typer.Exit(UNHEALTHY) from None
    if json:
        print_json(found)
    else:
        for number, worker in found["workers"].items() if "workers" in found else [(None, found)]:
            _show(number, worker)
    if not found["ready"]:
        raise typer.Exit(UNHEALTHY)


def _trainers_of(group: str, pipeline: Pipeline) -> str:
    from stream_retrain.engines.trainer.tickets import trainers_group  # here, because it imports River

    return trainers_group(group, pipeline)


def _show_group(group: str, trainers: str | None, redis_url: str, json: bool) -> None:
    """Exits with code 3 where there is no worker, one is not ready, or a partition is nobody's. Raises `StoreError`.

    `trainers` is the group of the trainers that have loaded exactly this pipeline, where that is known.
    """
    store = connect(redis_url).workers
    callbacks = store.all(callbacks_group(group))
    found = group_status(group, store.all(group), None if trainers is None else store.all(trainers), callbacks)
    if json:
        print_json(found)
    elif found["workers"]:
        show_group(found)
    if not found["workers"]:
        errors().print(nobody_runs(group), markup=False, highlight=False)
    if not found["ready"]:
        raise typer.Exit(UNHEALTHY)


def fetch_status(address: str, token: str | None = None, context: ssl.SSLContext | None = None) -> dict[str, Any]:
    """The JSON of a worker's `/status`. Raises OSError where nothing answers, or something else; ValueError for what is no address."""
    request = urllib.request.Request(f"{address}/status")  # noqa: S310 - the operator's own address
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # whoever redirects could name any other host
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as response:  # noqa: S310 - the same
            found = json_.load(response)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"what answers is no worker: {error}") from None
    except urllib.error.HTTPError as error:
        with error:
            why = "; it asks for a token: --token-file" if error.code == 401 else ""
            raise OSError(f"HTTP {error.code}{why}") from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from None
    if not isinstance(found, dict) or "ready" not in found:
        raise OSError("what answers is no worker")
    return found


def _show(number: str | None, found: dict[str, Any] | None) -> None:
    """A worker; of several, the one with a number."""
    console = console_of_tables()
    if number is not None:
        console.print(plain(f"worker {number}" if found else f"worker {number} does not answer"))
    if found is None:
        return
    console.print(plain(f"pipeline {found['pipeline']}  instance {found['instance']}  {found['state']}  {found['detail']}"))
    for missing in found["missing"]:
        console.print(plain(f"not ready: {missing}"))
    columns = ("partition", "state", "offset", "lag", "waiting", "unmatched", "learned", "gen.", "drifts", "dead", "overall", "rolling")
    table = table_of(*columns)
    for name, shard in found["shards"].items():
        scores = [", ".join(f"{metric} {score_text(value)}" for metric, value in shard[kind].items()) for kind in ("running", "rolling")]
        keys = ("events_seen", "generation", "drifts", "rejected")
        counts = [shard[key] for key in ("state", "offset", "lag_records", "pending")]
        counts += [sum(shard["unmatched"].values()), *(shard[key] for key in keys)]
        table.add_row(name.rpartition("/")[2], *map(str, counts), *scores)
    console.print(table)
    if relay := found.get("label_relay"):
        done = f"{relay['relayed']:,} relayed, {relay['waiting']:,} wait for their questions, {relay['rejected']:,} dead letters"
        console.print(plain(f"  relay of labels: {relay['state']}  {done}  {relay['detail']}"))
    if read := found.get("request_topic"):
        lag = "another worker reads" if read["lag_records"] is None else f"lag {read['lag_records']:,}"
        done = f"{read['taken']:,} taken, {read['refused']:,} dead letters"
        console.print(plain(f"  topic of requests: {read['state']}  {lag}  {done}  {read['detail']}"))
    if called := found.get("callbacks"):
        lag = "-" if called["lag_records"] is None else f"{called['lag_records']:,}"
        console.print(plain(f"  callbacks: {called['state']}  lag {lag}  {called['detail']}"))
        for name, each in called["handlers"].items():
            counted = ", ".join(f"{each[key]:,} {key}" for key in ("called", "failed", "retried", "dead", "waiting"))
            console.print(plain(f"    {name}: {counted}" + (f"; {each['error']}" if each["error"] else "")))
    for name, shard in found["shards"].items():
        if schedules := shard.get("schedules"):
            console.print(plain(f"  partition {name.rpartition('/')[2]}: {due_text(schedules)}"))
        if said := _labels_text(shard.get("labels")):
            console.print(plain(f"  partition {name.rpartition('/')[2]}: {said}"))
    for entry in found["recent"][-10:]:
        console.print(plain(f"  partition {entry['partition']} offset {entry['offset']}: {entry['text']}"))


def _labels_text(labels: dict[str, Any] | None) -> str | None:
    """What became of a shard's answers, as a sentence; None where none has come."""
    if labels is None or labels["join_rate"] is None:
        return None
    said = f"{labels['join_rate']:.1%} of {labels['joined'] + labels['unjoined']:,} later labels found their question"
    delay = labels["delay_s"]
    return said if delay["p50"] is None else f"{said}; they came after {delay['p50']:,.1f} s (median), {delay['p99']:,.1f} s (99 %)"
