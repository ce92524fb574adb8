"""The page docs/settings.md, made from what is declared: `make docs` writes it, a test compares it."""

from __future__ import annotations

from pathlib import Path

from stream_retrain.settings import settings_table_markdown

PAGE = Path(__file__).parent / "settings.md"
HEAD = """\
# Settings

<!-- made by `make docs` from stream_retrain/settings/declared.py -->

Settings say where things are and how a worker runs. What belongs to the model (features, windows, rules) stands in the pipeline.

They come from a TOML file (`--settings FILE`, or what `STREAM_RETRAIN_SETTINGS` names, or `./stream_retrain.toml`), then from the
environment, then from options: the later one holds. `stream-retrain check` shows what they come to, without secrets. A relative path in
a file is relative to the file.

```toml
# stream_retrain.toml
kafka_bootstrap_servers = "kafka-1:9092,kafka-2:9092"
redis_url = "rediss://redis:6379/0"
signing_key_file = "signing.key"

[kafka]
"security.protocol" = "SASL_SSL"
```

Any librdkafka key goes in the table `[kafka]`, or in `STREAM_RETRAIN_KAFKA_<KEY>` with `_` for `.`, as in
`STREAM_RETRAIN_KAFKA_SECURITY_PROTOCOL`.

`STREAM_RETRAIN_NATIVE=off`, in the environment alone, makes the project's models compute in Python though the compiled ones are installed.
Both predict the same to the last bit, and a state of one resumes in the other ([models.md](models.md)).

A `signing_key_file` has lines such as `k1:<64 hexadecimal digits>`, and must be closed to others (`chmod 600`). Checkpoints are pickles,
so they are signed: give the same keys to every worker of a pipeline. [operations.md](operations.md) tells how keys are changed. With
`allow_unsigned` whoever can write to Redis can run code in the worker.

"""


def page() -> str:
    """The page as it should be."""
    return HEAD + settings_table_markdown()


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
