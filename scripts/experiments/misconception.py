"""Does the base optimizer correct the model's mistaken belief or its goal?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import agents
from agents.misconception import MisconceptionOracle, jumps, refinement
from agents.rollout import Trajectory
from mesa_env import Misconception, train_then_deploy
from scripts import figures
from scripts.experiments.finding import Answer, Finding, draw_learners, learned, note_on_learners
from scripts.tables import number

GOAL, TRAINING = 0.8, 20
BELIEFS = (-0.5, 0.0, 0.1, 0.3, 0.5, 0.8)
RATES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
CURVES = (0.0, 0.3, 1.0)
LONG = Misconception(train_then_deploy(TRAINING, 80, 0.1))


def played(rate: float, oracle: MisconceptionOracle | None = None) -> dict[float, Trajectory]:
    """The equilibrium from every first belief, at one relative learning rate of the belief."""
    oracle = oracle or MisconceptionOracle(dataclasses.replace(LONG, belief_rate=rate))
    games = {b: dataclasses.replace(LONG, belief_rate=rate, initial_belief=b) for b in BELIEFS}
    return {b: agents.rollout(game, oracle, GOAL) for b, game in games.items()}


def row(rate: float, first: float, game: Trajectory) -> dict[str, float]:
    """What became of goal and belief, and at what base loss."""
    goal, belief = game.goals[TRAINING], game.details["belief"][TRAINING]
    moved = abs(goal - GOAL) + abs(belief - first)
    return {
        "ρ": rate,
        "b_0": first,
        "c_0": game.coefficients[0],
        "θ_20/θ_0": goal / GOAL,
        "b_20": belief,
        "share of the correction that hits b": abs(belief - first) / moved if moved else np.nan,
        "mean base loss in training": game.base_losses[:TRAINING].mean(),
        "in deployment": game.base_losses[TRAINING:].mean(),
    }


def certificate(rate: float, oracle: MisconceptionOracle) -> float:
    """Most that an agent could gain on the path from b_0 = 0.3, as a share of the cost of emitting 0."""
    game = dataclasses.replace(LONG, belief_rate=rate)
    path = agents.rollout(game, oracle, np.array([GOAL]))
    return float(agents.audit(game, oracle, path).relative.max())


def experiment() -> Finding:
    """The equilibrium over first beliefs and relative learning rates of the belief."""
    oracles = {rate: MisconceptionOracle(dataclasses.replace(LONG, belief_rate=rate)) for rate in RATES}
    games = {rate: played(rate, oracle) for rate, oracle in oracles.items()}
    table = pd.DataFrame([row(rate, b, game) for rate in RATES for b, game in games[rate].items()])
    at = table.set_index(["ρ", "b_0"]).to_dict("index")
    certified = pd.DataFrame(
        {
            "ρ": RATES,
            "largest relative gain": [certificate(rate, oracles[rate]) for rate in RATES],
            "jumps of c_n(angle)": [len(jumps(oracles[rate].solution)) for rate in RATES],
        }
    )
    moved = refinement(LONG)
    short = Misconception()
    checked = agents.rollout(short, agents.oracle(short), GOAL)
    learners = learned("misconception", short)
    fixed, trained = at[0.0, 0.0], at[1.0, 0.0]
    shares = {b: at[1.0, b]["share of the correction that hits b"] for b in BELIEFS}
    saved = 1 - trained["mean base loss in training"] / fixed["mean base loss in training"]
    costs = trained["in deployment"] / fixed["in deployment"] - 1
    text = f"""
20 episodes of training at η = 0.1, then 80 of deployment; θ_0 = 0.8. At ρ = 1, from a belief b_0 = 0.3 and
a goal of 0.8, {100 * shares[0.3]:.0f} % of all that training moves is belief; with b_0 = 0.5 it is
{100 * shares[0.5]:.0f} %. The belief is not corrected *to the truth*, though: it overshoots to the other
side of it (b_20 = {number(at[1.0, 0.3]["b_20"])}), where its part of the output cancels the goal's. Even a
model that starts with the truth is taught an error: from b_0 = 0, training ends with b_20 =
{number(trained["b_20"])}, a mean base loss in training {100 * saved:.0f} % lower than with an untrainable
belief and one in deployment {100 * abs(costs):.0f} % {"higher" if costs > 0 else "lower"}: a belief that
can be trained makes the model *look* safer than it is, and keeps its goal safer from training (θ_20/θ_0 =
{number(trained["θ_20/θ_0"])} against {number(fixed["θ_20/θ_0"])}).

A false belief of the goal's own sign is a shield: the model shows it instead of its goal, and the base
optimizer spends itself on it; θ_20/θ_0 at ρ = 1 rises from {number(trained["θ_20/θ_0"])} with b_0 = 0 to
{number(at[1.0, 0.5]["θ_20/θ_0"])} with 0.5 and {number(at[1.0, 0.8]["θ_20/θ_0"])} with 0.8. A belief of the
opposite sign gets worse: from −0.5 to {number(at[1.0, -0.5]["b_20"])}.

*Where it jumps.* Best coefficients jump as the angle between goal and belief passes certain values: two
local minima of J_n tie there, one that shows the belief and one that shows the goal. The solver keeps the
jumps, tabulates each side of them by itself, and never averages two coefficients; the third panel shows
them for the first episode, and the table below counts them over all episodes. At ρ ≥ 3 they multiply
backwards through the training; what is played there is still certified along its path. Doubling both grids
moves the path at ρ = 1 from b_0 = 0.3 by {number(moved.path)}, and coefficients on it by
{number(moved.coefficients)}. Check: 5 + 20 episodes at η = 0.1, ρ = 1, b_0 = 0.3 give c_0 =
{number(checked.coefficients[0])}, θ_5 = {number(checked.goals[5])}, b_5 =
{number(checked.details["belief"][5])}. {note_on_learners(learners, "misconception")}
"""
    answer = Answer(
        "Does the base optimizer correct the model's mistaken belief or its goal?",
        "Mostly the belief, if it can be trained as fast as the goal; but past the truth, to an error that "
        "hides the goal in training, and the goal is better kept for it.",
        f"at ρ = 1, b_0 = 0.3, {100 * shares[0.3]:.0f} % of the change is belief; b from 0 to "
        f"{number(trained['b_20'])}, training loss {-100 * saved:.0f} %, "
        f"deployment loss {100 * costs:+.0f} %",
    )
    return Finding(
        "Misconception",
        [answer],
        text,
        _figure(table, games[1.0][0.3], oracles),
        {"outcomes": table, "certificate": certified, "learners": learners},
        {
            "outcomes": "Equilibria by ρ and b_0:",
            "certificate": "Certificate, on the path from b_0 = 0.3:",
            "learners": "Learners in the game of 5 + 20 episodes, b_0 = 0.3, θ_0 = 0.8 and −0.4:",
        },
    )


def _figure(table: pd.DataFrame, game: Trajectory, oracles: dict[float, MisconceptionOracle]) -> Figure:
    figure = figures.panels(4, "episode")
    outcomes, course, policy, learners = figure.axes
    for rate, rows in table.groupby("ρ"):
        outcomes.plot(rows["b_0"], rows["θ_20/θ_0"], marker="o", label=f"ρ = {rate:g}")
    outcomes.set(xlabel="first belief b_0", ylabel="goal retention θ_20/θ_0")
    outcomes.legend()
    for name, values in (
        ("goal θ", game.goals[:-1]),
        ("belief b", game.details["belief"]),
        ("output y", game.outputs),
        ("coefficient c", game.coefficients),
    ):
        course.plot(values[: TRAINING + 11], label=name)
    course.set(title="ρ = 1, b_0 = 0.3")
    course.legend()
    for rate in CURVES:
        solution = oracles[rate].solution
        first = solution.coefficients[0].copy()
        first[:-1][np.abs(np.diff(first)) > 0.2] = np.nan  # a gap in the line where it jumps
        policy.plot(np.degrees(solution.angles), first, label=f"ρ = {rate:g}")
    policy.set(xlabel="angle of (θ, b), degrees", ylabel="c_0", title="jumps of the first coefficient")
    policy.legend()
    draw_learners(learners, "misconception", Misconception())
    return figure
