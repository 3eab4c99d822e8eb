"""The cells of an Excel file, by openpyxl where it is installed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any


class SheetError(Exception):
    """The file cannot be read; one line says why."""


def cells(raw: bytes) -> tuple[list[Sequence[Any]], str | None]:
    """The rows of the first sheet, formulas by their last value, and a notice where there are more sheets.

    Raises SheetError.
    """
    try:
        import openpyxl
    except ImportError:
        raise SheetError("needs the package openpyxl; pip install openpyxl, or save it as CSV") from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what a file says of its size may be wrong, and cells beyond would not be read
        rows = list(sheet.iter_rows(values_only=True))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, IndexError) as error:
        raise SheetError(f"is no Excel file that can be read: {error or type(error).__name__}") from None
    names = book.sheetnames
    return rows, f"is read from {names[0]!r}, the first of {len(names)} sheets" if len(names) > 1 else None
