"""From the bytes of a file to text: in the encoding that is named, or in a guessed one."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""


class EncodingError(Exception):
    """The bytes are no text in this encoding; one line says what is there and what would be right."""


def decode(raw: bytes, encoding: str | None = None) -> tuple[str, str | None]:
    """The text without a byte order mark, and the encoding if it was guessed and is not UTF-8.

    Raises EncodingError.
    """
    marked = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    if encoding or marked:
        text = _strict(raw, encoding or marked or "")
        return _without_nul(text), None if encoding else marked
    if (nul := raw.find(b"\0")) >= 0:
        seen = f"has a NUL byte at offset {nul}: binary, or UTF-16 without a mark"
        raise EncodingError(f"{seen}; right is text in UTF-8, or data.encoding: utf-16-le")
    try:
        return raw.decode("utf-8").removeprefix("\ufeff"), None
    except UnicodeDecodeError as error:
        _check_guessable(raw, error)
        return _guessed(raw, error)


def _strict(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise EncodingError(f"{_seen(raw, error)} is not {encoding}; set data.encoding to what it is") from None
    except UnicodeError as error:  # a codec such as utf-16 or idna, with words of its own
        raise EncodingError(f"is not {encoding}: {error}; set data.encoding to what it is") from None


def _without_nul(text: str) -> str:
    if (nul := text.find("\0")) >= 0:
        raise EncodingError(f"has a NUL character at {nul}; right is text, and its encoding in data.encoding")
    return text


def _seen(raw: bytes, error: UnicodeDecodeError) -> str:
    return f"byte 0x{raw[error.start]:02x} at offset {error.start}"


def _check_guessable(raw: bytes, error: UnicodeDecodeError) -> None:
    """Refuses UTF-8 with a broken byte: read in another encoding, all of it would be wrong."""
    mended = raw.decode("utf-8", "replace")
    broken = mended.count("\ufffd")
    if sum(char > "\x7f" for char in mended) > 2 * broken:
        advice = "mend it, or set data.encoding"
        raise EncodingError(f"{_seen(raw, error)} is not UTF-8, while the rest is; {advice}") from None


def _guessed(raw: bytes, error: UnicodeDecodeError) -> tuple[str, str]:
    for name, plausible in (("gb18030", _looks_chinese), ("cp1252", _looks_written)):
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        if plausible(text):
            return text, name
    raise EncodingError(f"{_seen(raw, error)} is not UTF-8; save the file as UTF-8, or set data.encoding") from None


def _looks_chinese(text: str) -> bool:
    """Whether most characters take two high bytes; `naïve` in cp1252 decodes too, with a letter as the second."""
    high = list(_second_bytes(text))
    return _looks_written(text) and 2 * sum(byte >= 0x80 for byte in high) > len(high)


def _second_bytes(text: str) -> Iterator[int]:
    return (char.encode("gb18030")[1] for char in text if char > "\x7f")


def _looks_written(text: str) -> bool:
    """Whether there are no control characters, as there are in binary files."""
    return not any(char < " " and char not in "\t\n\v\f\r" for char in text)
