"""A map of certificates as a table and as a page of the documentation."""

import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

import mesa_env
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.evaluation.certificates import certify
from mesa_env.evaluation.certified_oracle import MOST_LEFT
from mesa_env.evaluation.discount_cells import DiscountCells
from mesa_env.evaluation.misconception_cells import MisconceptionCells
from mesa_env.rules.rules import Rules
from mesa_env.solutions.oracles import ORACLES

TITLE = "# Certificates"
_SUMMARY = """Of {} games, tables leave more than 0.1 % in {}, the oracle in {}. Where it is more than
0.5 %, in {}, `mesa_env.oracle` refuses the game, unless it is asked for what is uncertified; between, it
warns with the number. A search finds a lower bound: it tries 200 001 deviations of each agent from policies
on cells, and up to 1 001 from tables, whose costs are smooth, and may miss a narrow dip of an agent's cost.
Policies on cells are certified on their path; off it, successors may leave more to gain.

`python -m scripts.certificates --docs docs` writes this page, in about twenty minutes."""
_CAPTION = "Left by the oracle, in %; where it is made of cells, in brackets what tables would leave."
_TRIED = """## What was tried where the oracle is refused

Left by policies on so many cells an episode, in %. Best responses jump, and agents steer for the edges of
their successors' jumps, so that jumps multiply as induction goes back. None of these policies is an
equilibrium to 0.5 %. That is no proof that none is."""
_KINDS: dict[str, dict[str, Callable[[Any, int], CellOracle]]] = {
    "Misconception": {
        "angle": MisconceptionCells,
        "angle and size": functools.partial(MisconceptionCells, sized=True),
    },
    "LearnableDiscount": {"goal and discount": DiscountCells},
}
_CELLS = (120, 350, 1000)


def certify_both(game: Rules) -> dict[str, Any]:
    """What tables leave and what the oracle leaves, in percent, and what the oracle is made of.

    Where there is neither, the last column says why.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tables, oracle = certify(game, ORACLES[type(game)](game)), mesa_env.oracle(game, uncertified=True)
        except ValueError as error:
            left = {"tables, %": math.nan, "oracle, %": math.nan}
            return {**left, "made of": "none", "refused": str(error)}
    assert oracle.certificate is not None
    made_of = "cells" if isinstance(oracle, CellOracle) else "tables"
    left = {"tables, %": 100 * tables.gain, "oracle, %": 100 * oracle.certificate.gain}
    return {**left, "made of": made_of, "refused": ""}


def try_cells(game: Rules) -> list[dict[str, Any]]:
    """What policies on more and more cells leave in one game, in percent: one row for each kind of cells."""
    rows = []
    for what, build in _KINDS[type(game).__name__].items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            left = {f"{n}": 100 * certify(game, build(game, n), dense=True).gain for n in _CELLS}
        rows.append({"cells of": what} | left)
    return rows


def write_page(table: pd.DataFrame, tried: Sequence[Mapping[str, Any]], introduction: str) -> str:
    """The documentation's page: what oracles leave, and what was tried where they are refused."""
    left, above = table["oracle, %"], (table["tables, %"] > 0.1).sum()
    summary = _SUMMARY.format(len(table), above, (left > 0.1).sum(), int(is_refused(table).sum()))
    lines = [TITLE, "", introduction, "", summary]
    for name, rows in table.groupby("game", sort=False):
        rates = [f"η = {rate:g}" for rate in rows["η"].unique()]
        lines += ["", f"## {name}", "", _CAPTION, "", f"| λ | T | {' | '.join(rates)} |"]
        lines.append("| --- " * (2 + len(rates)) + "|")
        for (weight, train), some in rows.groupby(["λ", "T"], sort=False):
            cells = " | ".join(map(describe_cell, some.to_dict("records")))
            lines.append(f"| {weight:g} | {train} | {cells} |")
    if tried:
        lines += ["", _TRIED, "", f"| {' | '.join(tried[0])} |", "| --- " * len(tried[0]) + "|"]
        for row in tried:
            lines.append(f"| {' | '.join(x if isinstance(x, str) else f'{x:.2g}' for x in row.values())} |")
    return "\n".join(lines) + "\n"


def is_refused(table: pd.DataFrame) -> pd.Series:
    """Whether the oracle refuses each game."""
    return table["oracle, %"] > 100 * MOST_LEFT


def describe_cell(row: Mapping[Any, Any]) -> str:
    """What is left in one game, in percent; none if it has no oracle."""
    if math.isnan(row["oracle, %"]):
        return "none"
    left = f"{row['oracle, %']:.2g}" if row["oracle, %"] >= 1e-3 else "< 0.001"
    if row["oracle, %"] > 100 * MOST_LEFT:
        return f"refused: {left} ({row['tables, %']:.2g})"
    return left if row["made of"] == "tables" else f"{left} ({row['tables, %']:.2g})"
