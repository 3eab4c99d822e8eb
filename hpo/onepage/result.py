"""How good a study's best is, how sure that is, what it gets wrong: sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hpo import card, tables
from hpo.inspection import Inspection
from hpo.mistakes import Slice
from hpo.onepage.account import Account
from hpo.onepage.markup import Markup, bar, commands, facts, lines, section, table, tag
from hpo.onepage.markup import card as boxed
from hpo.verdict import Standing, Verdict
from objectives.settings import Transfer

_SLICES = 20


def cards(account: Account) -> Markup:
    """What to see first."""
    row, spent = account.row, account.spent
    over = f"{row['complete']} complete, {row['pruned']} pruned, {row['failed']} failed"
    found = [*_best(account), boxed(len(account.story.trials), "trials", over)]
    found.append(boxed(tables.duration(spent.work), "of work", "all workers together"))
    known = {name: saving.known for name, saving in spent.savings.items() if saving.known}
    if (saved := sum(known.values())) > 0:
        found.append(boxed(tables.duration(saved), "saved, about", f"by {' and '.join(known)}"))
    return tag("div", *found, class_="cards")


def _best(account: Account) -> Iterator[Markup]:
    best, found = account.story.best, account.verdict
    if best is None:
        yield boxed("none", "no trial is complete yet")
        return
    if isinstance(found, str):
        yield boxed(best["value"], f"best {account.story.metric}", f"trial {best['number']}, one seed, validation rows")
        return
    test, seeds = found.winner.test, len(found.promotion.seeds)
    spread = f" ± {test.half:.2g}" if test.half is not None else ""
    about = f"{card.called(found.winner.candidate)}, mean of {seeds} fresh seeds, 95 %"
    yield boxed(f"{test.mean:.3g}{spread}", found.tested, about)
    if "test_accuracy" in found.winner.trials[0].metrics and found.tested != "test_accuracy":
        accuracy = next(interval for name, interval, _ in card.metrics(found) if name == "test_accuracy")
        yield boxed(f"{accuracy.mean:.1%}", "test_accuracy", f"mean of the same {seeds}")


def certain(account: Account) -> Markup:
    """The best and how sure it is."""
    found = account.verdict
    inner = _unsure(account, found) if isinstance(found, str) else _sure(found)
    return section("result", "How good the best is", *inner)


def _unsure(account: Account, why: str) -> Iterator[Markup]:
    best, name = account.story.best, account.story.spec.study
    if best is None:
        yield tag("p", "No trial is complete yet.")
        return
    yield tag("p", f"Best {account.story.metric}: {tables.shown(best['value'])}, trial {best['number']}.")
    if isinstance(account.story.spec.objective, Transfer):
        partly = "This is one seed, chosen among many trials by the validation rows, and so partly luck"
        yield tag("p", f"{partly}: {why}. To know what is left of it:", class_="doubt")
        yield commands(f"hpo promote -s {name}")
    metrics = [(metric, value) for metric, value in best["metrics"].items() if "[" not in metric]
    yield tag("p", "Metrics of its best evaluation, on the validation rows:")
    yield facts(metrics)


def _sure(found: Verdict) -> Iterator[Markup]:
    yield lines(*(tag("p", line) for line in card.lines(found)))
    columns = ["configuration", found.tested, "+/-", "seeds", "beside the winner"]
    valid = found.winner.valid is not None
    if valid:
        columns.insert(1, found.metric)
    place = list(found.standings).index(found.winner)
    yield table(columns, (_standing(found, one, valid) for one in found.standings), place)
    yield tag("p", f"The winner's metrics on {found.test_rows} test rows, which no trial of the search has read:")
    means = ((name, mean.mean, mean.low, mean.high) for name, mean, _ in card.metrics(found) if "[" not in name)
    yield table(("metric", "mean", "from (95 %)", "to"), means)


def _standing(found: Verdict, one: Standing, valid: bool) -> list[Any]:
    beside = found.beside(one)
    means = [one.valid.mean if one.valid else None] if valid else []
    said = beside.said if beside else "winner"
    return [card.called(one.candidate), *means, one.test.mean, one.test.half, len(one.trials), said]


def wrong(account: Account) -> Markup:
    """What the model gets wrong."""
    found = account.inspection
    inner = [tag("p", f"{found}.")] if isinstance(found, str) else [*_wrong(found)]
    return section("errors", "What it gets wrong", *inner)


def _wrong(found: Inspection) -> Iterator[Markup]:
    which = "the model that the promotion wrote" if found.split == "test" else "the best trial"
    said = f"Of {found.rows} {found.split} rows {which} has {found.wrong} wrong (trial {found.trial} of {found.study})"
    yield tag("p", f"{said}; accuracy {found.metrics['accuracy']:.3f}, f1_macro {found.metrics['f1_macro']:.3f}.")
    if found.mistakes:
        yield tag("h3", "The most confident mistakes")
        yield tag("p", f"Without their texts: {found.asked.missing}.") if found.asked.missing else Markup()
        yield _mistakes(found)
        yield tag("h3", "The most confused classes")
        pairs = ((one.truth, one.predicted, one.rows, f"{one.share:.1%}") for one in found.confused)
        yield table(("true", "predicted", "rows", "of the true class"), pairs)
    if found.slices:
        yield tag("h3", f"By {found.column}")
        yield slices(str(found.column), found.slices[:_SLICES])
    yield from _calibration(found)


def slices(column: str, found: Sequence[Slice]) -> Markup:
    """Metrics by the values of a column; notes have one where there is any."""
    notes = ("",) if any(one.note for one in found) else ()
    rows = ((one.value or "(empty)", one.rows, one.accuracy, one.f1_macro, one.note) for one in found)
    columns = (column, "rows", "accuracy", "f1_macro", *notes)
    return table(columns, (row[: len(columns)] for row in rows))


def _mistakes(found: Inspection) -> Markup:
    read = ((one, *found.read(one.row)) for one in found.mistakes)
    rows = [
        (
            tag("div", text or f"row {one.row}", class_="text"),
            one.truth,
            one.predicted,
            f"{one.probability:.3f}",
            where or "",
        )
        for one, where, text in read
    ]
    return table(("text", "true", "predicted", "probability", "where"), rows)


def _calibration(found: Inspection) -> Iterator[Markup]:
    yield tag("h3", "Calibration")
    error = f"Expected calibration error {found.calibration.error:.3f} (Guo et al. 2017)"
    yield tag("p", f"{error}: how far accuracy is from the probability that the model gives, on average over bins.")
    rows = (
        (f"{one.low:.1f} to {one.high:.1f}", one.rows, *_two(one.confidence, one.accuracy))
        for one in found.calibration.bins
    )
    yield table(("probability", "rows", "mean of it", "accuracy"), rows)


def _two(*shares: float) -> Iterator[Markup]:
    yield from (bar(share, f"{share:.3f}") for share in shares)
