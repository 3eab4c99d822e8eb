"""A picture by its kind, and files of pictures: PNG, SVG, or a page of HTML."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from hpo.errors import HpoError, StudyError
from hpo.plots import KINDS, fonts, page, params, runs, style
from hpo.plots.story import Story

Shares = Callable[[Story], Mapping[str, float]]
"""The importance of each parameter: given by the caller, since it is no matter of drawing."""

_DRAWN: dict[str, Callable[[Story, Sequence[str]], Figure]] = {
    "history": runs.history,
    "curves": runs.curves,
    "slice": params.slices,
    "parallel": params.parallel,
    "contour": params.contour,
    "timeline": runs.timeline,
    "cost": runs.cost,
}
_CHOOSING = ("slice", "parallel", "contour")


@dataclass(frozen=True)
class Order:
    """What is to be drawn into which file: kinds, or all if there are none; the parameters of those that take some."""

    out: Path
    kinds: Sequence[str] = ()
    params: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.params and self.kinds and not set(self.kinds) & set(_CHOOSING):
            raise HpoError(f"--param is for {', '.join(_CHOOSING)}; asked for: {', '.join(self.kinds)}")

    def params_of(self, kind: str) -> Sequence[str]:
        """Contour takes two: as one of all kinds it does without where there are more or fewer."""
        return () if kind == "contour" and not self.kinds and len(self.params) != 2 else self.params


def save(story: Story, order: Order, shares: Shares) -> tuple[list[Path], list[str]]:
    """Draw what is ordered, or what can be drawn of all kinds; the files written, and lines to be said.

    A page holds all of them; as PNG and SVG, several become one file each, such as `out-history.png`. Raises StudyError
    where a kind that was asked for, or every one, lacks trials.
    """
    found = fonts.choose(story.texts())
    as_text = order.out.suffix != ".png"  # whoever looks at it has fonts of their own
    said = [fonts.notice(found.lacking)] if found.lacking and not as_text else []
    with _styled(found.families, as_text):
        story = story if as_text else story.written(found.legible)
        pictures, missing = _pictures(story, order, shares)
        if missing and (order.kinds or not pictures):
            raise StudyError(missing[0])
        if order.out.suffix == ".html":
            page.write(order.out, story, {kind: svg(made, kind) for kind, made in pictures.items()}, missing)
            return [order.out], said
        return [save_one(made, kind, _path(order, kind)) for kind, made in pictures.items()], said + missing


def svgs(story: Story, shares: Shares) -> tuple[dict[str, str], list[str]]:
    """Pictures of all kinds as SVG, for a page that has more than these, and why some could not be drawn."""
    with _styled(fonts.choose(story.texts()).families, as_text=True):
        pictures, missing = _pictures(story, Order(Path()), shares)
        return {kind: svg(made, kind) for kind, made in pictures.items()}, missing


@contextmanager
def _styled(families: Sequence[str], as_text: bool) -> Iterator[None]:
    """Pictures as ours look, for the time of a block; letters that a file has as text need no shape here."""
    settings: Any = {**style.SETTINGS, "font.family": families}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        if as_text:
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _pictures(story: Story, order: Order, shares: Shares) -> tuple[dict[str, Figure], list[str]]:
    """The pictures by kind, and why some could not be drawn."""
    drawn: dict[str, Figure] = {}
    missing = []
    story.chosen(order.params)
    for kind in order.kinds or KINDS:
        try:
            drawn[kind] = _picture(story, kind, order.params_of(kind), shares)
        except StudyError as error:
            missing.append(str(error))
    return drawn, missing


def _picture(story: Story, kind: str, chosen: Sequence[str], shares: Shares) -> Figure:
    if kind == "importance":
        return params.importance(story, shares(story), len(story.valued))
    return _DRAWN[kind](story, chosen)


def _path(order: Order, kind: str) -> Path:
    return order.out if len(order.kinds) == 1 else order.out.with_name(f"{order.out.stem}-{kind}{order.out.suffix}")


def save_one(picture: Figure, kind: str, path: Path) -> Path:
    """Write a picture of a kind as .png or .svg; the path."""
    if path.suffix == ".svg":
        path.write_text(svg(picture, kind), "utf-8")
    else:
        picture.savefig(path, metadata={"Software": "hpo"})
    return path


def svg(picture: Figure, kind: str) -> str:
    """SVG with its texts as texts, in the fonts of whoever looks at it; its ids begin with the kind."""
    written = io.StringIO()
    picture.savefig(written, format="svg", metadata={"Date": None, "Creator": "hpo"})
    families = ", ".join(f"'{name}'" for name in matplotlib.rcParams["font.family"])
    text = written.getvalue().replace(families, fonts.FAMILIES)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{kind}-", text)
