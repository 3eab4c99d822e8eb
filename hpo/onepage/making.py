"""What a study searched, cost and failed at, and how to do it again: sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import hpo
from hpo import spec as studies
from hpo import tables
from hpo.onepage.account import Account
from hpo.onepage.markup import Markup, commands, facts, section, table, tag
from hpo.plots.story import Story, brief
from hpo.promotion import Candidate
from hpo.spending import Saving, Spending
from objectives import settings
from objectives.errors import without_login

_MANY = 12  # numbers of trials that are listed


def searched(account: Account) -> Markup:
    """What was searched, and which values were found best."""
    story = account.story
    best = story.best["params"] if story.best else {}
    winner = {} if isinstance(account.verdict, str) else _params(account.verdict.winner.candidate)
    columns = ["parameter", "range", "objective's own", "best trial", *(["winner"] if winner else [])]
    rows = []
    for address, range_ in story.spec.search.items():
        own = brief(settings.get(story.spec.objective, address))
        found = [_value(best, address), *([_value(winner, address)] if winner else [])]
        rows.append((address, str(range_), own, *found))
    how = f"{story.spec.sampler.kind} draws the points, {story.spec.pruner.kind} prunes"
    said = f"{how}; {story.metric} is to be {'low' if story.direction == 'minimize' else 'high'}."
    return section("searched", "What was searched", tag("p", said), table(columns, rows))


def _params(candidate: Candidate) -> Mapping[str, object]:
    return candidate.params


def _value(params: Mapping[str, object], address: str) -> str:
    return brief(params[address]) if address in params else ""


def cost(spent: Spending) -> Markup:
    """Where the time went, and what was saved."""
    rows = [("work of all workers", tables.duration(spent.work), "")]
    rows += [("waiting between trials", tables.duration(spent.waiting), "")]
    phases = {**spent.phases, "what is not split": spent.unsplit}
    for before, parts in {"on": spent.devices, "spent on": phases, "what became of it:": spent.outcomes}.items():
        rows += _shares(before, parts, spent.work)
    saved = [f"{_estimate(name, saving)}." for name, saving in spent.savings.items()]
    return Markup(table(("", "time", "share"), rows) + "".join(tag("p", line) for line in saved))


def _shares(before: str, parts: Mapping[str, float], whole: float) -> list[tuple[str, str, str]]:
    return [
        (f"{before} {name}", tables.duration(seconds), f"{seconds / whole:.0%}" if whole else "")
        for name, seconds in parts.items()
    ]


def _estimate(name: str, saving: Saving) -> str:
    if saving.known is None:
        return f"What {name} saved is not known"
    if not saving.trials:
        return f"Saved by {name}: nothing"
    unknown = f"; of {saving.unknown} more it is not known" if saving.unknown else ""
    sign = "-" * (saving.seconds < 0)
    return f"Saved by {name}: about {sign}{tables.duration(abs(saving.seconds))}, of {saving.trials} trials{unknown}"


def failed(account: Account) -> Markup:
    """Why trials ended without a result."""
    rows = [(len(numbers), state, cause, _listed(numbers)) for state, cause, numbers in account.failures]
    inner = table(("trials", "state", "cause", "which"), rows) if rows else tag("p", "No trial failed.")
    return section("failures", "What failed", inner)


def _listed(numbers: list[int]) -> str:
    more = f" and {len(numbers) - _MANY} more" if len(numbers) > _MANY else ""
    return ", ".join(map(str, numbers[:_MANY])) + more


def again(account: Account) -> Markup:
    """How to do it again."""
    spec, name = account.story.spec, account.story.spec.study
    verbs = ("promote", "errors", "report") if isinstance(spec.objective, settings.Transfer) else ("report",)
    return section(
        "again",
        "How to do it again",
        facts([*_rows(account)]),
        tag("p", "Save the study file below beside its rows; then:"),
        commands(f"hpo launch -s {name}.yaml", *(f"hpo {verb} -s {name}" for verb in verbs)),
        tag("p", "The study file, every default in place:"),
        commands(study_file(spec)),
    )


def study_file(spec: studies.StudySpec) -> str:
    """The study file as it may be passed on: no URL in it logs anybody in."""
    return without_login(studies.render(spec).rstrip())


def _rows(account: Account) -> Iterator[tuple[str, str]]:
    yield "seed", str(account.story.spec.seed)
    if account.fingerprint:
        yield "rows, sha256", account.fingerprint
    yield "hpo", f"{hpo.__version__}, which wrote this page"
    for way, count in account.made:
        said = "; ".join(f"{name} {value}" for name, value in way.items())
        yield f"{count} trial{'s' * (count != 1)} ran with", said


def counts(story: Story) -> str:
    """What the study is, in a line."""
    objective = story.spec.objective
    if not isinstance(objective, settings.Transfer):
        return studies.subject(story.spec)
    models = {trial["facts"]["model"] for trial in story.trials if trial["facts"].get("model")}
    return f"{objective.task.kind} with {', '.join(sorted(models)) or objective.model.name}"
