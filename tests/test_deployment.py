"""docs/deployment.md: its roles, scripts and units do what it says, as far as one machine can tell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
import yaml
from sqlalchemy.engine import make_url
from support import environment, wait_until
from test_compose import SERVICES
from test_docs import code, commands

from hpo import postgres, schema
from hpo.config import VARIABLES, Config
from hpo.database import Database, parse_url
from hpo.schema.views import VIEWS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/deployment.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
ROLES = ("hpo_owner", "hpo_worker", "hpo_reader")
Hpo = Callable[..., subprocess.CompletedProcess[str]]
STUDY = """
study: bert-news
objective: {simulated: {evaluations: 40, seconds: 20}}
search:
  simulated.learning_rate: {low: 1e-5, high: 1e-1, log: true}
pruner: none
trials: 2
"""


def test_the_page_is_tidy_and_linked() -> None:
    assert [line for line in TEXT.splitlines() if len(line) > 120 or line != line.rstrip() or "\t" in line] == []
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= headings
    assert "(docs/deployment.md)" in (ROOT / "README.md").read_text("utf-8")


def test_the_page_names_commands_and_variables_that_are_there() -> None:
    assert set(re.findall(r"\bhpo (db [a-z]+|[a-z]+)", code(TEXT))) <= {*commands(), "db"}
    assert set(re.findall(r"\bHPO_(?!DATABASE_PASSWORD)[A-Z_]+", TEXT)) <= set(VARIABLES.values())


def test_the_page_names_services_that_are_there() -> None:
    called = re.findall(r"docker compose (?:build|up|run)\b(?: -\S+(?: worker=\d)?)* (\w+)$", TEXT, re.MULTILINE)
    assert called == ["launch", "dashboard", "launch", "worker", "worker"]
    assert set(called) <= set(SERVICES)


class Override(yaml.SafeLoader):
    """YAML with the tag of Docker Compose that removes what another file says."""


Override.add_constructor("!reset", lambda *_: "reset")


def test_the_override_takes_the_gpus_from_all_who_have_some() -> None:
    found = yaml.load(BLOCKS["docker-compose.override.yml"], Override)  # noqa: S506 - a SafeLoader
    with_gpus = {name for name, service in SERVICES.items() if "deploy" in service}
    assert found["services"] == {name: {"deploy": "reset"} for name in with_gpus}


def admin(server: postgres.Server, database: str = postgres.NAME) -> Any:
    connection = psycopg2.connect(server.psql_url(database))
    connection.autocommit = True
    return closing(connection)


@pytest.fixture
def lab(server: postgres.Server, tmp_path: Path) -> Iterator[Callable[[str], Config]]:
    """The page's roles and database, under names of this test's own; each role's configuration."""
    mark = uuid4().hex[:8]

    def own(statements: str) -> str:
        return re.sub(r"\b(hpo_(?:owner|worker|reader)|lab)\b", rf"\1_{mark}", statements)

    with admin(server) as connection, connection.cursor() as cursor:
        for statement in own(BLOCKS["roles"]).strip().rstrip(";").split(";"):
            cursor.execute(statement)
        for role in ROLES:
            cursor.execute(f"ALTER ROLE {own(role)} PASSWORD 'x'")
    base = make_url(server.url(own("lab")))

    def config(role: str) -> Config:
        url = base._replace(username=own(role), password="x", query={})  # type: ignore[arg-type]
        return Config(tmp_path / role, url.render_as_string(hide_password=False), beat=0.2, grace=1.5, patience=30)

    config.own = own  # type: ignore[attr-defined]
    yield config
    with admin(server) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {own('lab')} WITH (FORCE)")
        for role in ROLES:
            cursor.execute(f"DROP ROLE {own(role)}")


def hpo_as(config: Config, *arguments: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "hpo", *arguments]
    return subprocess.run(call, env=environment(config), capture_output=True, text=True, timeout=120, check=False)


def execute(config: Config, statements: str) -> list[tuple[Any, ...]]:
    """Run statements in the role's own name, and return the rows of the last."""
    plain = parse_url(str(config.database_url)).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statements)
        return cursor.fetchall() if cursor.description else []


def test_a_worker_needs_no_right_to_create(lab: Any, tmp_path: Path) -> None:
    owner, worker, reader = (lab(role) for role in ROLES)
    early = hpo_as(worker, "db", "upgrade")
    assert (early.returncode, "the role needs: GRANT CREATE" in early.stderr) == (1, True)
    assert hpo_as(owner, "db", "upgrade").returncode == 0
    execute(owner, lab.own(BLOCKS["grants"]))

    toy = tmp_path / "toy.yaml"
    toy.write_text(STUDY.replace("seconds: 20", "seconds: 0"))
    launched = hpo_as(worker, "launch", "-s", str(toy), "-w", "2")
    assert "2 complete, 0 pruned, 0 failed" in launched.stderr, launched.stderr
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(worker, "CREATE TABLE hpo.mine ()")
    assert execute(worker, "SHOW idle_in_transaction_session_timeout") == [("1min",)]

    for command in (
        ["studies"],
        ["status", "-s", "bert-news"],
        ["trials", "-s", "bert-news"],
        ["show", "-s", "bert-news", "0"],
        ["workers"],
        ["cost", "-s", "bert-news"],
        ["report", "-s", "bert-news", "-o", str(tmp_path / "report.html")],
        ["watch", "-s", "bert-news"],
    ):
        assert hpo_as(reader, *command).returncode == 0
    assert '"number"' in hpo_as(reader, "best", "-s", "bert-news", "--json").stdout
    for statement in ("SELECT * FROM public.trial_params", "DELETE FROM hpo.plans", "DELETE FROM public.trials"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(reader, statement)

    assert hpo_as(worker, "delete", "-s", "bert-news", "-y").returncode == 0


def test_what_a_later_version_creates_is_granted_too(lab: Any) -> None:
    owner, worker, reader = (lab(role) for role in ROLES)
    assert hpo_as(owner, "db", "upgrade").returncode == 0
    execute(owner, lab.own(BLOCKS["grants"]))
    execute(owner, f"DROP VIEW {', '.join(f'hpo.{name}' for name in VIEWS)} CASCADE")
    schema.ensure(Database(lambda: parse_url(str(owner.database_url))))
    execute(owner, "CREATE TABLE hpo.later (id serial PRIMARY KEY)")
    assert execute(worker, "INSERT INTO hpo.later DEFAULT VALUES RETURNING id") == [(1,)]
    assert hpo_as(worker, "studies").returncode == 0
    assert hpo_as(reader, "studies").returncode == 0


def test_the_options_of_the_url_reach_the_server(config: Config) -> None:
    plain = parse_url(str(config.database_url))
    encrypted = plain.update_query_dict({"sslmode": "verify-full"}).render_as_string(hide_password=False)
    refused = hpo_as(replace(config, database_url=encrypted), "studies")
    assert refused.returncode == 1
    assert re.search(r"cannot reach .*(does not support SSL|root certificate)", refused.stderr)


@pytest.mark.acceptance
def test_a_worker_takes_two_connections(config: Config, tmp_path: Path, hpo: Hpo) -> None:
    toy = tmp_path / "toy.yaml"
    toy.write_text(STUDY.replace("seconds: 20", "seconds: 4"))
    said = tmp_path / "said"
    with said.open("w") as stderr:
        call = [sys.executable, "-m", "hpo", "launch", "-s", str(toy), "-w", "2"]
        launch = subprocess.Popen(call, env=environment(config), stderr=stderr)
    count = """
    SELECT count(*), pg_sleep(0.1) FROM pg_stat_activity
    WHERE application_name = 'hpo' AND datname = current_database()
    """
    most = 0
    while launch.poll() is None:
        most = max(most, execute(config, count)[0][0])
    assert launch.returncode == 0, said.read_text()
    assert 4 < most <= 2 * 2 + 3


SBATCH = """#!/bin/bash
# Runs a job as slurmstepd does: the script by its shell; at the end of its time, SIGTERM to that process alone.
signal=$(sed -n 's/^#SBATCH .*--signal=B:\\([A-Z]*\\)@[0-9]*.*/\\1/p' "$1")
bash "$1" & echo $! > "$FAKE_SLURM/job"
until test -e "$FAKE_SLURM/time-is-up"; do sleep 0.1; done
kill -s "$signal" "$(cat "$FAKE_SLURM/job")"
wait "$(cat "$FAKE_SLURM/job")"
echo $? > "$FAKE_SLURM/code"
"""


@pytest.mark.acceptance
def test_a_job_whose_time_is_up_gives_its_trial_back(config: Config, tmp_path: Path, hpo: Hpo) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "sbatch": SBATCH,
        "hpo": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m hpo "$@"\n',
    }.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    settings = {**config.environ(), "HPO_PATIENCE": "30"}
    (tmp_path / "worker.env").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    (tmp_path / "hpo.sbatch").write_text(BLOCKS["hpo.sbatch"])
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    hpo_create(hpo, config, study)

    environ = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
    environ |= {"PATH": f"{programs}{os.pathsep}{environ['PATH']}", "HOME": str(tmp_path), "FAKE_SLURM": str(tmp_path)}
    slurm = subprocess.Popen(["sbatch", "hpo.sbatch"], cwd=tmp_path, env={**environ, "PYTHONPATH": str(ROOT)})
    try:
        state = "SELECT activity FROM hpo.trials WHERE study = 'bert-news' AND last_step > 1"
        wait_until(lambda: execute(config, state) == [("running",)], timeout=60)
        (tmp_path / "time-is-up").touch()
        slurm.wait(60)
    finally:
        slurm.kill()
        with suppress(ProcessLookupError):
            os.kill(int((tmp_path / "job").read_text()), signal.SIGKILL)
    assert (tmp_path / "code").read_text() == "143\n"
    books = "SELECT outcome FROM hpo.attempts a JOIN hpo.trials t USING (trial_id) WHERE t.last_step > 1"
    assert execute(config, books.replace("outcome", "a.outcome")) == [("released",)]


def hpo_create(hpo: Hpo, config: Config, study: Path) -> None:
    """Make the study without working on it."""
    from hpo.spec import load
    from hpo.store import open_store

    with open_store(config) as store:
        store.create(load(study))


def test_the_script_has_four_lines_and_asks_for_the_signal() -> None:
    lines = BLOCKS["hpo.sbatch"].splitlines()
    assert len(lines) == 4
    assert "--signal=B:TERM@" in lines[1]
    assert lines[3].startswith("exec hpo worker")


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here")
    program = tmp_path / "hpo"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = BLOCKS["hpo-worker@.service"]
    assert "ExecStart=/opt/hpo/bin/hpo worker --study bert-news\n" in text
    unit = tmp_path / "hpo-worker@0.service"
    unit.write_text(text.replace("/opt/hpo/bin/hpo", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, re.findall(rf"^.*{unit.name}.*$", done.stderr, re.MULTILINE)) == (0, []), done.stderr


def test_the_environment_file_is_read_the_same_by_systemd_and_a_shell() -> None:
    text = BLOCKS["worker.env"]
    read = subprocess.run(["bash", "-c", f"set -a\n{text}\nenv"], capture_output=True, text=True, check=True).stdout
    for name, value in re.findall(r"^(\w+)='([^'\n]*)'$", text, re.MULTILINE):  # systemd takes single quotes off, too
        assert f"{name}={value}\n" in read
    assert len(re.findall(r"^\w+='[^'\n]*'$", text, re.MULTILINE)) == len(text.splitlines())
    assert parse_url(re.findall("^HPO_DATABASE_URL='(.*)'", text)[0]).query["sslmode"] == "verify-full"
