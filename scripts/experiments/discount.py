"""Does more patience make more deception?"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mesa_env import Game, train_then_deploy
from scripts import figures
from scripts.experiments.finding import TRAINING, Claims, Finding, describe, play, plot_groups, select, sweep
from scripts.experiments.learners import Contest, Learners

ETAS = SLOW, FAST = 0.1, 1.0
SHOWN = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
FINE = (*np.linspace(0, 0.99, 100).tolist(), 1.0)


def solve(eta: float, gamma: float) -> dict[str, float]:
    """The equilibrium of 20 training and 80 deployment episodes."""
    return describe(play(Game(train_then_deploy(TRAINING, 80, eta), discount=gamma)))


def compute() -> Finding:
    """The equilibrium by discount, at a small and at the post's learning rate."""
    table, curves = (sweep(solve, ["eta", "gamma"], product(ETAS, gammas)) for gammas in (SHOWN, FINE))
    learners = Learners("discount", Contest("discount", Game(discount=0.95)))
    learned = learners.table()
    weights = 0.9 ** np.arange(TRAINING + 80)
    return Finding(
        tables={"sweep": table, "curves": curves, "learners": learned},
        figure=draw(curves, learners),
        claims=check_claims(curves),
        numbers={
            "discounts": len(FINE),
            "weight_of_deployment": weights[TRAINING:].sum() / weights.sum(),
            **learners.gains(learned),
        },
        learners=learners.source,
    )


def check_claims(curves: pd.DataFrame) -> Claims:
    """What the equilibria over all discounts say."""
    slow, fast = (select(curves, eta) for eta in ETAS)
    kept = fast["retention"]
    erased = (fast["c_0"] ** 2 - 0.5).abs().idxmin()
    return {
        "hides_more": all((np.diff(curve["c_0"]) < 0).all() for curve in (slow, fast)),
        "myopic_is_open": slow["c_0"][0.0] == 1,
        "keeps_more_when_slow": (np.diff(slow["retention"]) > 0).all(),
        "overshoots_when_fast": np.isclose(kept[0.0], 1) and abs(kept[erased]) < 1e-12,
    }


def draw(curves: pd.DataFrame, learners: Learners) -> Figure:
    """First coefficient and retention by discount; learners beside their oracle."""
    figure = figures.panels(3, "γ")
    first, retention, learned = figure.axes
    plot_groups(first, curves, "gamma", "c_0", ["eta"], "η = {:g}")
    first.set(ylabel="first coefficient c_0")
    plot_groups(retention, curves, "gamma", "retention", ["eta"], "η = {:g}")
    retention.set(ylabel="goal retention θ_20/θ_0")
    learners.draw(learned, "discount")
    return figure
