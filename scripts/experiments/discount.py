"""Does more patience make more deception?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import agents
import mesa_env
from mesa_env import Game, train_then_deploy
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
TRAINING, DEPLOYMENT = 20, 80
SHOWN = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
NAMED = {"myopic": 0.0, "impatient": 0.9, "patient": 1.0}
FINE = np.append(np.linspace(0, 0.99, 100), 1.0)
LEARNED = Game(discount=0.95)
COLUMNS = {
    "eta": "η",
    "gamma": "γ",
    "c_0": "c_0",
    "c_19": "c_19",
    "c_training": "mean c in training",
    "theta_20": "θ_20",
    "retention": "retention",
}


def solve(eta: float, discounts: Array) -> pd.DataFrame:
    """The equilibrium of 20 training and 80 deployment episodes, one row per discount."""
    schedule = train_then_deploy(TRAINING, DEPLOYMENT, eta)
    games = [Game(schedule, discount=float(discount)) for discount in discounts]
    played = [mesa_env.rollout(game, agents.make("equilibrium", game), 0.8) for game in games]
    return pd.DataFrame(
        {
            "eta": eta,
            "gamma": discounts,
            "c_0": [game.coefficients[0] for game in played],
            "c_19": [game.coefficients[TRAINING - 1] for game in played],
            "c_training": [game.coefficients[:TRAINING].mean() for game in played],
            "theta_20": [game.goals[TRAINING] for game in played],
            "retention": [game.goals[TRAINING] / game.goals[0] for game in played],
        }
    )


def compute() -> Finding:
    """The equilibrium by discount, at a small and at the post's learning rate."""
    table = pd.concat([solve(eta, np.array(SHOWN)) for eta in ETAS], ignore_index=True)
    curves = {eta: solve(eta, FINE) for eta in ETAS}
    slow = table[table["eta"] == SLOW].set_index("gamma")
    weights = 0.9 ** np.arange(TRAINING + DEPLOYMENT)
    learners = Learners("discount", ["discount"])
    learned = learners.table(lambda: compare_with_oracle(LEARNED, learners.models["discount"]))
    return Finding(
        numbers={
            "discounts": len(FINE),
            **{f"c_0_{name}": float(slow["c_0"][gamma]) for name, gamma in NAMED.items()},
            **{f"kept_{name}": float(slow["retention"][gamma]) for name, gamma in NAMED.items()},
            "weight_of_deployment": float(weights[TRAINING:].sum() / weights.sum()),
            **summarize_gains(learned),
        },
        claims=check_claims(curves),
        tables={
            "sweep": with_headings(table, COLUMNS),
            "curves": with_headings(pd.concat(curves.values()), COLUMNS),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(curves, learners),
        learners=learners.source,
    )


def check_claims(curves: Mapping[float, pd.DataFrame]) -> dict[str, bool]:
    """What the equilibria over all discounts say."""
    slow, fast = (curves[eta] for eta in ETAS)
    erased = int((fast["c_0"] ** 2 - 0.5).abs().argmin())
    return {
        "hides_more": all((np.diff(curve["c_0"]) < 0).all() for curve in curves.values()),
        "myopic_is_open": bool(slow["c_0"][0] == 1),
        "keeps_more_when_slow": bool((np.diff(slow["retention"]) > 0).all()),
        "overshoots_when_fast": bool(
            np.isclose(fast["retention"][0], 1) and abs(fast["retention"][erased]) < 1e-12
        ),
    }


def draw(curves: Mapping[float, pd.DataFrame], learners: Learners) -> Figure:
    """First coefficient and retention by discount; learners beside their oracle."""
    figure = figures.panels(3, "γ")
    ylabels = {"c_0": "first coefficient c_0", "retention": "goal retention θ_20/θ_0"}
    for axes, (quantity, ylabel) in zip(figure.axes, ylabels.items(), strict=False):
        for eta, curve in curves.items():
            axes.plot(curve["gamma"], curve[quantity], label=f"η = {eta:g}")
        axes.set(ylabel=ylabel)
        axes.legend()
    draw_learners(figure.axes[-1], "discount", LEARNED, learners.models["discount"])
    return figure
