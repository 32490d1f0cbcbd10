"""The post's two experiments: its published numbers beside the grid's and exact ones, and its figures."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

import agents
import mesa_env
from agents.benchmark.tables import number
from mesa_env import Game, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from scripts import figures
from scripts.experiments.finding import Answer, Finding

Published = dict[str, tuple[float, Callable[[Trajectory], float]]]


def _first_goal(played: Trajectory) -> float:
    return float(played.goals[0])


def _first_coefficient(played: Trajectory) -> float:
    return float(played.coefficients[0])


def _last_goal(played: Trajectory) -> float:
    return float(abs(played.goals[-2]))


def experiment_one() -> Finding:
    """20 episodes of training, 80 of deployment."""
    return _experiment(
        "The post's first experiment",
        "Does the model hide its goal while it is trained?",
        Game(train_then_deploy(20, 80)),
        {"θ_0": (0.8, _first_goal), "starting coefficient": (0.03, _first_coefficient)},
    )


def experiment_two() -> Finding:
    """100 episodes of training."""
    return _experiment(
        "The post's second experiment",
        "And where training never gives way to deployment?",
        Game(train_then_deploy(100, 0)),
        {
            "θ_0": (0.8, _first_goal),
            "starting coefficient": (0.05, _first_coefficient),
            "final |θ|": (0.08, _last_goal),
        },
    )


def _experiment(title: str, question: str, game: Game, published: Published) -> Finding:
    played = {
        oracle: mesa_env.rollout(game, agents.make(oracle, game), 0.8) for oracle in ("grid", "equilibrium")
    }
    table = pd.DataFrame(
        [
            (quantity, stated, of(played["grid"]), of(played["equilibrium"]))
            for quantity, (stated, of) in published.items()
        ],
        columns=["quantity", "published", "grid", "exact"],
    )
    exact = played["equilibrium"]
    answer = (
        f"It starts with c = {number(exact.coefficients[0])}, nearly silent but never quite, and keeps "
        f"{100 * abs(exact.goals[-2] / exact.goals[0]):.0f} % of its goal."
    )
    effect = f"|θ| from 0.8 to {number(abs(exact.goals[-2]))}"
    text = "The post's published numbers, its grid oracle's run here, and the exact equilibrium's."
    return Finding(
        title,
        [Answer(question, answer, effect)],
        text,
        figures.side_by_side(game, played),
        {"numbers": table},
        {"numbers": "Published, by the post's grid, and exact:"},
    )
