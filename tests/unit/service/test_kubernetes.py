"""The manifests of Kubernetes against its schemas, and against the routes, commands and volumes that they name."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from models.cli.app import build
from models.errors import GateRefusedError, UsageError
from models.settings import Settings
from service.app import create_app

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "service" / "deploy" / "kubernetes.yaml"
VERSIONS = ("1.29", "1.37")
"""of Kubernetes: the first that all fields are stable in, and a late one"""


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))


def pods() -> list[dict[str, Any]]:
    found = []
    for one in documents():
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template is not None:
            found.append(template["spec"] | {"kind": one["kind"], "part": template["metadata"]["labels"]["part"]})
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(version: str) -> None:
    for one in documents():
        kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    (cron,) = (one for one in documents() if one["kind"] == "CronJob")
    cron["spec"]["concurrencyPolicies"] = cron["spec"].pop("concurrencyPolicy")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(cron, VERSIONS[0], strict=True)


def test_the_parts_are_those_of_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert {pod["part"] for pod in pods()} == set(compose["services"])
    (store,) = (pod for pod in pods() if pod["part"] == "store")
    wanted = [str(word) for word in compose["services"]["store"]["command"]]
    given = store["containers"][0]["args"]
    assert [word for word in given if "gb" not in word] == [word for word in wanted if "STORE_MEMORY" not in word]
    assert store["containers"][0]["image"] == compose["services"]["store"]["image"]


def test_every_command_and_flag_exists() -> None:
    application: Any = typer.main.get_command(build())
    for pod in pods():
        if pod["part"] == "store":
            continue
        name, *words = pod["containers"][0]["args"]
        flags = {option for parameter in application.commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= flags


def test_probes_ask_for_routes_that_exist() -> None:
    routes = set(create_app(Settings()).openapi()["paths"])
    for pod in pods():
        (container,) = pod["containers"]
        ports = {port["name"] for port in container.get("ports", ())}
        probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container]
        assert len(probes) == (0 if pod["part"] == "nightly" else 3)
        for probe in probes:
            if "httpGet" in probe:
                assert probe["httpGet"]["path"] in routes
                assert probe["httpGet"]["port"] in ports


def test_a_night_ends_at_once_where_another_try_would_end_the_same_way() -> None:
    (cron,) = (one for one in documents() if one["kind"] == "CronJob")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    rules = cron["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    (failing,) = (rule for rule in rules if "onExitCodes" in rule)
    assert failing["onExitCodes"]["values"] == [UsageError.exit_status, GateRefusedError.exit_status]


def test_pods_run_as_the_user_of_the_image_and_mount_what_there_is() -> None:
    claims = {one["metadata"]["name"] for one in documents() if one["kind"] == "PersistentVolumeClaim"}
    for pod in pods():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        if pod["part"] == "store":
            continue
        assert pod["securityContext"]["runAsUser"] == 10001
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        claimed = [volume.get("persistentVolumeClaim") for volume in volumes.values()]
        used = {one["claimName"] for one in claimed if one is not None}
        assert used <= claims
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/var/lib/pymk", "/tmp"}  # noqa: S108  # of a container
