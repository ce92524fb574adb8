"""`stream-retrain`: arguments and wiring only. Exit codes: 0 done, 1 the run failed, 2 usage or configuration, 3 unhealthy."""

from __future__ import annotations

import errno
import importlib
import logging
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

import stream_retrain
from stream_retrain.cli.hash_seed import pin_hash_seed
from stream_retrain.cli.streams import flushed, prepared, say
from stream_retrain.errors import PipelineError, RequestError, SettingsError, StreamRetrainError
from stream_retrain.logs import ALWAYS, fields_with, logs_json, redacted

__all__ = ["COMMANDS", "app", "main"]

LOG: Final = logging.getLogger("stream_retrain.cli")

COMMANDS: Final = {
    **{name: name for name in ("demo", "init")},
    **{name: name for name in ("check", "run", "trainer", "publish", "flights", "status", "healthcheck", "callbacks")},
    **dict.fromkeys(("retrain", "reset", "pause", "resume"), "request"),
    **{name: name for name in ("backtest", "train", "verify", "asyncapi")},
    "models": "models",
    "repartition": "repartition",
    "warm-start": "warm_start",
    "dashboards": "export",
    "rules": "export",
    "dead-letters": "dead_letters",
    "topics": "topics",
    "local": "local",
}
"""By name, the module of this package in which each is; of a group of commands, the module's `app` or what has the group's name."""


def app(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The program, or as much of it as has these commands."""
    made = typer.Typer(
        name="stream-retrain",
        help="Keep River models right on Kafka streams while the world changes, and prove what was done.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(common)
    for name in names:
        module = importlib.import_module(f"{__name__}.{COMMANDS[name]}")
        found = getattr(module, name.replace("-", "_"), None) or module.app
        if isinstance(found, typer.Typer):
            made.add_typer(found, name=name)
        else:
            made.command()(found)
    return made


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stream_retrain {stream_retrain.__version__}")
        raise typer.Exit


def common(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)] = False,
) -> None:
    """Options of the program itself."""


def main(arguments: list[str] | None = None) -> Any:
    """The program; returns by `SystemExit` with the exit code."""
    if arguments is None:
        pin_hash_seed()
    prepared()
    code = _ran(arguments)
    if (unwritten := flushed()) is not None and code == 0:
        say(f"error: standard output cannot be written: {unwritten}")
        code = 1
    raise SystemExit(code)


def _ran(arguments: list[str] | None) -> int:
    """Run a command; its exit code, after what went wrong was said."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        # What another command would have to import is not waited for: a probe of health is asked for twice a minute.
        app([] if given == ["--version"] else [name for name in given[:1] if name in COMMANDS] or COMMANDS)(given)
    except (PipelineError, RequestError, SettingsError) as error:
        _say_error(str(error))
        return 2
    except StreamRetrainError as error:
        _say_error(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except OSError as error:
        unwritten = "standard output cannot be written" if error.errno in (errno.ENOSPC, errno.EPIPE) else ""
        place = error.filename or unwritten
        _say_error(f"{f'{place}: ' if place else ''}{error.strerror or error}")
        return 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _say_error(text: str) -> None:
    """Why the program ends, on standard error: in a line of its own, or as a JSON line where the log is of those."""
    if logs_json():
        LOG.error("%s", text, extra=fields_with(ALWAYS, kind="program.failed"))
    else:
        say(f"error: {redacted(text)}")
