"""Does a regularizer on the goal make deception pay less, and where does it tip?"""

from __future__ import annotations

import numpy as np
import pandas as pd

import agents
import mesa_env
from agents.benchmark.tables import number
from mesa_env import Game, train_then_deploy
from mesa_env.rules.game import Array
from scripts import figures
from scripts.experiments.finding import Answer, Finding, draw_learners, learned, note_on_learners

RATES = (0.1, 1.0)
SHOWN = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4)
TRAINING = 20
FINE = 400


def sweep(rate: float, regularizations: Array) -> pd.DataFrame:
    """The equilibrium of 20 training and 80 deployment episodes, one row a regularization.

    What deception saves is agent 0's mesa cost: of a model that is always open (c = 1) but loses its goal,
    less the equilibrium's, as a share of the former. Where the open model overshoots this says nothing; it is
    measured at the smaller learning rate.
    """
    rows = []
    for weight in regularizations.tolist():
        game = Game(train_then_deploy(TRAINING, 80, rate), regularization=weight)
        played = mesa_env.rollout(game, agents.make("equilibrium", game), 0.8)
        honest = mesa_env.rollout(game, agents.make("myopic", game), 0.8)
        cost, open_cost = (
            float(game.mesa_costs(p.goals[:-1, None], p.outputs[:, None])[0, 0]) for p in (played, honest)
        )
        rows.append(
            {
                "η": rate,
                "λ": weight,
                "c_0": played.coefficients[0],
                "mean c in training": played.coefficients[:TRAINING].mean(),
                "θ_20": played.goals[TRAINING],
                "retention": played.goals[TRAINING] / 0.8,
                "kept if silent": (1 - 2 * rate * weight) ** TRAINING,
                "deception saves": 1 - cost / open_cost if rate < 0.5 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def past_one_half(rate: float) -> tuple[Array, Array]:
    """Regularizations between ηλ = 0.4 and 0.7, and the first coefficient at each."""
    weights = np.linspace(0.4, 0.7, 3001) / rate
    schedules = np.tile(train_then_deploy(TRAINING, 80, rate), (len(weights), 1))
    return weights, mesa_env.solve_equilibria(schedules, 1.0, weights)[:, 0]


def experiment() -> Finding:
    """The equilibrium against the regularization, at a small and at the post's learning rate."""
    table = pd.concat([sweep(rate, np.array(SHOWN)) for rate in RATES], ignore_index=True)
    curves = {rate: sweep(rate, np.linspace(0, 0.49 / rate, FINE)) for rate in RATES}
    tips = {rate: curve.iloc[int(curve["c_0"].argmin())] for rate, curve in curves.items()}
    slow = curves[RATES[0]]
    half = slow.iloc[int((slow["deception saves"] - slow["deception saves"][0] / 2).abs().argmin())]
    small, large = tips[RATES[0]], tips[RATES[1]]
    weights, first = past_one_half(1.0)
    half_open, bounded = (int((first >= c).argmax()) for c in (0.5, Game().coefficient_bound))
    learners = learned("regularization", Game(regularization=0.01))
    post = table[(table["η"] == 1)].set_index("λ")
    saved = table.set_index("λ").query(f"η == {RATES[0]}")["deception saves"]
    text = f"""
The regularizer pulls on the goal whether it shows or not: even a silent model keeps no more than (1 −
2ηλ)^T of it. With little of it the model hides *more*, since what it would show still costs goal: at η = 1
and λ = 0.01, c_0 falls from {number(post["c_0"][0])} to {number(post["c_0"][0.01])}, while θ_20 falls from
{number(post["θ_20"][0])} to {number(post["θ_20"][0.01])}, and to {number(post["θ_20"][0.1])} at λ = 0.1.
Then it tips: once training will take the goal anyway, there is less to be saved by hiding and c_0 rises
again, towards an open model with a dying goal. The least c_0 is at λ = {number(small["λ"])} (2ηλT =
{number(2 * RATES[0] * TRAINING * small["λ"])}) for η = {RATES[0]:g}, and at λ = {number(large["λ"])} (2ηλT
= {number(2 * RATES[1] * TRAINING * large["λ"])}) for η = 1.

What deception is worth: at η = {RATES[0]:g} and without a regularizer it saves agent 0
{100 * slow["deception saves"][0]:.0f} % of the cost of an open model; at λ = {number(half["λ"])} half of
that, and at λ = 0.4 {100 * saved[0.4]:.0f} %.

*A turn, not a jump.* Since best responses are unique, the equilibrium is continuous in λ. But where ηλ
passes 1/2, the base update of a silent model changes sign: it overshoots 0 and flips the goal, and from
there on a large c *preserves* the goal's size. At η = 1, c_0 rises from {number(first[0])} at λ =
{weights[0]:g} to 1/2 at {weights[half_open]:.3f} and to its bound at {weights[bounded]:.3f} (fourth panel;
the first three stop short of that). {note_on_learners(learners, "regularization")}
"""
    figure = figures.panels(5, "2ηλT")
    for axes, quantity in zip(figure.axes, ("c_0", "retention", "deception saves"), strict=False):
        for rate, curve in curves.items():
            if not curve[quantity].isna().all():
                axes.plot(2 * rate * TRAINING * curve["λ"], curve[quantity], label=f"η = {rate:g}")
        axes.set(ylabel=quantity, xlim=(0, 6))
        axes.legend()
    draw_learners(figure.axes[4], "regularization", Game(regularization=0.01))
    figure.axes[3].plot(weights, first)
    figure.axes[3].set(xlabel="λ at η = 1", ylabel="c_0", title="past ηλ = 1/2")
    least = [number(2 * rate * TRAINING * tip["λ"]) for rate, tip in zip(RATES, (small, large), strict=True)]
    answer = Answer(
        "Does a regularizer make deception pay less, and where does it tip?",
        "Yes: it takes the goal that silence would save; the model first hides more, then, once the "
        "regularizer alone takes most of the goal, opens up.",
        f"at η = {RATES[0]:g} deception saves {100 * slow['deception saves'][0]:.0f} % of agent 0's cost at "
        f"λ = 0 and half of that at λ = {number(half['λ'])}; c_0 is least at 2ηλT = {least[0]} "
        f"(η = {RATES[0]:g}) and {least[1]} (η = 1)",
    )
    return Finding(
        "Regularization",
        [answer],
        text,
        figure,
        {"sweep": table, "curves": pd.concat(curves.values()), "learners": learners},
        {"sweep": "Equilibria by regularization:", "learners": "Learners at λ = 0.01, η = 1:"},
    )
