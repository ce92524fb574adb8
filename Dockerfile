# The image of worker and trainer.
#
#     docker build --tag stream-retrain:0.2.0 .
#     docker build --build-arg EXTRAS=demo --tag stream-retrain:0.2.0-demo .    with the flights of docker-compose.yml
#
# The pipeline is not in it: mount it, or make an image of your own from this one (docs/operations.md).
# It needs no place to write but /tmp: run it with a root file system that is read-only.

FROM rust:1.90.0-slim-bookworm AS native
WORKDIR /native
COPY native ./
RUN cargo build --release

FROM python:3.11.14-slim-bookworm AS build
ARG EXTRAS=
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/stream_retrain
ENV PATH=/opt/stream_retrain/bin:$PATH
COPY constraints.txt ./
# What builds the wheel is pinned as well, so it is installed here and not in an isolated environment.
RUN pip install --constraint constraints.txt hatchling && mkdir /wheels
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY stream_retrain stream_retrain
COPY --from=native /native/target/release/libstream_retrain_native.so /native/
RUN STREAM_RETRAIN_NATIVE=/native/libstream_retrain_native.so pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv --clear /opt/stream_retrain \
    && set -- /wheels/*.whl \
    && pip install --constraint constraints.txt "$1${EXTRAS:+[$EXTRAS]}" \
    && pip uninstall --yes pip setuptools

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="stream_retrain" \
      org.opencontainers.image.description="Keeps River models right on Kafka streams while the world changes, and can prove what it did." \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"
COPY --from=build /opt/stream_retrain /opt/stream_retrain
# A volume that is mounted at the second folder for the first time belongs to the user, as the folder does.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stream_retrain \
    && install --directory --owner=10001 --group=10001 /pipelines /var/lib/stream_retrain
# Hashing of text is pinned: some models iterate over sets, and a restart has to do so in the same order.
ENV PATH=/opt/stream_retrain/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0 \
    PYTHONUNBUFFERED=1 \
    STREAM_RETRAIN_HTTP_HOST=0.0.0.0
USER 10001:10001
WORKDIR /pipelines
EXPOSE 9464
STOPSIGNAL SIGTERM
# `stream-retrain healthcheck` without its imports. It is of a worker; give a trainer none.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "stream_retrain.ops.healthcheck"]
ENTRYPOINT ["stream-retrain"]
CMD ["--help"]
