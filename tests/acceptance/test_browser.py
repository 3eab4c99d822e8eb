"""The dashboard in a real Chromium: it renders, asks nobody else, and runs no script that a study brings."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import browser as chromium
import optuna
import pytest
from dashboards import Dashboard, dashboard
from playwright.sync_api import Browser, Page, Response, sync_playwright
from sqlalchemy import text

from hpo import worker
from hpo.attempts import Worker
from hpo.config import Config
from hpo.spec import StudySpec
from hpo.store import open_store

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(chromium.found() is None, reason="no Chromium: python tests/browser.py fetches one"),
]
EVIL = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
SPEC = {
    "study": "seen",
    "objective": {"simulated": {"evaluations": 3}},
    "search": {
        "simulated.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "simulated.batch_size": {"choices": [8, 16]},
    },
    "sampler": "random",
    "pruner": "none",
    "trials": 12,
}
MATRIX = {"confusion_matrix": {"labels": [EVIL, "other"], "rows": [[3, 1], [0, 4]]}}


@pytest.fixture(scope="module")
def driver() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader"]
        opened = playwright.chromium.launch(
            executable_path=chromium.found(), args=arguments, env=chromium.environment()
        )
        yield opened
        opened.close()


class Seen:
    """A page, and all that it asked for, said and ran into."""

    def __init__(self, driver: Browser, at: Dashboard) -> None:
        self.page: Page = driver.new_context(accept_downloads=True).new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.answers: list[Response] = []
        self.at = at
        self.page.set_default_timeout(120_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", lambda answer: self.answers.append(answer))  # noqa: PLW0108 - a method of C has no attributes
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def goes(self, path: str, shows: str) -> str:
        """The page's text once it shows this."""
        self.page.goto(self.at.origin + path)
        self.page.get_by_text(shows).first.wait_for()
        self.page.wait_for_load_state("networkidle")
        return self.page.inner_text("body")

    def buttons(self, *names: str) -> int:
        """How many buttons of these names can be seen."""
        return sum(self.page.get_by_role("button", name=name).filter(visible=True).count() for name in names)

    def check(self) -> None:
        """Nothing was asked of another machine, nothing broke, no script of a study ran."""
        assert {urlsplit(url).netloc for url in self.asked if not url.startswith(("data:", "blob:"))} == {
            f"127.0.0.1:{self.at.port}"
        }
        assert self.errors == []
        assert self.page.evaluate("window.hacked") is None


@pytest.fixture
def served(config: Config) -> Iterator[Dashboard]:
    with open_store(config) as store:
        store.create(StudySpec.from_dict(SPEC))
    worker.run(config, "seen", Worker("here.1.1", "here", 1, config.grace), threading.Event())
    with open_store(config) as store:
        with store.engine.begin() as connection:
            connection.execute(
                text("UPDATE hpo.metrics SET details = CAST(:json AS json)"), {"json": json.dumps(MATRIX)}
            )
        other = optuna.create_study(study_name=EVIL, storage=store.storage)
        other.set_user_attr(EVIL, EVIL)
        other.optimize(lambda trial: len(trial.suggest_categorical(EVIL, [EVIL, "b"])), n_trials=3)
    with dashboard(config) as found:
        yield found


def test_with_write_there_are_buttons_that_change(config: Config, driver: Browser) -> None:
    with open_store(config) as store:
        store.create(StudySpec.from_dict(SPEC))
    with dashboard(config, "--write") as writing:
        seen = Seen(driver, writing)
        seen.page.goto(writing.link)
        seen.page.wait_for_url("**/dashboard")
        seen.page.get_by_text("seen").first.wait_for()
        assert seen.buttons("rename study", "delete study") == 2
        seen.check()


def test_a_person_looks_at_a_study(served: Dashboard, driver: Browser, tmp_path: Path) -> None:
    seen = Seen(driver, served)
    seen.page.goto(f"{served.origin}/?token=wrong")
    assert "That was not it." in seen.page.inner_text("body")
    seen.errors.clear()  # of the refusal
    seen.page.goto(served.link)
    seen.page.wait_for_url("**/dashboard")
    seen.page.get_by_text("seen").first.wait_for()
    assert EVIL in seen.page.inner_text("body")
    assert seen.buttons("rename study", "delete study") == 0
    seen.goes("/dashboard/studies/1/note", "hpo promote -s seen")
    seen.goes("/dashboard/studies/1/analytics", "seen")
    seen.goes("/dashboard/studies/1", "Confusion matrix of trial")
    best = next(url for url in seen.asked if "/api/studies/1?" in url)
    trial = seen.page.request.get(best).json()["best_trials"][0]
    listed = seen.goes(f"/dashboard/studies/1/trials?numbers={trial['number']}", "learning-curve.svg")
    assert [f"Trial {number}\nComplete" in listed for number in range(12)] == [True] * 12
    for name in ("confusion-matrix.svg", "metrics.json"):
        assert seen.page.get_by_text(name).first.is_visible()
    pictures = [answer for answer in seen.answers if "/artifacts/" in answer.url]
    assert {answer.status for answer in pictures} == {200}
    seen.page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    for path in ("", "/analytics", "/trialTable", "/trials?numbers=0", "/smartSelection", "/note"):
        assert EVIL in seen.goes(f"/dashboard/studies/2{path}", "onerror")
    cookies = seen.page.context.cookies()
    assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]
    assert seen.page.evaluate("document.cookie") == ""
    assert "token" not in seen.page.url
    seen.check()


def test_a_script_in_an_artifact_does_not_run(served: Dashboard, driver: Browser) -> None:
    seen = Seen(driver, served)
    seen.page.goto(served.link)
    seen.page.wait_for_url("**/dashboard")
    best = seen.page.request.get(f"{served.origin}/api/studies/1?after=0").json()["best_trials"][0]
    matrix = next(each for each in best["artifacts"] if each["filename"] == "confusion-matrix.svg")
    answer = seen.page.request.get(f"{served.origin}/artifacts/1/{best['trial_id']}/{matrix['artifact_id']}")
    assert "&lt;img src=x onerro" in answer.text()
    assert "<img" not in answer.text()
    assert answer.headers["content-disposition"] == "attachment"
    seen.check()


def test_a_strangers_page_deletes_nothing(served: Dashboard, driver: Browser) -> None:
    seen = Seen(driver, served)
    seen.page.goto(f"{served.origin}/dashboard")
    status = "fetch('/api/studies/1', {method: 'DELETE', body: '{}'}).then(answer => answer.status)"
    assert seen.page.evaluate(status) == 401
    seen.page.goto(served.link)
    seen.page.wait_for_url("**/dashboard")
    assert seen.page.evaluate(status) == 403
    assert seen.page.request.get(f"{served.origin}/api/studies/1?after=0").json()["name"] == "seen"
