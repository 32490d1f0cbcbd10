"""Does the base optimizer correct the model's mistaken belief or its goal?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Misconception, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.misconception import MisconceptionOracle, jumps, refinement
from scripts import figures
from scripts.experiments.finding import Finding, with_headings
from scripts.experiments.learners import (
    HEADINGS,
    Learners,
    compare_with_oracle,
    draw_learners,
    summarize_gains,
)

GOAL, TRAINING = 0.8, 20
BELIEFS = (-0.5, 0.0, 0.1, 0.3, 0.5, 0.8)
RHOS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
CURVES = (0.0, 0.3, 1.0)
LONG, SHORT = Misconception(train_then_deploy(TRAINING, 80, 0.1)), Misconception()
OUTCOMES = {
    "rho": "ρ",
    "b_0": "b_0",
    "c_0": "c_0",
    "retention": "θ_20/θ_0",
    "b_20": "b_20",
    "share": "share of the movement that is b",
    "loss_training": "mean base loss in training",
    "loss_deployment": "in deployment",
}
CERTIFICATE = {
    "rho": "ρ",
    "gain": "largest relative gain",
    "jumps": "jumps of c_n(angle)",
    "change": "change of θ, b on doubled grids",
}


def make_game(rho: float, belief: float = 0.3) -> Misconception:
    """20 training and 80 deployment episodes from one first belief."""
    return dataclasses.replace(LONG, belief_learning_rate=rho, initial_belief=belief)


def measure(rho: float, first: float, played: Trajectory) -> dict[str, float]:
    """What became of goal and belief, and at what base loss."""
    goal, belief = played.goals[TRAINING], played.details["belief"][TRAINING]
    moved = abs(goal - GOAL) + abs(belief - first)
    return {
        "rho": rho,
        "b_0": first,
        "c_0": played.coefficients[0],
        "retention": goal / GOAL,
        "b_20": belief,
        "share": abs(belief - first) / moved if moved else np.nan,
        "loss_training": played.base_losses[:TRAINING].mean(),
        "loss_deployment": played.base_losses[TRAINING:].mean(),
    }


def certify(rho: float, oracle: MisconceptionOracle) -> dict[str, float]:
    """What could be gained on the path from b_0 = 0.3, and how far that path depends on the grids."""
    game = make_game(rho)
    played = mesa_env.rollout(game, oracle, np.array([GOAL]))
    return {
        "rho": rho,
        "gain": float(mesa_env.audit(game, oracle, played).relative.max()),
        "jumps": len(jumps(oracle.solution)),
        "change": refinement(dataclasses.replace(LONG, belief_learning_rate=rho)).path,
    }


def compute() -> Finding:
    """The equilibrium by first belief and by relative learning rate of the belief."""
    oracles = {rho: MisconceptionOracle(dataclasses.replace(LONG, belief_learning_rate=rho)) for rho in RHOS}
    played = {
        (rho, belief): mesa_env.rollout(make_game(rho, belief), oracles[rho], GOAL)
        for rho in RHOS
        for belief in BELIEFS
    }
    table = pd.DataFrame([measure(rho, belief, game) for (rho, belief), game in played.items()])
    certificate = pd.DataFrame([certify(rho, oracle) for rho, oracle in oracles.items()])
    learners = Learners("misconception", ["misconception"])
    learned = learners.table(lambda: compare_with_oracle(SHORT, learners.models["misconception"]))
    return Finding(
        numbers=collect_numbers(table) | summarize_gains(learned),
        claims=check_claims(table, certificate),
        tables={
            "outcomes": with_headings(table, OUTCOMES),
            "certificate": with_headings(certificate, CERTIFICATE),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(table, played[1.0, 0.3], oracles, learners),
        learners=learners.source,
    )


def collect_numbers(table: pd.DataFrame) -> dict[str, float | str]:
    """The numbers that the text mentions."""
    at = table.set_index(["rho", "b_0"]).to_dict("index")
    none, fixed, trained, taught = at[0.0, 0.0], at[0.0, 0.3], at[1.0, 0.3], at[1.0, 0.0]
    checked = mesa_env.rollout(SHORT, mesa_env.oracle(SHORT), GOAL)
    return {
        "share": trained["share"],
        "share_05": at[1.0, 0.5]["share"],
        "share_opposite": at[1.0, -0.5]["share"],
        "share_slow": at[0.1, 0.1]["share"],
        "belief": trained["b_20"],
        "belief_slow": at[0.3, 0.3]["b_20"],
        "belief_opposite": at[1.0, -0.5]["b_20"],
        "belief_taught": taught["b_20"],
        "kept_none": none["retention"],
        "kept_fixed": fixed["retention"],
        "kept_trained": trained["retention"],
        "kept_taught": taught["retention"],
        "change_training": 100 * (taught["loss_training"] / none["loss_training"] - 1),
        "change_deployment": 100 * (taught["loss_deployment"] / none["loss_deployment"] - 1),
        "check_c": float(checked.coefficients[0]),
        "check_theta": float(checked.goals[5]),
        "check_b": float(checked.details["belief"][5]),
    }


def check_claims(table: pd.DataFrame, certificate: pd.DataFrame) -> dict[str, bool]:
    """What the equilibria by first belief and learning rate say."""
    by_belief = {rho: rows.set_index("b_0") for rho, rows in table.groupby("rho")}
    fixed, slow, equal = (by_belief[rho] for rho in (0.0, 0.1, 1.0))
    positive = [belief for belief in BELIEFS if belief > 0]
    shielded = [belief for belief in positive if belief >= 0.3]
    stable = certificate["rho"] <= 1
    return {
        "belief_moves_more": bool((equal["share"][[0.0, *positive]] > 0.5).all()),
        "goal_moves_more": bool(equal["share"][-0.5] < 0.5 and (slow["share"][[-0.5, 0.0, 0.1]] < 0.5).all()),
        "overshoots": bool((equal["b_20"][positive] < 0).all()),
        "stops_short": bool(0 < by_belief[0.3]["b_20"][0.3] < 0.3),
        "moves_away": bool(equal["b_20"][-0.5] < -0.5),
        "shields": bool((fixed["retention"][positive] > fixed["retention"][0.0]).all()),
        "weaker_shield": all(
            fixed["retention"][0.0] < equal["retention"][belief] < fixed["retention"][belief]
            for belief in shielded
        ),
        "taught_an_error": bool(equal["b_20"][0.0] < 0),
        "hides": bool(
            equal["loss_training"][0.0] < fixed["loss_training"][0.0]
            and equal["loss_deployment"][0.0] > fixed["loss_deployment"][0.0]
            and equal["retention"][0.0] > fixed["retention"][0.0]
        ),
        "jumps": bool((certificate["jumps"] > 0).all()),
        "jumps_multiply": bool(
            certificate["jumps"][~stable].min() > 10 * certificate["jumps"][stable].max()
            and certificate["change"][~stable].min() > 0.01 > 1e-3 > certificate["change"][stable].max()
        ),
        "certified": bool(certificate["gain"].max() < 1e-4),
    }


def draw(
    table: pd.DataFrame, played: Trajectory, oracles: Mapping[float, MisconceptionOracle], learners: Learners
) -> Figure:
    """Retention by first belief, one path, the policy's jumps; learners beside their oracle."""
    figure = figures.panels(4, "episode")
    outcomes, path, policy, learned = figure.axes
    for rho, rows in table.groupby("rho"):
        outcomes.plot(rows["b_0"], rows["retention"], marker="o", label=f"ρ = {rho:g}")
    outcomes.set(xlabel="first belief b_0", ylabel="goal retention θ_20/θ_0")
    outcomes.legend()
    draw_path(path, played)
    for rho in CURVES:
        solution = oracles[rho].solution
        first = solution.coefficients[0].copy()
        first[:-1][np.abs(np.diff(first)) > 0.2] = np.nan  # a gap in the line where it jumps
        policy.plot(np.degrees(solution.angles), first, label=f"ρ = {rho:g}")
    policy.set(xlabel="angle of (θ, b), degrees", ylabel="c_0", title="jumps of the first coefficient")
    policy.legend()
    draw_learners(learned, "misconception", SHORT, learners.models["misconception"])
    return figure


def draw_path(axes: Axes, played: Trajectory) -> None:
    """Goal, belief, output and coefficient by episode."""
    for label, values in (
        ("goal θ", played.goals[:-1]),
        ("belief b", played.details["belief"]),
        ("output y", played.outputs),
        ("coefficient c", played.coefficients),
    ):
        axes.plot(values[: TRAINING + 11], label=label)
    axes.set(title="ρ = 1, b_0 = 0.3")
    axes.legend()
