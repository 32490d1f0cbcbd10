"""What differs between two records of a run."""

from typing import Any


def describe_difference(before: Any, now: Any, name: str = "") -> str:
    """The first part of nested tables that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        part = next(key for key in before | now if before.get(key) != now.get(key))
        return describe_difference(before.get(part), now.get(part), f"{name}.{part}" if name else part)
    return f"its {name} was {before} and is now {now}"
