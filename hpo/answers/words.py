"""What many answers have in common."""

from __future__ import annotations

from typing import Any, Literal

Direction = Literal["minimize", "maximize"]
Values = dict[str, Any]
"""By the address of a setting."""
Numbers = dict[str, float | None]
"""By name."""
