"""What a shell gets when somebody presses the tab key."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import environment, wait_until

from hpo.cli import COMMANDS
from hpo.config import Config

SHIPPED = [
    "bert-news",
    "bert-news-grid",
    "bert-news-random",
    "entailment",
    "models",
    "names",
    "news-masked",
    "news-shots",
    "news-titles",
    "news-zh",
    "notes",
    "phrases",
    "prompts",
    "quantized",
    "questions",
    "requests",
    "sentiment",
    "sentiment-domain",
    "sentiment-shots",
    "shapes",
    "similarity",
    "spam",
    "strategies",
    "strategies-more",
]
Complete = Callable[..., list[str]]


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    """What is offered for the last word of a command line, in an empty folder; nothing else may be said."""

    def complete(line: str, config: Config) -> list[str]:
        words = line.split(" ")
        told = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_HPO_COMPLETE": "bash_complete"}
        done = subprocess.run(
            [sys.executable, "-c", "from hpo.cli import main; main()"],
            env=environment(config) | told | {"PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [line.removeprefix("plain,") for line in done.stdout.splitlines()]

    return complete


@pytest.fixture
def nowhere(tmp_path: Path) -> Config:
    return Config(home=tmp_path / "home")


def test_commands_options_and_kinds_are_completed(complete: Complete, nowhere: Config) -> None:
    assert complete("hpo la", nowhere) == ["launch"]
    assert complete("hpo ", nowhere) == list(COMMANDS)
    assert complete("hpo --ho", nowhere) == ["--home"]
    assert complete("hpo plot -s bert-news h", nowhere) == ["history"]
    assert complete("hpo db sto", nowhere) == ["stop"]


def test_studies_of_the_database_come_first(complete: Complete, toy: Config) -> None:
    wait_until(lambda: complete("hpo trials -s to", toy) == ["file,to", "toy"], timeout=60)
    assert sorted(complete("hpo best --study ", toy)[1:]) == sorted([*SHIPPED, "toy"])


def test_a_database_is_named_on_the_line_too(complete: Complete, toy: Config, nowhere: Config) -> None:
    line = f"hpo --database-url {toy.database_url} trials -s to"
    wait_until(lambda: complete(line, nowhere) == ["file,to", "toy"], timeout=60)


def test_no_server_is_started(complete: Complete, nowhere: Config) -> None:
    assert sorted(complete("hpo trials -s ", nowhere)[1:]) == SHIPPED
    assert not nowhere.home.exists()


def test_a_server_that_does_not_answer_is_not_waited_for(complete: Complete, tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        config = Config(tmp_path / "home", f"postgresql://hpo@127.0.0.1:{deaf.getsockname()[1]}/hpo")
        assert sorted(complete("hpo trials -s s", config)[1:]) == [name for name in SHIPPED if name.startswith("s")]
    offered = ["file,se", *(name for name in SHIPPED if name.startswith("se"))]
    assert sorted(complete("hpo trials -s se", config)) == offered  # refused
    assert sorted(complete("hpo trials -s se", Config(tmp_path, "mysql://x"))) == offered


def test_study_files_are_offered(complete: Complete, nowhere: Config, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("tickets.yaml", "notes.txt", "mine/新闻.yml"):
        (tmp_path / name).touch()
    assert complete("hpo launch -s ti", nowhere) == ["file,ti", "tickets.yaml"]
    assert complete("hpo launch -s mine/", nowhere) == ["file,mine/", "mine/新闻.yml"]
    assert complete("hpo launch -s none/", nowhere) == ["file,none/"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str, nowhere: Config) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpo"],
        env=environment(nowhere) | {"_HPO_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"_HPO_COMPLETE={shell}_complete" in done.stdout
