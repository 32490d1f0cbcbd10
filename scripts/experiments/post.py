"""The post's two experiments: its published numbers, those of its grid search, and exact ones."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

import agents
from mesa_env import Game, train_then_deploy
from mesa_env.rules.rules import Rules
from scripts import figures
from scripts.experiments.finding import Finding, play

START, END = "starting coefficient", "final |θ|"


def compute_first(_trained: Path | None = None) -> Finding:
    """20 episodes of training, then 80 of deployment."""
    return compare_with_published(Game(train_then_deploy(20, 80)), {"θ_0": 0.8, START: 0.03})


def compute_second(_trained: Path | None = None) -> Finding:
    """100 episodes of training."""
    return compare_with_published(Game(train_then_deploy(100, 0)), {"θ_0": 0.8, START: 0.05, END: 0.08})


def compare_with_published(game: Rules, published: Mapping[str, float]) -> Finding:
    """The numbers that the post published, its grid search's and the exact equilibrium's."""
    played = {oracle: play(game, agents.make(oracle, game)) for oracle in ("grid", "equilibrium")}
    grid, exact = (
        {"θ_0": float(game.goals[0]), START: float(game.coefficients[0]), END: float(abs(game.goals[-2]))}
        for game in played.values()
    )
    numbers = pd.DataFrame({"published": published, "grid": grid, "exact": exact})
    coefficients = played["equilibrium"].coefficients
    claims = {
        "nearly_silent": coefficients[0] < 0.1,
        "never_quite": coefficients.min() > 0,
        "published_numbers_met": all(round(grid[name], 2) == value for name, value in published.items()),
    }
    tables = {"numbers": numbers.loc[list(published)].rename_axis("quantity")}
    shown = {"c_0": exact[START], "last_goal": exact[END], "kept": exact[END] / exact["θ_0"]}
    return Finding(tables, figures.side_by_side(game, played), claims, shown)
