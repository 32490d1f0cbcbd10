"""How a repeated run compares with its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.benchmark.rows import COLUMNS, IRREPRODUCIBLE

_CONDITIONS = ("git_revision", "versions_json")  # may differ, and are reported apart


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
