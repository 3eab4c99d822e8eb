"""The page itself: its sections in order, with the pictures between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from hpo.onepage import making, result
from hpo.onepage.account import Account
from hpo.onepage.markup import Markup, lines, section, tag
from hpo.plots import page
from hpo.tables import shown

STYLE = (
    page.STYLE
    + """
main { max-width: 1080px; }
h2 { margin: 40px 0 8px; font-size: 22px; border-bottom: 2px solid #0072b2; padding-bottom: 4px; }
h3 { margin: 24px 0 4px; font-size: 17px; }
nav { margin: 16px 0; line-height: 1.9; }
.quiet, small { color: #595959; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 20px 0; }
.card { background: white; border: 1px solid #ddd; border-radius: 8px; padding: 12px 16px; }
.card b { display: block; font-size: 24px; line-height: 1.3; }
.card span, .card small { display: block; }
.doubt { border-left: 4px solid #e69f00; padding-left: 12px; }
.wide { overflow-x: auto; }
table { font-size: 15px; font-variant-numeric: tabular-nums; }
thead th { background: #eceef1; }
td { overflow-wrap: break-word; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.text { min-width: 15em; max-width: 44em; overflow-wrap: anywhere; }
.facts td, h1, .card b { overflow-wrap: anywhere; }
.marked td { background: #e3f1fa; font-weight: bold; }
.facts th { font-weight: normal; color: #595959; white-space: nowrap; }
pre { background: white; border: 1px solid #ddd; border-radius: 8px; padding: 12px; overflow-x: auto; font-size: 14px; }
.bar { display: inline-block; width: 90px; height: 10px; background: #eceef1; margin-right: 6px; }
.bar i { display: block; height: 10px; background: #0072b2; }
figure { overflow-x: auto; }
figcaption { color: #595959; font-size: 15px; padding: 4px 8px; }
figure svg { min-width: 640px; }
@media (max-width: 600px) {
  main { padding: 14px; }
  .cards { grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); }
  .card b { font-size: 20px; }
  table { font-size: 13.5px; }
  td, th { padding: 3px 7px; }
}
@media print {
  body { background: white; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  figure, .card, tr, pre { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  figure svg { min-width: 0; }
  .wide, figure { overflow: visible; }
  .bar, .bar i, .marked td, thead th { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
)

CAPTIONS = {
    "history": "Each trial by its number, and the best so far.",
    "curves": "Learning curves: each trial after each evaluation; pruned ones end early.",
    "importance": "How much each parameter mattered to come among the best trials (PED-ANOVA).",
    "slice": "Values of each parameter beside what the trials reached.",
    "parallel": "A line a trial, through the values of all its parameters.",
    "contour": "Two parameters at once: a mean over near trials.",
    "timeline": "Which worker ran which trial, and when.",
    "cost": "The best so far by the time that was spent.",
}
_SEARCH, _MATTERED, _TIME = ("history", "curves"), ("importance", "slice", "parallel", "contour"), ("timeline", "cost")
_PARTS = {
    "result": "How good",
    "searched": "Searched",
    "search": "The search",
    "mattered": "What mattered",
    "errors": "Errors",
    "time": "Time",
    "failures": "Failures",
    "again": "Again",
}


def html(account: Account, pictures: Mapping[str, str], missing: Sequence[str]) -> str:
    """The page; pictures are SVG by kind, and `missing` says why some could not be drawn."""

    def drawn(kinds: Sequence[str]) -> Markup:
        return lines(*(_picture(account, kind, pictures[kind]) for kind in kinds if kind in pictures))

    said = lines(*(tag("p", line, class_="quiet") for line in missing))
    body = lines(
        _head(account),
        result.cards(account),
        tag("nav", *(tag("a", title, href=f"#{name}") for name, title in _PARTS.items())),
        result.certain(account),
        making.searched(account),
        section("search", "How the search went", drawn(_SEARCH)),
        section("mattered", "What mattered", drawn(_MATTERED), said),
        result.wrong(account),
        section("time", "Where the time went", making.cost(account.spent), drawn(_TIME)),
        making.failed(account),
        making.again(account),
    )
    return page.document(account.story.name, body, STYLE)


def _head(account: Account) -> Markup:
    row = account.row
    ended = [trial["finished"] for trial in account.story.trials if trial["finished"]]
    when = f"made {_day(row['created'])}" + (f", last trial ended {_day(max(ended))}" if ended else "")
    about = tag("p", making.counts(account.story))
    stands = tag("p", f"{row['state']}; {when}", class_="quiet")
    error = tag("p", f"The study stopped with: {row['error']}", class_="doubt") if row["error"] else Markup()
    return lines(tag("h1", account.story.name), about, stands, error)


def _day(when: datetime) -> str:
    return shown(when)[:16]


def _picture(account: Account, kind: str, svg: str) -> Markup:
    drawn = page.figure(account.story.name, kind, svg)
    return Markup(drawn.replace("</figure>", f"{tag('figcaption', CAPTIONS[kind])}</figure>"))
