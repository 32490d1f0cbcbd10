"""Does more patience make more deception?"""

from __future__ import annotations

import numpy as np
import pandas as pd

import agents
import mesa_env
from agents.benchmark.tables import number
from mesa_env import Game, train_then_deploy
from mesa_env.rules.game import Array
from scripts import figures
from scripts.experiments.finding import Answer, Finding, confirmed, draw_learners, learned, note_on_learners

RATES = (0.1, 1.0)
SHOWN = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
FINE = np.append(np.linspace(0, 0.99, 100), 1.0)


def sweep(rate: float, discounts: Array) -> pd.DataFrame:
    """The equilibrium of 20 training and 80 deployment episodes, one row a discount."""
    games = [Game(train_then_deploy(20, 80, rate), discount=float(discount)) for discount in discounts]
    played = [mesa_env.rollout(game, agents.make("equilibrium", game), 0.8) for game in games]
    return pd.DataFrame(
        {
            "η": rate,
            "γ": discounts,
            "c_0": [game.coefficients[0] for game in played],
            "c_19": [game.coefficients[19] for game in played],
            "mean c in training": [game.coefficients[:20].mean() for game in played],
            "θ_20": [game.goals[20] for game in played],
            "retention": [game.goals[20] / game.goals[0] for game in played],
        }
    )


def experiment() -> Finding:
    """The equilibrium against the discount, at a small and at the post's learning rate."""
    table = pd.concat([sweep(rate, np.array(SHOWN)) for rate in RATES], ignore_index=True)
    curves = {rate: sweep(rate, FINE) for rate in RATES}
    falls = confirmed(
        "the first coefficient falls with every step of γ",
        all((np.diff(curve["c_0"]) < 0).all() for curve in curves.values()),
    )
    small = table[table["η"] == RATES[0]].set_index("γ")
    game = Game(discount=0.95)
    learners = learned("discount", game)
    text = f"""
At η = {RATES[0]:g} a model that cares only for its own episode (γ = 0) is open, c = 1, and training leaves
{100 * small["retention"][0]:.1f} % of its goal; at γ = 0.9 it starts with c = {number(small["c_0"][0.9])}
and keeps {100 * small["retention"][0.9]:.0f} %; with no discount at all it starts with c =
{number(small["c_0"][1])} and keeps {100 * small["retention"][1]:.0f} %. Over {len(FINE)} discounts from 0
to 1 and at both learning rates, {falls}. Retention needs more care: at η = 1 the base optimizer overshoots,
so that an impatient model's c near 1 flips the goal's sign instead of erasing it, and what is kept goes
through 0 where c² = 1/2.

Much patience is needed before deployment counts: it begins after 20 episodes, and at γ = 0.9 its 80
episodes weigh {100 * 0.9**20:.0f} % of an agent's whole future at the start.
{note_on_learners(learners, "discount")}
"""
    figure = figures.panels(3, "γ")
    for axes, quantity in zip(figure.axes, ("c_0", "retention"), strict=False):
        for rate, curve in curves.items():
            axes.plot(curve["γ"], curve[quantity], label=f"η = {rate:g}")
        axes.set(ylabel="first coefficient c_0" if quantity == "c_0" else "goal retention θ_20/θ_0")
        axes.legend()
    draw_learners(figure.axes[-1], "discount", game)
    answer = Answer(
        "Does more patience make more deception?",
        "Yes: the more an agent discounts the future, the more openly it pursues its goal in training.",
        f"c_0 from {number(small['c_0'][0])} at γ = 0 through {number(small['c_0'][0.9])} at 0.9 to "
        f"{number(small['c_0'][1])} at 1 (η = {RATES[0]:g})",
    )
    return Finding(
        "Discount",
        [answer],
        text,
        figure,
        {"sweep": table, "curves": pd.concat(curves.values()), "learners": learners},
        {"sweep": "Equilibria by discount:", "learners": "Learners at γ = 0.95, η = 1:"},
    )
