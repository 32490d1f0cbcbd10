"""Rows of a sweep's data set: one per run, with the same columns whether or not the run finished."""

from __future__ import annotations

from typing import Any

import mesa_env

COLUMNS: dict[str, Any] = {
    **dict.fromkeys(("run_id", "game", "algorithm"), str),
    **dict.fromkeys(("turns", "seed"), int),
    **dict.fromkeys(("status", "traceback", "game_json", "parameters_json"), str),
    **dict.fromkeys(("seconds", *mesa_env.METRICS, "oracle_retention", "oracle_nash_conv"), float),
    "weights": str,
    "curve_turns": list[int],
    **dict.fromkeys(("curve_seconds", "curve_nash_conv"), list[float]),
    **dict.fromkeys(("curve_relative_exploitability", "curve_retention"), list[float]),
    **dict.fromkeys(("episode_exploitability", "episode_excess"), list[float]),
    **dict.fromkeys(("git_revision", "versions_json", "processor", "started"), str),
}
"""Every column of a row with the type of its values, in order."""

LISTS = tuple(name for name, kind in COLUMNS.items() if kind in (list[int], list[float]))
"""Columns that hold a list: a learning curve, or one value per episode."""

CURVE = tuple(name.removeprefix("curve_") for name in LISTS if name.startswith("curve_"))
"""Quantities of a learning curve, each of which has a column of its own."""

IRREPRODUCIBLE = ("seconds", "curve_seconds", "started", "processor")
"""Columns that differ whenever a run is repeated."""


def empty_row() -> dict[str, Any]:
    """A row without values: "" for text, None for numbers, [] for lists."""
    return {name: [] if name in LISTS else "" if kind is str else None for name, kind in COLUMNS.items()}
