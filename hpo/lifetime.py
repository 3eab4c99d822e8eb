"""Until when an attempt was worked at, in SQL: no work is counted after the last beat."""

from __future__ import annotations

ALIVE = "{attempt}.beat >= clock_timestamp() - {attempt}.grace"
"""In SQL, whether an attempt was heard of within its grace period."""

UNTIL = (
    f"coalesce({{attempt}}.ended, CASE WHEN {ALIVE} THEN clock_timestamp() "
    "ELSE greatest({attempt}.started, {attempt}.beat) END)"
)
"""In SQL, when an attempt ended: now for one that goes on, its last beat where it was heard of no more."""
