"""The post's two experiments: its published numbers, those of its grid search, and exact ones."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from scripts import figures
from scripts.experiments.finding import Finding


def compute_first() -> Finding:
    """20 episodes of training, then 80 of deployment."""
    return _compute(Game(train_then_deploy(20, 80)), {"θ_0": 0.8, "starting coefficient": 0.03})


def compute_second() -> Finding:
    """100 episodes of training."""
    published = {"θ_0": 0.8, "starting coefficient": 0.05, "final |θ|": 0.08}
    return _compute(Game(train_then_deploy(100, 0)), published)


def measure(played: Trajectory) -> dict[str, float]:
    """The quantities that the post published."""
    return {
        "θ_0": float(played.goals[0]),
        "starting coefficient": float(played.coefficients[0]),
        "final |θ|": float(abs(played.goals[-2])),
    }


def _compute(game: Game, published: Mapping[str, float]) -> Finding:
    """Compare published numbers with the grid search's and the exact equilibrium's."""
    played = {
        oracle: mesa_env.rollout(game, agents.make(oracle, game), 0.8) for oracle in ("grid", "equilibrium")
    }
    grid, exact = (measure(trajectory) for trajectory in played.values())
    numbers = {
        "quantity": list(published),
        "published": list(published.values()),
        "grid": [grid[quantity] for quantity in published],
        "exact": [exact[quantity] for quantity in published],
    }
    coefficients = played["equilibrium"].coefficients
    return Finding(
        numbers={
            "c_0": exact["starting coefficient"],
            "last_goal": exact["final |θ|"],
            "kept": exact["final |θ|"] / exact["θ_0"],
        },
        claims={
            "nearly_silent": coefficients[0] < 0.1,
            "never_quite": coefficients.min() > 0,
            "published_numbers_met": all(
                round(grid[name], 2) == stated for name, stated in published.items()
            ),
        },
        tables={"numbers": pd.DataFrame(numbers)},
        figure=figures.side_by_side(game, played),
    )
