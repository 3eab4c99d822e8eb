"""Fonts in which every letter of a picture has a shape: Chinese ones where they are needed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib.font_manager import FontProperties, findSystemFonts, fontManager, get_font

FIRST = "DejaVu Sans"  # comes with matplotlib
# Of fonts that have Chinese, what they are called on Linux, macOS and Windows; simplified forms first
KNOWN = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Droid Sans Fallback",
    "Noto Sans CJK TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Arial Unicode MS",
)
FAMILIES = ", ".join(f"'{name}'" for name in (FIRST, "Verdana", *KNOWN)) + ", sans-serif"
"""What a viewer of SVG and HTML is to look for, in CSS."""
PACKAGE = "pylopdf_fonts_zh_cn"  # of the extra `plot`: Noto Sans SC, 30,000 letters, SIL Open Font License

# Fonts that are not there are no news: what lacks is told by `choose`
logging.getLogger("matplotlib").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Choice:
    """Families for matplotlib, the first one first, and the letters that none of them has."""

    families: list[str]
    lacking: frozenset[str]

    def legible(self, text: str) -> str:
        """The text with a question mark for each letter that lacks."""
        return "".join("?" if letter in self.lacking else letter for letter in text)


def choose(letters: Iterable[str]) -> Choice:
    """The fonts in which these letters have a shape; fonts of the machine before the one of the package."""
    wanted = {letter for letter in letters if not letter.isspace()}
    families, lacking = [FIRST], wanted - _has(FIRST, wanted)
    for name in _fallbacks() if lacking else ():
        found = _has(name, lacking)
        if found:
            families.append(name)
            lacking -= found
        if not lacking:
            break
    return Choice(families, frozenset(lacking))


def notice(lacking: Iterable[str]) -> str:
    """A line about letters without a shape, and what mends it."""
    shown = "".join(sorted(lacking)[:12])
    return (
        f"no font here has {shown}: shown as ? in PNG, as they are in SVG and HTML; "
        "install fonts-noto-cjk (apt) or: pip install pylopdf-fonts-zh-cn"
    )


def _fallbacks() -> Iterator[str]:
    """Families that may have Chinese, the likely ones first."""
    known = {entry.name for entry in fontManager.ttflist}
    yield from (name for name in KNOWN if name in known)
    yield from _packaged()
    yield from _unseen()


def _packaged() -> Iterator[str]:
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        yield from (_added(path) for path in sorted(Path(folder).glob("*Sans*.otf")))


def _unseen() -> Iterator[str]:
    """Families that were installed after matplotlib last looked."""
    seen = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(findSystemFonts()):
        if path not in seen:
            yield _added(Path(path))


def _added(path: Path) -> str:
    fontManager.addfont(path)
    return fontManager.ttflist[-1].name


def _has(family: str, letters: set[str]) -> set[str]:
    font = get_font(fontManager.findfont(FontProperties(family=family)))
    return {letter for letter in letters if font.get_char_index(ord(letter))}
