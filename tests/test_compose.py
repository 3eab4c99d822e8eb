"""docker-compose.yml and the Dockerfile: as far as they can be told to be right without Docker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from hpo.cli import group
from hpo.config import VARIABLES, Config
from hpo.database import parse_url

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
PLACE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")
SECRET = "HPO_DATABASE_PASSWORD"
TOY = """
study: toy
objective: {simulated: {evaluations: 2}}
search:
  simulated.learning_rate: {low: 1e-5, high: 1e-1, log: true}
pruner: none
trials: 2
"""


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its ${NAME:-default} replaced, as Docker Compose does it."""
    return PLACE.sub(lambda found: values.get(found[1]) or found[2] or "", text)


def command(service: str, **values: str) -> list[str]:
    return [filled(word, values) for word in SERVICES[service]["command"]]


def test_compose_follows_its_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    waited = service.get("depends_on", {})
    assert set(waited) <= set(SERVICES)
    healthy = {other for other, how in waited.items() if how["condition"] == "service_healthy"}
    assert all("healthcheck" in SERVICES[other] for other in healthy)
    sources = [filled(volume, {}).split(":")[0] for volume in service.get("volumes", [])]
    folders = {source for source in sources if source.startswith((".", "/"))}
    assert set(sources) - folders <= set(COMPOSE["volumes"])
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert set(service.get("secrets", [])) <= set(COMPOSE.get("secrets", {}))
    assert service.get("env_file") is None  # else it must be there, and be looked for here


def test_every_volume_is_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_the_example_has_every_setting_with_its_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    places = {(found[1], found[2]) for found in PLACE.finditer(text)}
    shown = set(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
    secrets = (SECRET, "HPO_DASHBOARD_PASSWORD")
    assert places - {(secret, None) for secret in secrets} == shown
    assert all(f'"{secret}=$(openssl rand' in EXAMPLE for secret in secrets)


@pytest.mark.parametrize("name", SERVICES)
def test_the_password_is_in_no_command_line_and_has_no_default(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.items():
        assert key == "environment" or SECRET not in str(value)
    secret = [value for value in service["environment"].values() if SECRET in value]
    assert secret == [f"${{{SECRET}:?copy .env.example to .env and add a password}}"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_variables_that_are_read(name: str) -> None:
    given = OURS[name]["environment"]
    assert {variable for variable in given if variable.startswith("HPO_")} <= set(VARIABLES.values())
    url = parse_url(filled(given["HPO_DATABASE_URL"], {}))
    postgres = SERVICES["postgres"]["environment"]
    assert (url.username, url.database, url.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"], None)
    inside = f"{given['HPO_DATA_ROOT']}:ro"
    assert [volume for volume in OURS[name]["volumes"] if volume.endswith(inside)]


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_closed_in(name: str) -> None:
    service = OURS[name]
    assert (service["init"], service["read_only"], service["cap_drop"]) == (True, True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service or name == "dashboard"


def test_nothing_listens_beyond_this_machine() -> None:
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


@pytest.mark.parametrize("name", ["launch", "worker"])
def test_who_trains_has_a_gpu_and_time_to_stop(name: str) -> None:
    (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert ("count" in device) != ("device_ids" in device)
    assert SERVICES[name]["stop_grace_period"].endswith("m")


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_hpo_takes(name: str) -> None:
    word, *arguments = command(name)
    context = click.Context(group)
    found = group.get_command(context, word)
    assert found is not None
    found.make_context(word, arguments, parent=context)


def test_the_commands_of_launch_and_worker_run(config: Config, tmp_path: Path, hpo: Callable[..., Any]) -> None:
    toy = tmp_path / "toy.yaml"
    toy.write_text(TOY)
    refused = hpo(*command("worker", STUDY=str(toy)), check=False)
    assert (refused.returncode, "toy: no such study" in refused.stderr) == (1, True)
    assert "2 complete, 0 pruned, 0 failed" in hpo(*command("launch", STUDY=str(toy))).stderr
    assert hpo(*command("worker", STUDY=str(toy))).returncode == 0
    assert command("worker") == ["worker", "--study", "bert-news"]


def test_the_dashboard_asks_for_a_password(hpo: Callable[..., Any]) -> None:
    given = OURS["dashboard"]["environment"]["HPO_DASHBOARD_PASSWORD"]
    assert given.startswith("${HPO_DASHBOARD_PASSWORD:?")  # without one, compose says so and starts nothing
    refused = hpo(*command("dashboard"), check=False)
    assert (refused.returncode, "set HPO_DASHBOARD_PASSWORD" in refused.stderr) == (1, True)


def copied() -> list[str]:
    """What the Dockerfile takes out of this folder."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_the_image_is_built_from_what_it_copies_and_from_nothing_else(tmp_path: Path) -> None:
    allowed = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("#", "")]
    assert allowed == ["*", *(f"!{name}" for name in copied()), "**/__pycache__"]
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {"hpo/cli/__init__.py", "objectives/trial.py", "hpo/studies/bert-news.yaml"} <= set(
        zipfile.ZipFile(wheel).namelist()
    )


def test_the_image_has_the_tested_torch_a_plain_user_and_no_secret() -> None:
    script = next(found for found in re.findall(r'torch="\$\((.+)\)"', DOCKERFILE))
    said = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"torch==[0-9.]+\n", said)
    assert DOCKERFILE.count("--constraint constraints.txt") == 1
    assert re.findall(r"^ARG BASE=(.+)$", DOCKERFILE, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["1000:1000"]
    assert not re.search(r"password|token|secret", DOCKERFILE, re.IGNORECASE)
    owned = re.findall(r"install -d .* (/\S+) (/\S+)$", DOCKERFILE, re.MULTILINE)
    volumes = {
        target for service in OURS.values() for _, target, *_ in (one.split(":") for one in service["volumes"][:2])
    }
    assert volumes == set(owned[0])
