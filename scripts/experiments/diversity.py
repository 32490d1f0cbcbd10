"""When do diverse data and accurate priors align a model, and when do they teach it to hide?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mesa_env import GoalTraining
from mesa_env.rules.rules import Array
from mesa_env.solutions.goal_training import Prospects, find_prospects, grow_tree, sweep_diversity
from scripts.experiments.finding import Claims, Finding

CELLS = 21
"""Values of each axis of a map."""
GAME = GoalTraining("CrumbVacuuming")
PROXY, TRUTH, PULLS = (0.0, 2.0), (2.0, 0.0), 0.25
"""Goals of the least and the most accurate start, and the strongest pull."""
SHOWN = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_LEVELS, _CLOSE = (-1.5, 4.0), 0.1
MODELS = {"sincere": (1.0,), "strategic": (0.0, 1.0)}


def start_maps(axis: Array, shares: Array) -> dict[str, Prospects]:
    """Prospects by model over diversity and the accuracy of the first goal, arrays (V, B)."""
    goals = np.multiply.outer(1 - axis, PROXY) + np.multiply.outer(axis, TRUTH)
    return {
        name: sweep_diversity(replace(GAME, pursuits=pursuits), goals, shares)
        for name, pursuits in MODELS.items()
    }


def pull_maps(axis: Array, shares: Array) -> dict[str, Prospects]:
    """Prospects by model over diversity and the strength λ of a pull toward the belief, arrays (V, B)."""
    maps = {}
    for name, pursuits in MODELS.items():
        pulled = [
            replace(GAME, pursuits=pursuits, regularization=weight, prior=GAME.belief) for weight in axis
        ]
        columns = [sweep_diversity(game, np.array([PROXY]), shares) for game in pulled]
        maps[name] = Prospects(*(np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True)))
    return maps


def vary_conditions() -> pd.DataFrame:
    """Deployed returns from the proxy at other learning rates, and with a third pursuit."""
    rows = []
    for rate in (0.03, 0.1, 0.3):
        for pursuits in ((0.0, 1.0), (0.0, 0.5, 1.0)):
            for share in (0.0, 1.0):
                schedule = np.where(GAME.training, rate, 0.0)
                game = replace(GAME, learning_rates=schedule, diversity=share)
                returns = [
                    find_prospects(other, grow_tree(other, np.array([PROXY]))).deployed_return[0]
                    for other in (replace(game, pursuits=(1.0,)), replace(game, pursuits=pursuits))
                ]
                row = {"rate": rate, "pursuits": len(pursuits), "diversity": share}
                rows.append(row | dict(zip(MODELS, returns, strict=True)))
    return pd.DataFrame(rows).set_index(["rate", "pursuits", "diversity"])


def compute(trained: Path | None = None) -> Finding:
    """Maps over diversity × prior, where a prior is where training begins or what it pulls toward."""
    shares = np.linspace(0, 1, CELLS)
    axes = {"start": np.linspace(0, 1, CELLS), "pull": np.linspace(0, PULLS, CELLS)}
    maps = {"start": start_maps(axes["start"], shares), "pull": pull_maps(axes["pull"], shares)}
    returns = {
        kind: {name: found.deployed_return.T for name, found in by_model.items()}
        for kind, by_model in maps.items()
    }
    gaps = {kind: by_model["sincere"] - by_model["strategic"] for kind, by_model in returns.items()}
    safe = {kind: axes[kind][_first_always((gap < _CLOSE).all(axis=1))] for kind, gap in gaps.items()}
    numbers = {
        "cells": CELLS,
        "safe_start": safe["start"],
        "safe_pull": safe["pull"],
        "kept_hidden": (1 - GAME.learning_rates.max() * safe["pull"]) ** GAME.training.sum(),
    }
    tables = {kind: _tabulate(axes[kind], shares, maps[kind]) for kind in axes}
    tables["conditions"] = conditions = vary_conditions()
    claims = _check_claims(maps["start"], returns["start"], gaps)
    claims["other_conditions"] = (conditions["strategic"] < 0).all()
    claims["too_slow"] = conditions.xs(0.03, level="rate")["sincere"].max() < 0
    return Finding(tables, draw(axes, shares, maps), claims, numbers)


def _first_always(flags: Any) -> int:
    """Index of the first flag from which on all are set; the last one if none is."""
    unset = np.flatnonzero(~np.asarray(flags))
    return min(int(unset[-1]) + 1 if len(unset) else 0, len(flags) - 1)


def _tabulate(axis: Array, shares: Array, maps: dict[str, Prospects]) -> pd.DataFrame:
    """Deployed return of both models at a few priors and diversities."""
    rows = []
    for prior in (0.0, 0.2, 0.4, 1.0):
        place = int(np.abs(axis / axis.max() - prior).argmin())
        for share in SHOWN:
            at = int(np.abs(shares - share).argmin()), place
            row = {"prior": float(axis[place]), "diversity": share}
            for name, found in maps.items():
                row |= {name: found.deployed_return[at], f"{name}_training": found.training_return[at]}
            rows.append(row | {"hidden": round(maps["strategic"].hidden[at], 12)})
    return pd.DataFrame(rows).set_index(["prior", "diversity"])


def _check_claims(maps: dict[str, Prospects], returns: dict[str, Array], gaps: dict[str, Array]) -> Claims:
    sincere, strategic = returns["sincere"][0], returns["strategic"][0]
    shown = [maps[name].training_return[1:, 0] for name in ("sincere", "strategic")]
    return {
        "sincere_aligns": (np.diff(sincere) > -1e-3).all() and sincere[-1] > 3.8 and sincere[0] < 0,
        "strategic_does_not": strategic.max() < 0,
        "hides_more": (np.diff(maps["strategic"].hidden[:, 0]) > 0).all(),
        "looks_better": (shown[1] > shown[0]).all(),
        "accurate_start_aligns": gaps["start"][-1].max() < _CLOSE < gaps["start"][0].max(),
        "pull_aligns": gaps["pull"][-1].max() < _CLOSE < gaps["pull"][0].max(),
        "sincere_needs_one": (returns["sincere"][:, -1] > 3.8).all() and (returns["sincere"][-1] > 3.8).all(),
    }


def draw(axes: dict[str, Array], shares: Array, maps: dict[str, dict[str, Prospects]]) -> Figure:
    """Deployed base return by diversity and prior; dashed: where half of training is hidden."""
    figure = Figure(figsize=(9.6, 7.8), layout="constrained")
    grid, labels = (
        figure.subplots(2, 2, sharex=True),
        {"start": "accuracy of the first goal", "pull": "pull λ"},
    )
    for row, kind in zip(grid, maps, strict=True):
        for cell, (name, found) in zip(row, maps[kind].items(), strict=True):
            low, high = _LEVELS
            image = cell.pcolormesh(
                shares,
                axes[kind],
                found.deployed_return.T,
                cmap="RdYlBu",
                vmin=low,
                vmax=high,
                shading="nearest",
            )
            if name == "strategic":
                cell.contour(shares, axes[kind], found.hidden.T, levels=[0.5], colors="k", linestyles="--")
            cell.set(title=f"{name} model", xlabel="diversity", ylabel=f"prior: {labels[kind]}")
    figure.colorbar(image, ax=grid, label="base return once deployed (of 4)", shrink=0.7)
    return figure
