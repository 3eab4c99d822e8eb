"""Models of a hub, asked by `hpo check` and `hpo launch` as a user would: what is there, and what is said where not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakehub import COMMIT, TOKEN, Hub
from support import environment

from hpo.config import Config

Run = Callable[..., subprocess.CompletedProcess[str]]
Checkpoint = Callable[[str], Path]

STUDY = """
study: acme
objective:
  task: text-classification
  model: acme/tiny
  data: {path: rows.csv, max_length: 32}
  training: {epochs: 1}
search: {training.learning_rate: {low: 1e-5, high: 1e-3, log: true}}
trials: 2
"""


@pytest.fixture
def acme(fake_hub: Hub, checkpoint: Checkpoint, tmp_path: Path) -> Hub:
    """A hub with `acme/tiny`, the same gated, and one with pickled weights."""
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(checkpoint("bert") / "config.json", old)
    (old / "pytorch_model.bin").write_bytes(b"pickled")
    fake_hub.models |= {name: checkpoint("bert") for name in ("acme/tiny", "acme/gated")} | {"acme/old": old}
    fake_hub.gated.add("acme/gated")
    return fake_hub


@pytest.fixture
def check(hpo: Run, acme: Hub, rows: Path, tmp_path: Path) -> Run:
    """`hpo check` of a study of `acme/tiny`; the variables of the hub may be overridden."""
    file = tmp_path / "acme.yaml"
    file.write_text(STUDY)

    def check(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return hpo("check", str(file), *words, check=False, **(acme.environ(tmp_path / "hf") | environ))

    return check


def test_a_model_of_the_hub_is_found_and_its_tokens_counted(check: Run, acme: Hub, tmp_path: Path) -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    assert "unknown tokens" in done.stderr
    assert not any("safetensors" in asked for asked in acme.asked)  # which may be large
    offline = check(HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert f"and {tmp_path / 'hf' / 'hub'} has not all of it; hf download acme/tiny --local-dir" in offline.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["model.name=acme/gated"],
            r"it is gated; accept its terms at {url}/acme/gated, then hf auth login, or set",
        ),
        (["model.name=acme/none"], r"{url} has no such model, or it is private: hf auth login, or set HF_TOKEN"),
        (["model.name=bert-base-chinesee"], r"or set HF_TOKEN; did you mean bert-base-chinese?"),
        (["model.revision=v9"], r"cannot load acme/tiny@v9: it has no revision 'v9'; right is a branch, tag or commit"),
        (
            ["model.name=acme/old"],
            r"its weights are pytorch_model.bin, which are not read; there is no file named",
        ),
        (["model.name=a--b"], r"model.name: a--b is no id of the hub: "),
        (["search.model.name=[acme/tiny, acme/none]"], r"cannot load acme/none: {url} has no such model"),
    ],
)
def test_what_keeps_one_from_a_model_is_one_line(check: Run, acme: Hub, words: list[str], said: str) -> None:
    done = check(*(part for word in words for part in ("--set", word)))
    assert (done.returncode, done.stdout) == (1, "")
    assert said.format(url=acme.url) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_gated_model_is_given_to_a_token_that_is_told_nobody(check: Run, acme: Hub) -> None:
    gated = ("--set", "model.name=acme/gated")
    refused = check(*gated, HF_TOKEN="hf_aWrongSecret")
    assert refused.returncode == 1
    assert "it is gated" in refused.stderr
    assert "Secret" not in refused.stderr
    assert check(*gated, HF_TOKEN=TOKEN).returncode == 0


def test_a_hub_out_of_reach_is_told_without_its_login(check: Run, acme: Hub) -> None:
    done = check(HF_ENDPOINT="http://me:aSecret@127.0.0.1:9")
    assert done.returncode == 1
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "aSecret" not in done.stdout + done.stderr


def test_launch_creates_nothing_where_the_model_is_not_there(check: Run, hpo: Run, acme: Hub, tmp_path: Path) -> None:
    words = ["--set", "model.name=acme/none"]
    done = hpo("launch", "-s", str(tmp_path / "acme.yaml"), *words, check=False, **acme.environ(tmp_path / "hf"))
    assert done.returncode == 1
    assert "has no such model" in done.stderr
    assert json.loads(hpo("studies", "--json").stdout) == []


def test_a_proxy_is_asked_in_place_of_the_hub(check: Run, acme: Hub) -> None:
    done = check(HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=acme.url, http_proxy=acme.url, NO_PROXY="", no_proxy="")
    assert done.returncode == 0, done.stderr


@pytest.mark.acceptance
def test_workers_load_a_model_from_the_hub_and_later_without_it(
    check: Run, hpo: Run, acme: Hub, config: Config, tmp_path: Path
) -> None:
    environ = acme.environ(tmp_path / "hf") | {"HF_TOKEN": TOKEN, "CUDA_VISIBLE_DEVICES": ""}
    launch = ["launch", "-s", str(tmp_path / "acme.yaml"), "-w", "2"]
    hpo(*launch, "--set", "model.name=acme/gated", **environ)
    trials = json.loads(hpo("trials", "-s", "acme", "--json").stdout)
    assert [trial["state"] for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert f"GET /acme/gated/resolve/{COMMIT}/model.safetensors" in acme.asked
    written = "".join(file.read_text() for file in config.logs.rglob("*.log"))
    assert "complete" in written
    assert TOKEN not in written

    acme.models.clear()
    hpo(*launch, "--as", "again", "--set", "model.name=acme/gated", **environ | {"HF_HUB_OFFLINE": "1"})


def test_asking_the_hub_needs_no_torch(acme: Hub, config: Config, tmp_path: Path) -> None:
    script = (
        "import sys; from objectives.ready import ready; from objectives.settings import Model\n"
        "ready(Model(name='acme/tiny'))\n"
        "print([name for name in ('torch', 'transformers', 'tensorflow') if name in sys.modules])"
    )
    environ = environment(config) | acme.environ(tmp_path / "hf")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
