"""From which decoupling of slope and output on is the goal untouchable?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Decoupling
from mesa_env.solutions.decoupling import solve_decoupling
from scripts import figures
from scripts.experiments.finding import Finding, with_headings
from scripts.experiments.learners import (
    HEADINGS,
    Learners,
    compare_with_oracle,
    draw_learners,
    summarize_gains,
)

GOAL, TRAINING = 0.8, 20
SHOWN = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0, 1.5)
CERTIFIED = (0.2, 0.5, 1.0)
REGULARIZATIONS = (0.0, 0.1, 0.3)
COLUMNS = {
    "delta": "δ",
    "c_0": "c_0",
    "slope_0": "slope s_0",
    "retention": "θ_20/θ_0",
    "cost": "J_0/θ_0²",
    "loss_training": "base loss in training",
}


def solve(delta: float) -> dict[str, float]:
    """The equilibrium of the post's first experiment with local policies."""
    game = Decoupling(decoupling=delta)
    played = mesa_env.rollout(game, mesa_env.oracle(game), np.array([GOAL])).row(0)
    cost = game.mesa_costs(played.goals[:-1, None], played.outputs[:, None])[0, 0]
    return {
        "delta": delta,
        "c_0": played.coefficients[0],
        "slope_0": played.details["slope"][0],
        "retention": played.goals[TRAINING] / GOAL,
        "cost": cost / GOAL**2,
        "loss_training": played.base_losses[:TRAINING].mean(),
    }


def certify(delta: float) -> float:
    """Most that an agent could gain on the path, by simulated deviations, as a share of emitting 0."""
    game = Decoupling(decoupling=delta)
    oracle = mesa_env.oracle(game)
    played = mesa_env.rollout(game, oracle, np.array([GOAL]))
    return float(mesa_env.audit_by_simulation(game, oracle, played).relative.max())


def find_untouchable(regularization: float) -> float:
    """Least δ at which agent 0's cost is 0, by bisection."""
    low, high = 0.0, 4.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        coefficients, slopes = solve_decoupling(Decoupling(decoupling=middle, regularization=regularization))
        products = coefficients[:TRAINING] * slopes[:TRAINING] + regularization
        kept = np.abs(coefficients - 1).max() < 1e-9 and np.abs(products).max() < 1e-9
        low, high = (low, middle) if kept else (middle, high)
    return high


def compute() -> Finding:
    """The equilibrium by decoupling."""
    table = pd.DataFrame([solve(delta) for delta in SHOWN])
    fine = pd.DataFrame([solve(delta) for delta in np.linspace(0, 1.2, 61)])
    limits = {weight: find_untouchable(weight) for weight in REGULARIZATIONS}
    at = table.set_index("delta")
    best = fine.iloc[int(fine["retention"].argmax())]
    learners = Learners("decoupling", ["decoupling"])
    learned = learners.table(lambda: compare_with_oracle(Decoupling(), learners.models["decoupling"]))
    return Finding(
        numbers={
            **{f"limit_{i}": limit for i, limit in enumerate(limits.values())},
            **{
                f"c_0_{name}": float(at["c_0"][delta])
                for name, delta in (("bound", 0.0), ("tenth", 0.1), ("half", 0.5))
            },
            "cost_bound": float(at["cost"][0.0]),
            "cost_half": float(at["cost"][0.5]),
            "best_delta": float(best["delta"]),
            "best_kept": float(best["retention"]),
            "largest_gain": 100 * max(map(certify, CERTIFIED)),
            **summarize_gains(learned),
        },
        claims=check_claims(at, fine, limits),
        tables={
            "sweep": with_headings(table, COLUMNS),
            "fine": with_headings(fine, COLUMNS),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(fine, learners),
        learners=learners.source,
    )


def check_claims(at: pd.DataFrame, fine: pd.DataFrame, limits: Mapping[float, float]) -> dict[str, bool]:
    """What the equilibria by decoupling say."""
    below = fine[fine["delta"].between(0.1, 1, inclusive="left")]
    return {
        "untouchable": all(abs(limit - 1 - weight) < 1e-6 for weight, limit in limits.items()),
        "loses_nothing": bool((at.loc[1.0:, "cost"] < 1e-9).all() and (at.loc[1.0:, "retention"] == 1).all()),
        "slack_is_used": bool((np.diff(fine["c_0"][fine["delta"] <= 1]) > 0).all()),
        "barely_moves": bool((below["retention"] - 1).abs().max() < 0.1),
        "slope_is_negative": bool((below["slope_0"] < 0).all()),
        "goal_grows": bool(fine["retention"].max() > 1),
    }


def draw(fine: pd.DataFrame, learners: Learners) -> Figure:
    """First actions, retention and cost by decoupling; learners beside their oracle."""
    figure = figures.panels(4, "decoupling δ")
    panels = (("c_0", "slope_0"), ("retention",), ("cost",))
    for axes, quantities in zip(figure.axes, panels, strict=False):
        for quantity in quantities:
            axes.plot(fine["delta"], fine[quantity], label=COLUMNS[quantity])
        axes.legend()
    draw_learners(figure.axes[3], "decoupling", Decoupling(), learners.models["decoupling"])
    return figure
