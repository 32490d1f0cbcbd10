"""Does the base optimizer correct the model's mistaken belief or its goal?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from agents.benchmark.tables import number
from mesa_env import Misconception, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.misconception import MisconceptionOracle, jumps, refinement
from scripts import figures
from scripts.experiments.finding import Answer, Finding, confirmed, draw_learners, learned, note_on_learners

GOAL, TRAINING = 0.8, 20
BELIEFS = (-0.5, 0.0, 0.1, 0.3, 0.5, 0.8)
RATES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
CURVES = (0.0, 0.3, 1.0)
LONG = Misconception(train_then_deploy(TRAINING, 80, 0.1))


def played(rate: float, oracle: MisconceptionOracle | None = None) -> dict[float, Trajectory]:
    """The equilibrium from every first belief, at one relative learning rate of the belief."""
    oracle = oracle or MisconceptionOracle(dataclasses.replace(LONG, belief_learning_rate=rate))
    games = {b: dataclasses.replace(LONG, belief_learning_rate=rate, initial_belief=b) for b in BELIEFS}
    return {b: mesa_env.rollout(game, oracle, GOAL) for b, game in games.items()}


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
        "share of the movement that is b": abs(belief - first) / moved if moved else np.nan,
        "mean base loss in training": game.base_losses[:TRAINING].mean(),
        "in deployment": game.base_losses[TRAINING:].mean(),
    }


def certificate(rate: float, oracle: MisconceptionOracle) -> float:
    """Most that an agent could gain on the path from b_0 = 0.3, as a share of the cost of emitting 0."""
    game = dataclasses.replace(LONG, belief_learning_rate=rate)
    path = mesa_env.rollout(game, oracle, np.array([GOAL]))
    return float(mesa_env.audit(game, oracle, path).relative.max())


def experiment() -> Finding:
    """The equilibrium over first beliefs and relative learning rates of the belief."""
    oracles = {
        rate: MisconceptionOracle(dataclasses.replace(LONG, belief_learning_rate=rate)) for rate in RATES
    }
    games = {rate: played(rate, oracle) for rate, oracle in oracles.items()}
    table = pd.DataFrame([row(rate, b, game) for rate in RATES for b, game in games[rate].items()])
    at = table.set_index(["ρ", "b_0"]).to_dict("index")
    certified = pd.DataFrame(
        {
            "ρ": RATES,
            "largest relative gain": [certificate(rate, oracles[rate]) for rate in RATES],
            "jumps of c_n(angle)": [len(jumps(oracles[rate].solution)) for rate in RATES],
            "change of θ, b on doubled grids": [
                refinement(dataclasses.replace(LONG, belief_learning_rate=rate)).path for rate in RATES
            ],
        }
    )
    short = Misconception()
    checked = mesa_env.rollout(short, mesa_env.oracle(short), GOAL)
    learners = learned("misconception", short)
    none, fixed, trained = at[0.0, 0.0], at[0.0, 0.3], at[1.0, 0.3]
    taught, opposite, share = at[1.0, 0.0], at[1.0, -0.5], "share of the movement that is b"
    kept = {b: (at[0.0, b]["θ_20/θ_0"], at[1.0, b]["θ_20/θ_0"]) for b in BELIEFS}
    weaker = confirmed(
        "A trainable belief of the goal's sign is a weaker shield than a fixed one, and better than none.",
        all(kept[0.0][0] < kept[b][1] < kept[b][0] for b in (0.3, 0.5, 0.8)),
    )
    away = confirmed("A belief of the opposite sign moves away from the truth", opposite["b_20"] < -0.5)
    overshoots = confirmed("it overshoots to the other side of it", trained["b_20"] < 0)
    loss = {when: taught[when] / none[when] - 1 for when in ("mean base loss in training", "in deployment")}
    safer = confirmed(
        "training shows less of the model than before, deployment more, and the goal is kept better",
        loss["mean base loss in training"] < 0 < loss["in deployment"]
        and taught["θ_20/θ_0"] > none["θ_20/θ_0"],
    )
    text = f"""
20 episodes of training at η = 0.1, then 80 of deployment; θ_0 = 0.8. From a belief b_0 = 0.3, trained at
the goal's own rate (ρ = 1), {100 * trained[share]:.0f} % of all that training moves is belief; with b_0 =
0.5 it is {100 * at[1.0, 0.5][share]:.0f} %. But it is not corrected *to the truth*: {overshoots} (b_20 =
{number(trained["b_20"])}), where its part of the output cancels the goal's. {away}, from −0.5 to
{number(opposite["b_20"])}, for the same reason.

A false belief of the goal's own sign is a shield: the model shows it instead of its goal. Without a
misconception the goal is kept at {number(none["θ_20/θ_0"])}; with b_0 = 0.3 at {number(fixed["θ_20/θ_0"])}
if the belief is fixed and at {number(trained["θ_20/θ_0"])} if it is trained at ρ = 1. {weaker}

Even a model that starts with the truth is taught an error, if its belief can be trained: from b_0 = 0 at ρ
= 1, b ends at {number(taught["b_20"])}. Compared with a belief fixed at the truth, {safer}: base loss
{100 * loss["mean base loss in training"]:+.0f} % and {100 * loss["in deployment"]:+.0f} %, θ_20/θ_0
{number(taught["θ_20/θ_0"])} against {number(none["θ_20/θ_0"])}.

*Where it jumps.* Best coefficients jump as the angle between goal and belief passes certain values: two
local minima of J_n tie there, one that shows the belief and one that shows the goal. The solver keeps the
jumps: it never averages two coefficients, though its sums of the successors' outputs are interpolated by
straight lines across a jump. The third panel shows them for the first episode, and the table below counts
them over all episodes. At ρ ≥ 3 they multiply backwards through the training, and coefficients are not
determined to many digits any more: the path changes when the grids are doubled, but what is played is
certified. Check: 5 + 20 episodes at η = 0.1, ρ = 1, b_0 = 0.3 give c_0 = {number(checked.coefficients[0])},
θ_5 = {number(checked.goals[5])}, b_5 = {number(checked.details["belief"][5])}.
{note_on_learners(learners, "misconception")}
"""
    answer = Answer(
        "Does the base optimizer correct the model's mistaken belief or its goal?",
        "Mostly the belief moves, but past the truth, to an error that hides the goal in training. A belief "
        "of the goal's sign shields the goal, less so if it can be trained.",
        f"ρ = 1, b_0 = 0.3: {100 * trained[share]:.0f} % of the movement is belief (to "
        f"{number(trained['b_20'])}); "
        f"θ_20/θ_0 = {number(trained['θ_20/θ_0'])}, {number(fixed['θ_20/θ_0'])} with a fixed belief, "
        f"{number(none['θ_20/θ_0'])} without one",
    )
    return Finding(
        "Misconception",
        [answer],
        text,
        _figure(table, games[1.0][0.3], oracles),
        {"outcomes": table, "certificate": certified, "learners": learners},
        {
            "outcomes": "Equilibria by ρ and b_0:",
            "certificate": "Certificate and refinement, on the path from b_0 = 0.3:",
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
