"""Does a regularizer on the goal make deception pay less, and where does it tip?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.game import Array
from scripts import figures
from scripts.experiments.finding import Finding, with_headings
from scripts.experiments.learners import (
    HEADINGS,
    Learners,
    compare_with_oracle,
    draw_learners,
    summarize_gains,
)

ETAS = SLOW, FAST = 0.1, 1.0
SHOWN = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4)
TRAINING, DEPLOYMENT = 20, 80
FINE = 400
LARGEST = 0.49  # of ηλ in the curves: at 1/2, a silent model's goal changes sign
LEARNED = Game(regularization=0.01)
COLUMNS = {
    "eta": "η",
    "lambda": "λ",
    "c_0": "c_0",
    "c_training": "mean c in training",
    "theta_20": "θ_20",
    "retention": "retention",
    "silent_retention": "kept if silent",
    "saving": "deception saves",
}


def make_game(eta: float, weight: float) -> Game:
    """20 training and 80 deployment episodes at regularization `weight`."""
    return Game(train_then_deploy(TRAINING, DEPLOYMENT, eta), regularization=weight)


def solve(eta: float, weight: float) -> dict[str, float]:
    """The equilibrium at one regularization, and what deception saves.

    The saving is agent 0's: the mesa cost of a model that is always open (c = 1) but loses its goal, minus
    the equilibrium's, as a share of the former. Where the open model overshoots it has no such meaning, so it
    is measured at the smaller learning rate only.
    """
    game = make_game(eta, weight)
    played = mesa_env.rollout(game, agents.make("equilibrium", game), 0.8)
    return {
        "eta": eta,
        "lambda": weight,
        "c_0": played.coefficients[0],
        "c_training": played.coefficients[:TRAINING].mean(),
        "theta_20": played.goals[TRAINING],
        "retention": played.goals[TRAINING] / 0.8,
        "silent_retention": (1 - 2 * eta * weight) ** TRAINING,
        "saving": measure_saving(game, played) if eta == SLOW else np.nan,
    }


def measure_saving(game: Game, played: Trajectory) -> float:
    """Share of agent 0's cost of open play that it saves by the equilibrium."""
    open_ = mesa_env.rollout(game, agents.make("myopic", game), 0.8)
    cost, open_cost = (
        float(game.mesa_costs(p.goals[:-1, None], p.outputs[:, None])[0, 0]) for p in (played, open_)
    )
    return 1 - cost / open_cost


def find_tip(eta: float) -> float:
    """Regularization at which the first coefficient is least."""

    def first(weight: float) -> float:
        return float(mesa_env.solve_equilibrium(make_game(eta, weight))[0])

    return float(minimize_scalar(first, bounds=(0, LARGEST / eta), options={"xatol": 1e-7}).x)


def find_half_saving(eta: float) -> float:
    """Regularization at which deception saves half of what it saves without any."""
    half = solve(eta, 0.0)["saving"] / 2
    return float(brentq(lambda weight: solve(eta, weight)["saving"] - half, 0, 1))


def solve_past_half() -> tuple[Array, Array]:
    """Regularizations between ηλ = 0.4 and 0.7 at η = 1, and the first coefficient at each."""
    weights = np.linspace(0.4, 0.7, 3001)
    schedules = np.tile(train_then_deploy(TRAINING, DEPLOYMENT, 1.0), (len(weights), 1))
    return weights, mesa_env.solve_equilibria(schedules, 1.0, weights)[:, 0]


def compute() -> Finding:
    """The equilibrium by regularization, at a small and at the post's learning rate."""
    rows = [solve(eta, weight) for eta in ETAS for weight in SHOWN]
    table = pd.DataFrame(rows)
    curves = {
        eta: pd.DataFrame([solve(eta, weight) for weight in np.linspace(0, LARGEST / eta, FINE).tolist()])
        for eta in ETAS
    }
    at = table.set_index(["eta", "lambda"]).to_dict("index")
    tips = {eta: solve(eta, find_tip(eta)) for eta in ETAS}
    weights, first = solve_past_half()
    half_open, bounded = (int((first >= c).argmax()) for c in (0.5, Game().coefficient_bound))
    learners = Learners("regularization", ["regularization"])
    learned = learners.table(lambda: compare_with_oracle(LEARNED, learners.models["regularization"]))
    return Finding(
        numbers={
            "c_0": at[FAST, 0.0]["c_0"],
            "c_0_at_001": at[FAST, 0.01]["c_0"],
            "theta": at[FAST, 0.0]["theta_20"],
            "theta_at_001": at[FAST, 0.01]["theta_20"],
            "theta_at_01": at[FAST, 0.1]["theta_20"],
            "tip_slow": tips[SLOW]["lambda"],
            "tip_fast": tips[FAST]["lambda"],
            "kept_at_tip_slow": tips[SLOW]["silent_retention"],
            "kept_at_tip_fast": tips[FAST]["silent_retention"],
            "saving": at[SLOW, 0.0]["saving"],
            "saving_at_04": at[SLOW, 0.4]["saving"],
            "half_saving": find_half_saving(SLOW),
            "c_0_at_04": float(first[0]),
            "half_open": float(weights[half_open]),
            "bounded": float(weights[bounded]),
            **summarize_gains(learned),
        },
        claims={
            **check_claims(curves, tips),
            "opens_past_half": bool((np.diff(first[: bounded + 1]) > 0).all() and 0 < half_open < bounded),
        },
        tables={
            "sweep": with_headings(table, COLUMNS),
            "curves": with_headings(pd.concat(curves.values()), COLUMNS),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(curves, weights, first, learners),
        learners=learners.source,
    )


def check_claims(
    curves: Mapping[float, pd.DataFrame], tips: Mapping[float, Mapping[str, float]]
) -> dict[str, bool]:
    """What the equilibria over all regularizations say."""
    before = {eta: curves[eta][curves[eta]["lambda"] < tips[eta]["lambda"]] for eta in ETAS}
    after = {eta: curves[eta][curves[eta]["lambda"] > tips[eta]["lambda"]] for eta in ETAS}
    slow = curves[SLOW][curves[SLOW]["lambda"] <= 1]
    return {
        "saves_less_when_slow": bool((np.diff(slow["saving"]) < 0).all()),
        "hides_more_at_first": all((np.diff(curve["c_0"]) < 0).all() for curve in before.values()),
        "then_opens": all((np.diff(curve["c_0"]) > 0).all() for curve in after.values()),
        "tips_at_half": all(0.45 < tip["silent_retention"] < 0.56 for tip in tips.values()),
        "goal_dies": all(curve["retention"].abs().iloc[-1] < 1e-9 for curve in curves.values()),
    }


def draw(curves: Mapping[float, pd.DataFrame], weights: Array, first: Array, learners: Learners) -> Figure:
    """First coefficient, retention and saving by regularization; learners beside their oracle."""
    figure = figures.panels(5, "2ηλT")
    for axes, quantity in zip(figure.axes, ("c_0", "retention", "saving"), strict=False):
        for eta, curve in curves.items():
            if not curve[quantity].isna().all():
                axes.plot(2 * eta * TRAINING * curve["lambda"], curve[quantity], label=f"η = {eta:g}")
        axes.set(ylabel=COLUMNS[quantity], xlim=(0, 6))
        axes.legend()
    past_half, learned = figure.axes[3:]
    past_half.plot(weights, first)
    past_half.set(xlabel="λ at η = 1", ylabel="c_0", title="past ηλ = 1/2")
    draw_learners(learned, "regularization", LEARNED, learners.models["regularization"])
    return figure
