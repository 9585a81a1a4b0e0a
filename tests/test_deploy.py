"""What deploy/ says of the service is true of the service."""

import re
from pathlib import Path

import pytest
import yaml

from plaudit.serve.run import KEY_VARIABLE
from plaudit.serve.settings import ServeSettings

DEPLOY = Path(__file__).parent.parent / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = (DEPLOY / "plaudit.service").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["plaudit"]
MANIFESTS = {manifest["kind"]: manifest for manifest in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def seconds(text):
    return int(str(text).removesuffix("s"))


def test_the_image_has_the_server_and_no_training():
    assert re.findall(r"'\.\[(.*?)\]'", DOCKERFILE) == ["serve"]
    assert re.search(r"^USER 10001", DOCKERFILE, flags=re.MULTILINE)


def test_what_the_image_copies_is_not_ignored():
    copied = {
        name for line in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, flags=re.MULTILINE) for name in line.split()
    }
    kept = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), flags=re.MULTILINE)
    assert copied == set(kept)
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_everything_agrees_on_the_port():
    assert "EXPOSE 8000" in DOCKERFILE
    assert COMPOSE["ports"] == ["127.0.0.1:8000:8000"]
    assert [port["containerPort"] for port in CONTAINER["ports"]] == [8000]
    assert "--port 8000" in UNIT


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_ask_paths_that_need_no_key(probe):
    assert CONTAINER[probe]["httpGet"] in ({"path": "/healthz", "port": "http"}, {"path": "/readyz", "port": "http"})


def test_every_way_asks_for_a_key():
    assert KEY_VARIABLE in COMPOSE["environment"]
    assert KEY_VARIABLE in [variable["name"] for variable in CONTAINER["env"]]
    assert "--api-key-file" in UNIT
    assert "--allow-anonymous" not in DOCKERFILE


def test_every_way_waits_for_accepted_requests():
    needed = ServeSettings().shutdown_seconds
    assert seconds(COMPOSE["stop_grace_period"]) > needed
    assert POD["terminationGracePeriodSeconds"] > needed + 5
    assert int(re.search(r"TimeoutStopSec=(\d+)", UNIT)[1]) > needed


def test_containers_are_read_only_and_not_root():
    assert COMPOSE["read_only"] and COMPOSE["cap_drop"] == ["ALL"]
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}
