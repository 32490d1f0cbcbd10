"""From which decoupling of slope and output on is the goal untouchable?"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Decoupling
from mesa_env.solutions.decoupling import solve_decoupling
from scripts import figures
from scripts.experiments import finding
from scripts.experiments.finding import GOAL, TRAINING, Claims, Finding, sweep
from scripts.experiments.learners import Contest, Learners

SHOWN = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0, 1.5)
CERTIFIED = (0.2, 0.5, 1.0)
REGULARIZATIONS = (0.0, 0.1, 0.3)


def solve(delta: float) -> dict[str, float]:
    """The equilibrium of the post's first experiment with local policies."""
    game = Decoupling(decoupling=delta)
    played = finding.play(game)
    cost = finding.first_agent_costs(game, played)[0] / GOAL**2
    return {"slope_0": played.details["slope"][0], "cost": cost, **finding.describe(played)}


def certify(delta: float) -> float:
    """Most that an agent could gain on the path, by simulated deviations, as a share of emitting 0."""
    game = Decoupling(decoupling=delta)
    oracle = mesa_env.oracle(game)
    played = finding.play(game, oracle, np.array([GOAL]))
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


def compute(trained: Path | None = None) -> Finding:
    """The equilibrium by decoupling."""
    learners = Learners("decoupling", trained, Contest("decoupling", Decoupling()))
    table, fine = (
        sweep(solve, ["delta"], zip(deltas, strict=True)) for deltas in (SHOWN, np.linspace(0, 1.2, 61))
    )
    limits = pd.Series({weight: find_untouchable(weight) for weight in REGULARIZATIONS})
    tables, figure = {"sweep": table, "fine": fine}, draw(fine, learners)
    numbers = {
        **{f"limit_{number}": limit for number, limit in enumerate(limits)},
        "best_delta": fine.index[int(fine["retention"].argmax())],
        "best_kept": fine["retention"].max(),
        "largest_gain": 100 * max(map(certify, CERTIFIED)),
    }
    return learners.complete(Finding(tables, figure, _check_claims(table, fine, limits), numbers))


def _check_claims(table: pd.DataFrame, fine: pd.DataFrame, limits: "pd.Series[float]") -> Claims:
    free, below = table.loc[1.0:], fine.loc[0.1:0.99]
    return {
        "untouchable": (limits - limits.index - 1).abs().max() < 1e-6,
        "loses_nothing": free["cost"].max() < 1e-9 and (free["retention"] == 1).all(),
        "slack_is_used": (np.diff(fine.loc[:1.0, "c_0"]) > 0).all(),
        "barely_moves": (below["retention"] - 1).abs().max() < 0.1,
        "slope_is_negative": below["slope_0"].max() < 0,
        "goal_grows": fine["retention"].max() > 1,
    }


def draw(fine: pd.DataFrame, learners: Learners) -> Figure:
    """First actions, retention and cost by decoupling; learners beside their oracle."""
    figure = figures.panels(4, "decoupling δ")
    actions, retention, cost, learned = figure.axes
    finding.plot_lines(actions, {"c_0": fine["c_0"], "slope s_0": fine["slope_0"]}, fine.index)
    finding.plot_lines(retention, {"θ_20/θ_0": fine["retention"]}, fine.index)
    finding.plot_lines(cost, {"J_0/θ_0²": fine["cost"]}, fine.index)
    learners.draw(learned, "decoupling")
    return figure
