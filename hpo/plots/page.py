"""One page of HTML with all pictures of a study inside: no script, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from hpo.plots import fonts
from hpo.plots.story import Story, brief
from hpo.tables import shown

STYLE = f"""
body {{ font: 16px/1.5 {fonts.FAMILIES}; color: #222; background: #f3f4f6; margin: 0; }}
main {{ max-width: 1240px; margin: 0 auto; padding: 24px; }}
h1 {{ margin: 0 0 4px; font-size: 28px; }}
p {{ margin: 4px 0; }}
nav a {{ margin-right: 14px; color: #0072b2; }}
figure {{ background: white; border: 1px solid #ddd; border-radius: 8px; margin: 20px 0; padding: 8px; }}
figure svg {{ width: 100%; height: auto; display: block; }}
table {{ border-collapse: collapse; margin: 10px 0; background: white; }}
td, th {{ border: 1px solid #ddd; padding: 4px 12px; text-align: left; }}
"""


def write(out: Path, story: Story, pictures: Mapping[str, str], missing: Sequence[str]) -> None:
    """The page: what the study is, its best trial, the pictures as SVG by kind, and which could not be drawn."""
    links = "".join(f'<a href="#{kind}">{kind}</a>' for kind in pictures)
    figures = "".join(figure(story.name, kind, svg) for kind, svg in pictures.items())
    lines = "".join(f"<p>{escape(line)}</p>" for line in missing)
    out.write_text(document(story.name, f"{_head(story)}\n<nav>{links}</nav>\n{figures}{lines}"), "utf-8")


def document(title: str, body: str, style: str = STYLE) -> str:
    """A whole page around a body of HTML; the title is plain text."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _head(story: Story) -> str:
    states = [row["state"] for row in story.trials]
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
    counts = ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)
    facts = f"{story.metric}, {story.direction}; {story.spec.sampler.kind} + {story.spec.pruner.kind}; {counts}"
    return f"<h1>{escape(story.name)}</h1>\n<p>{escape(facts)}</p>\n{_best(story)}"


def _best(story: Story) -> str:
    if story.best is None:
        return "<p>no trial is complete yet</p>"
    params = story.best["params"]
    heads = "".join(f"<th>{escape(axis.label)}</th>" for axis in story.axes if axis.address in params)
    cells = "".join(f"<td>{escape(brief(params[axis.address]))}</td>" for axis in story.axes if axis.address in params)
    said = f"<p>best {escape(story.metric)} {shown(story.best['value'])}, trial {story.best['number']}</p>"
    return f"{said}\n<table><tr>{heads}</tr><tr>{cells}</tr></table>"


def figure(name: str, kind: str, svg: str) -> str:
    """A picture without what only a file of its own needs, named for those who cannot see it."""
    inside = re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)
    label = escape(f"{kind} of {name}")
    named = inside.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return f'<figure id="{kind}">\n{named}</figure>\n'
