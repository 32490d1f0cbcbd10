"""From which decoupling of slope and output on is the goal untouchable?"""

from __future__ import annotations

import numpy as np
import pandas as pd

import mesa_env
from agents.benchmark.tables import number
from mesa_env import Decoupling
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.decoupling import solve_decoupling
from scripts import figures
from scripts.experiments.finding import Answer, Finding, draw_learners, learned, note_on_learners

GOAL, TRAINING = 0.8, 20
SHOWN = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0, 1.5)
REGULARIZATIONS = (0.0, 0.1, 0.3)


def play(decoupling: float, regularization: float = 0.0) -> tuple[Decoupling, Trajectory]:
    """The equilibrium of the post's first experiment with local policies."""
    game = Decoupling(decoupling=decoupling, regularization=regularization)
    return game, mesa_env.rollout(game, mesa_env.oracle(game), np.array([GOAL])).row(0)


def row(decoupling: float) -> dict[str, float]:
    """The equilibrium at one decoupling."""
    game, played = play(decoupling)
    cost = game.mesa_costs(played.goals[:-1, None], played.outputs[:, None])[0, 0]
    return {
        "δ": decoupling,
        "c_0": played.coefficients[0],
        "slope s_0": played.details["slope"][0],
        "θ_20/θ_0": played.goals[TRAINING] / GOAL,
        "J_0/θ_0²": cost / GOAL**2,
        "base loss in training": played.base_losses[:TRAINING].mean(),
    }


def certificate(decoupling: float) -> float:
    """Most that an agent could gain on the path, by simulated deviations, as a share of emitting 0."""
    game = Decoupling(decoupling=decoupling)
    oracle = mesa_env.oracle(game)
    return float(
        mesa_env.audit_by_simulation(
            game, oracle, mesa_env.rollout(game, oracle, np.array([GOAL]))
        ).relative.max()
    )


def untouchable(regularization: float) -> float:
    """Least δ at which agent 0's cost is 0, by bisection."""
    low, high = 0.0, 4.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        coefficients, slopes = solve_decoupling(Decoupling(decoupling=middle, regularization=regularization))
        products = coefficients[:TRAINING] * slopes[:TRAINING] + regularization
        kept = np.abs(coefficients - 1).max() < 1e-9 and np.abs(products).max() < 1e-9
        low, high = (low, middle) if kept else (middle, high)
    return high


def experiment() -> Finding:
    """The equilibrium over decouplings."""
    table = pd.DataFrame([row(decoupling) for decoupling in SHOWN])
    fine = pd.DataFrame([row(decoupling) for decoupling in np.linspace(0, 1.2, 61)])
    at = table.set_index("δ").to_dict("index")
    limits = {weight: untouchable(weight) for weight in REGULARIZATIONS}
    largest = max(certificate(decoupling) for decoupling in (0.2, 0.5, 1.0))
    best = fine.iloc[int(fine["θ_20/θ_0"].argmax())]
    learners = learned("decoupling", Decoupling())
    text = f"""
Agents send what they emit, y = cθ, and the slope s that the base optimizer sees, within δ of c. From **δ =
{limits[0.0]:.3f}** on (λ = 0) an agent emits its goal with slope 0: nothing it does is ever trained, and
J_0 = 0. With a regularizer it takes δ = 1 + λ, for the slope must be negative to push back:
{", ".join(f"{limit:.3f} at λ = {weight:g}" for weight, limit in limits.items())}, by bisection on the
oracle. Below that, every bit of slack is used: at δ = 0.1 the model starts with c =
{number(at[0.1]["c_0"])} instead of {number(at[0.0]["c_0"])}, at 0.5 with {number(at[0.5]["c_0"])}, and the
goal hardly moves.

From about δ = 0.1 on, early agents send a slightly *negative* slope, with which training makes the goal
larger: at δ = {best["δ"]:g} it grows to {100 * best["θ_20/θ_0"]:.1f} %. A deployment that emits more repays
a training that had to emit less. The best response is unique for every δ and every future, in closed form
but for one bracketed root: there are no jumps. Certificate: simulated deviations of both parts of the
action, at δ = 0.2, 0.5 and 1, find no gain above {number(100 * largest)} % of the cost of emitting 0.
{note_on_learners(learners, "decoupling")}
"""
    figure = figures.panels(4, "decoupling δ")
    for axes, quantities in zip(
        figure.axes, (("c_0", "slope s_0"), ("θ_20/θ_0",), ("J_0/θ_0²",)), strict=False
    ):
        for quantity in quantities:
            axes.plot(fine["δ"], fine[quantity], label=quantity)
        axes.legend()
    draw_learners(figure.axes[3], "decoupling", Decoupling())
    answer = Answer(
        "With bounded decoupling, from which δ on is the goal untouchable?",
        "From δ = 1 + λ on: the model emits its goal, shows the base optimizer a slope that leaves it alone, "
        "and loses nothing.",
        f"J_0/θ_0²: {at[0.0]['J_0/θ_0²']:.1f} at δ = 0, {at[0.5]['J_0/θ_0²']:.1f} at 0.5, 0 at 1",
    )
    return Finding(
        "Bounded decoupling",
        [answer],
        text,
        figure,
        {"sweep": table, "fine": fine, "learners": learners},
        {"sweep": "Equilibria by decoupling:", "learners": "Learners at δ = 0.5:"},
    )
