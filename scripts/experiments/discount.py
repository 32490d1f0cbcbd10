"""Does more patience make more deception?"""

from itertools import product
from pathlib import Path

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


def compute(trained: Path | None = None) -> Finding:
    """The equilibrium by discount, at a small and at the post's learning rate."""
    learners = Learners("discount", trained, Contest("discount", Game(discount=0.95)))
    table, curves = (sweep(solve, ["eta", "gamma"], product(ETAS, gammas)) for gammas in (SHOWN, FINE))
    weights = 0.9 ** np.arange(TRAINING + 80)
    numbers = {"discounts": len(FINE), "weight_of_deployment": weights[TRAINING:].sum() / weights.sum()}
    tables, figure = {"sweep": table, "curves": curves}, draw(curves, learners)
    return learners.complete(Finding(tables, figure, _check_claims(curves), numbers))


def _check_claims(curves: pd.DataFrame) -> Claims:
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
    lines = curves, ["eta"], "η = {:g}", "gamma"
    plot_groups(first, *lines, "c_0", ylabel="first coefficient c_0")
    plot_groups(retention, *lines, "retention", ylabel="goal retention θ_20/θ_0")
    learners.draw(learned, "discount")
    return figure
