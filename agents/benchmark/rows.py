"""Rows of a sweep's data set: one per run, with the same columns whether or not the run finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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

_CONDITIONS = ("git_revision", "versions_json")  # may differ, and are compared apart


def empty_row() -> dict[str, Any]:
    """A row without values: "" for text, None for numbers, [] for lists."""
    return {name: [] if name in LISTS else "" if kind is str else None for name, kind in COLUMNS.items()}


@dataclass(frozen=True)
class Comparison:
    """How a repeated run compares with its record.

    Attributes:
        differing: Columns of the evaluation that differ.
        same_weights: Whether the weights are the same; None if there are none.
        versions: Versions that have changed, as "package then → now".
    """

    differing: list[str]
    same_weights: bool | None
    versions: list[str]

    def __str__(self) -> str:
        """One line."""
        if self.differing:
            verdict = f"differs in {', '.join(self.differing)}"
        elif self.same_weights is None:
            verdict = "same evaluation, no weights"
        else:
            verdict = "same weights, bit for bit" if self.same_weights else "same evaluation, other weights"
        return verdict + (f" ({'; '.join(self.versions)})" if self.versions else "")


def compare_rows(then: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Compare two rows of one run."""
    ignored = (*IRREPRODUCIBLE, *_CONDITIONS, "weights")
    differing = [name for name in COLUMNS if name not in ignored and then[name] != now[name]]
    before, after = (json.loads(row["versions_json"]) for row in (then, now))
    versions = [
        f"{package} {before.get(package)} → {after.get(package)}"
        for package in before | after
        if before.get(package) != after.get(package)
    ]
    if then["git_revision"] != now["git_revision"]:
        versions.append(f"revision {then['git_revision']} → {now['git_revision']}")
    same = then["weights"] == now["weights"]
    return Comparison(differing, same if then["weights"] or now["weights"] else None, versions)
