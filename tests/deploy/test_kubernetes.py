"""The manifests: as the API's schemas want them, generated where they hold rules and dashboards, and in step with the settings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream_retrain
from deploy import BASE, generated
from stream_retrain.loading import load_pipeline
from stream_retrain.ops import DASHBOARDS, rules_text
from stream_retrain.settings import Settings, load_settings
from tests.deploy.compose import ROOT
from tests.ops.support import debian

FOLDER = ROOT / "deploy" / "kubernetes"
KUBERNETES = "1.34"
MANIFESTS = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
OF_OTHERS = {
    "PodMonitor": ("monitoring.coreos.com/v1", {"selector", "podMetricsEndpoints"}),
    "PrometheusRule": ("monitoring.coreos.com/v1", {"groups"}),
    "ScaledObject": ("keda.sh/v1alpha1", {"scaleTargetRef", "triggers", "minReplicaCount", "maxReplicaCount"}),
}
"""Kinds whose schemas the API does not have: their version, and what a spec must have."""


def documents(text: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(text) if found]


def manifest(name: str) -> dict[str, Any]:
    [found] = documents((BASE / name).read_text())
    return found


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = manifest(name)["spec"]["template"]["spec"]
    return found


def is_valid(found: dict[str, Any]) -> None:
    """As the schema of its kind says; of another API's kind, its structure."""
    if found["kind"] in OF_OTHERS:
        version, needed = OF_OTHERS[found["kind"]]
        assert found["apiVersion"] == version
        assert needed <= found["spec"].keys()
        return
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: manifests are not validated")
    schemas.validate(found, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=[str(path.relative_to(FOLDER)) for path in MANIFESTS])
def test_every_manifest_is_valid(path: Path) -> None:
    for found in documents(path.read_text()):
        is_valid(found)
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", found["metadata"]["name"])


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_kustomize_builds_it_and_what_it_builds_is_valid(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: kustomizations are not built")
    ran = subprocess.run(["kubectl", "kustomize", str(FOLDER / folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    built = documents(ran.stdout)
    for found in built:
        is_valid(found)
    by_kind = {found["kind"]: found for found in built}
    assert by_kind.keys() >= {
        "StatefulSet",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
        *(OF_OTHERS.keys() - {"ScaledObject"}),
    }
    worker = by_kind["StatefulSet"]["spec"]
    labels = worker["template"]["metadata"]["labels"]
    selectors = [by_kind[kind]["spec"]["selector"] for kind in ("StatefulSet", "PodMonitor", "PodDisruptionBudget")]
    for selector in (*selectors, by_kind["NetworkPolicy"]["spec"]["podSelector"]):
        assert selector["matchLabels"].items() <= labels.items()
        assert "app.kubernetes.io/name" in selector["matchLabels"], "or it is about the namespace's other pods too"
    maps = {found["metadata"]["name"] for found in built if found["kind"] == "ConfigMap"}
    assert {each["configMap"]["name"] for each in worker["template"]["spec"]["volumes"] if "configMap" in each} <= maps


def test_every_file_of_a_kustomization_is_there() -> None:
    for path in FOLDER.rglob("kustomization.yaml"):
        read = yaml.safe_load(path.read_text())
        files = [file for made in read.get("configMapGenerator", []) for file in made["files"]]
        assert all((path.parent / name).exists() for name in [*read["resources"], *files])


def test_rules_and_dashboards_are_those_of_the_package() -> None:
    """Not a copy that somebody edits."""
    for name, text in generated().items():
        assert (BASE / name).read_text() == text, "run `make manifests`"
    assert manifest("prometheusrule.yaml")["spec"]["groups"] == yaml.safe_load(rules_text("docs/runbooks"))["groups"]
    held = {name: json.loads(text) for made in documents((BASE / "dashboards.yaml").read_text()) for name, text in made["data"].items()}
    assert held == {path.name: json.loads(path.read_text()) for path in DASHBOARDS.iterdir()}
    assert len((BASE / "dashboards.yaml").read_text()) < 2 * 262_144, "an annotation of kubectl apply holds a whole object, up to that"


def test_promtool_takes_the_rules_as_they_are_in_the_manifest(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(manifest("prometheusrule.yaml")["spec"]))
    ran = subprocess.run([debian("promtool"), "check", "rules", str(rules)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", ["worker.yaml", "trainer.yaml"])
def test_pods_fit_the_restricted_standard(name: str) -> None:
    spec = pod(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == manifest("serviceaccount.yaml")["metadata"]["name"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    assert f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["worker.yaml", "trainer.yaml"])
def test_the_key_can_be_read_by_its_user_and_by_nobody_else(name: str) -> None:
    """Root owns the files of a secret: without `fsGroup` and reading for the group, nobody but root could read them."""
    spec = pod(name)
    [keys] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert keys["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]


@pytest.mark.parametrize("name", ["worker.yaml", "trainer.yaml"])
def test_every_variable_is_a_setting(name: str) -> None:
    [container] = pod(name)["containers"]
    elsewhere = {"STREAM_RETRAIN_INSTANCE": "stream-retrain-worker-0", "STREAM_RETRAIN_REDIS_URL": "redis://h:1/0"}
    given = {each["name"]: each.get("value") or elsewhere[each["name"]] for each in container["env"]}
    assert isinstance(load_settings(BASE / "stream_retrain.toml", given), Settings)


@pytest.mark.parametrize("file", [BASE / "stream_retrain.toml", FOLDER / "overlays/example/stream_retrain.toml"], ids=["base", "example"])
def test_the_settings_load_and_fit_the_pods(file: Path) -> None:
    settings, spec = load_settings(file, {}), pod("worker.yaml")
    [container] = spec["containers"]
    assert settings.http_host == "0.0.0.0"
    assert [settings.http_port] == [port["containerPort"] for port in container["ports"]]
    assert settings.trainer == "pool", "there is a trainer"
    assert spec["terminationGracePeriodSeconds"] > settings.shutdown_timeout_s + 2
    probes = [container[probe] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert [probe["httpGet"]["path"] for probe in probes] == ["/healthz", "/healthz", "/readyz"]


def test_the_pipeline_of_the_base_loads_and_is_what_keda_scales() -> None:
    pipeline = load_pipeline(str(BASE / "pipeline.py"))
    [scaled] = documents((FOLDER / "keda" / "scaledobject.yaml").read_text())
    [kafka] = scaled["spec"]["triggers"]
    assert kafka["metadata"]["topic"] == pipeline.source
    assert kafka["metadata"]["consumerGroup"] == Settings().group_of(pipeline.name)
    assert scaled["spec"]["minReplicaCount"] == scaled["spec"]["maxReplicaCount"] == manifest("worker.yaml")["spec"]["replicas"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == manifest("worker.yaml")["metadata"]["name"]


def test_the_instance_of_a_worker_is_its_pod() -> None:
    [container] = pod("worker.yaml")["containers"]
    given = {each["name"]: each for each in container["env"]}
    assert given["STREAM_RETRAIN_INSTANCE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


def test_the_version_of_the_image_is_that_of_the_package() -> None:
    for path in FOLDER.rglob("kustomization.yaml"):
        assert {image["newTag"] for image in yaml.safe_load(path.read_text())["images"]} == {stream_retrain.__version__}
