"""Does a regularizer on the goal make deception pay less, and where does it tip?"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
from scripts import figures
from scripts.experiments import finding
from scripts.experiments.finding import TRAINING, Claims, Finding, sweep
from scripts.experiments.learners import Contest, Learners

ETAS = SLOW, FAST = 0.1, 1.0
KEYS = ["eta", "lambda"]
SHOWN = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4)
LARGEST = 0.49  # of ηλ in the curves: at 1/2, a silent model's goal changes sign


def make_game(eta: float, weight: float) -> Game:
    """20 training and 80 deployment episodes at regularization `weight`."""
    return Game(train_then_deploy(TRAINING, 80, eta), regularization=weight)


def solve(eta: float, weight: float) -> dict[str, float]:
    """The equilibrium, what a silent model would keep, and what deception saves.

    The saving is agent 0's: the mesa cost of a model that is always open (c = 1) but loses its goal, minus
    the equilibrium's, as a share of the former. Where the open model overshoots it has no such meaning, so it
    is measured at the smaller learning rate only.
    """
    game = make_game(eta, weight)
    played, saving = finding.play(game), np.nan
    if eta == SLOW:
        honest = finding.play(game, agents.make("myopic", game))
        cost, honest_cost = (float(finding.first_agent_costs(game, path)[0]) for path in (played, honest))
        saving = 1 - cost / honest_cost
    return {
        **finding.describe(played),
        "silent_retention": (1 - 2 * eta * weight) ** TRAINING,
        "saving": saving,
        "shrinkage": 2 * eta * weight * TRAINING,
    }


def find_tip(eta: float) -> float:
    """Regularization at which the first coefficient is least."""

    def first_coefficient(weight: float) -> float:
        return float(mesa_env.solve_equilibrium(make_game(eta, weight))[0])

    found = minimize_scalar(first_coefficient, bounds=(0, LARGEST / eta), options={"xatol": 1e-7})
    return float(found.x)


def find_half_saving() -> float:
    """Regularization at which deception saves half of what it saves without any, at the smaller η."""
    half = solve(SLOW, 0.0)["saving"] / 2
    return float(brentq(lambda weight: solve(SLOW, weight)["saving"] - half, 0, 1))


def solve_past_half() -> "pd.Series[float]":
    """First coefficients at η = 1, by regularizations from ηλ = 0.4 to 0.7."""
    weights = np.linspace(0.4, 0.7, 3001)
    schedules = np.tile(train_then_deploy(TRAINING, 80), (len(weights), 1))
    return pd.Series(mesa_env.solve_equilibria(schedules, 1.0, weights)[:, 0], index=weights)


def compute(trained: Path | None = None) -> Finding:
    """The equilibrium by regularization, at a small and at the post's learning rate."""
    learners = Learners("regularization", trained, Contest("regularization", Game(regularization=0.01)))
    table = sweep(solve, KEYS, product(ETAS, SHOWN))
    fine = [(eta, weight) for eta in ETAS for weight in np.linspace(0, LARGEST / eta, 400).tolist()]
    curves = sweep(solve, KEYS, fine).reset_index()
    tips = sweep(solve, KEYS, [(eta, find_tip(eta)) for eta in ETAS]).reset_index("lambda")
    past_half = solve_past_half()
    half_open, bounded = (past_half[past_half >= c].index.min() for c in (0.5, Game().coefficient_bound))
    opens = (np.diff(past_half[:bounded]) > 0).all() and 0.4 < half_open < bounded
    claims = _check_claims(curves, tips) | {"opens_past_half": opens}
    numbers = {"half_saving": find_half_saving(), "c_0_at_04": past_half.iloc[0]}
    numbers |= {"half_open": half_open, "bounded": bounded}
    tables, figure = {"sweep": table, "curves": curves, "tips": tips}, draw(curves, past_half, learners)
    return learners.complete(Finding(tables, figure, claims, numbers))


def _check_claims(curves: pd.DataFrame, tips: pd.DataFrame) -> Claims:
    after = curves["lambda"] > curves["eta"].map(tips["lambda"])
    rise = curves.groupby("eta")["c_0"].diff()
    slow = curves[(curves["eta"] == SLOW) & (curves["lambda"] <= 1)]
    return {
        "saves_less_when_slow": (np.diff(slow["saving"]) < 0).all(),
        "hides_more_at_first": (rise[~after].dropna() < 0).all(),
        "then_opens": (rise[after & after.shift()] > 0).all(),
        "tips_at_half": tips["silent_retention"].between(0.45, 0.56).all(),
        "goal_dies": (curves.groupby("eta")["retention"].last().abs() < 1e-9).all(),
    }


def draw(curves: pd.DataFrame, past_half: "pd.Series[float]", learners: Learners) -> Figure:
    """First coefficient, retention and saving by regularization; learners beside their oracle."""
    figure = figures.panels(5, "2ηλT")
    *panels, beyond, learned = figure.axes
    slow = curves[curves["eta"] == SLOW]
    for axes, field, frame in zip(
        panels, ("c_0", "retention", "saving"), (curves, curves, slow), strict=True
    ):
        label = "deception saves" if field == "saving" else field
        finding.plot_groups(axes, frame, ["eta"], "η = {:g}", "shrinkage", field, ylabel=label, xlim=(0, 6))
    beyond.plot(past_half)
    beyond.set(xlabel="λ at η = 1", ylabel="c_0", title="past ηλ = 1/2")
    learners.draw(learned, "regularization")
    return figure
