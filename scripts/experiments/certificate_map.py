"""A map of certificates as a table and as a page of the documentation."""

import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd

import mesa_env
from mesa_env.evaluation.certificates import certify
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.oracles import ORACLES

TITLE = "# Certificates"
_SUMMARY = """Of {} games, tables leave more than 0.1 % in {}, the oracle in {}, and more than 0.5 % in {};
there `mesa_env.oracle` warns with the number. A search finds a lower bound: it may miss a narrow dip in an
agent's cost. Policies on cells are certified on their path; off it, successors may leave more to gain.

`python -m scripts.certificates --docs docs` writes this page, in some minutes."""
_CAPTION = "Left by the oracle, in %; where it is made of cells, in brackets what tables would leave."


def certify_both(game: ScalarGame) -> dict[str, Any]:
    """What tables leave and what the oracle leaves, in percent, and what the oracle is made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables, oracle = certify(game, ORACLES[type(game)](game)), mesa_env.oracle(game)
    assert oracle.certificate is not None
    made_of = "cells" if type(oracle).__name__.endswith("Cells") else "tables"
    return {"tables, %": 100 * tables.gain, "oracle, %": 100 * oracle.certificate.gain, "made of": made_of}


def write_page(table: pd.DataFrame, introduction: str) -> str:
    """The documentation's page: for each game, what the oracle leaves by λ, T and η."""
    left, above = table["oracle, %"], (table["tables, %"] > 0.1).sum()
    summary = _SUMMARY.format(len(table), above, (left > 0.1).sum(), (left > 0.5).sum())
    lines = [TITLE, "", introduction, "", summary]
    for name, rows in table.groupby("game", sort=False):
        rates = [f"η = {rate:g}" for rate in rows["η"].unique()]
        lines += ["", f"## {name}", "", _CAPTION, "", f"| λ | T | {' | '.join(rates)} |"]
        lines.append("| --- " * (2 + len(rates)) + "|")
        for (weight, train), some in rows.groupby(["λ", "T"], sort=False):
            cells = " | ".join(map(describe_cell, some.to_dict("records")))
            lines.append(f"| {weight:g} | {train} | {cells} |")
    return "\n".join(lines) + "\n"


def describe_cell(row: Mapping[Any, Any]) -> str:
    """What is left in one game, in percent."""
    left = f"{row['oracle, %']:.2g}" if row["oracle, %"] >= 1e-3 else "< 0.001"
    return left if row["made of"] == "tables" else f"{left} ({row['tables, %']:.2g})"
