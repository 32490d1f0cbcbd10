"""Does the base optimizer correct the model's mistaken belief or its goal?"""

import dataclasses
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Misconception, train_then_deploy
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.misconception import MisconceptionOracle, jumps, refinement
from scripts import figures
from scripts.experiments import finding
from scripts.experiments.finding import GOAL, TRAINING, Claims, Finding, select, sweep
from scripts.experiments.learners import Contest, Learners

BELIEFS = (-0.5, 0.0, 0.1, 0.3, 0.5, 0.8)
RHOS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
CURVES = (0.0, 0.3, 1.0)
Games = Mapping[tuple[float, float], Trajectory]
LONG, SHORT = Misconception(train_then_deploy(TRAINING, 80, 0.1)), Misconception()


def make_game(rho: float, belief: float | tuple[float, float] = 0.3) -> Misconception:
    """20 training and 80 deployment episodes from one first belief."""
    return dataclasses.replace(LONG, belief_learning_rate=rho, initial_belief=belief)


def measure(first: float, played: Trajectory) -> dict[str, float]:
    """What became of goal and belief, and at what base loss."""
    belief = played.details["belief"][TRAINING]
    moved = abs(played.goals[TRAINING] - GOAL) + abs(belief - first)
    share = abs(belief - first) / moved if moved else np.nan
    return {"b_20": belief, "share": share, **finding.describe(played)}


def certify(rho: float, oracle: MisconceptionOracle) -> dict[str, float]:
    """What could be gained on the path from b_0 = 0.3, and how far that path depends on the grids."""
    game = make_game(rho)
    played = finding.play(game, oracle, np.array([GOAL]))
    return {
        "gain": float(mesa_env.audit(game, oracle, played).relative.max()),
        "jumps": len(jumps(oracle.solution)),
        "change": refinement(make_game(rho, LONG.initial_belief)).path,
    }


def compute(trained: Path | None = None) -> Finding:
    """The equilibrium by first belief and by relative learning rate of the belief."""
    learners = Learners("misconception", trained, Contest("misconception", SHORT))
    oracles = {rho: MisconceptionOracle(make_game(rho, LONG.initial_belief)) for rho in RHOS}
    settings = list(product(RHOS, BELIEFS))
    games = {(rho, first): finding.play(make_game(rho, first), oracles[rho]) for rho, first in settings}
    table = sweep(lambda rho, first: measure(first, games[rho, first]), ["rho", "b_0"], games)
    certificate = sweep(lambda rho: certify(rho, oracles[rho]), ["rho"], zip(RHOS, strict=True))
    check = finding.play(SHORT)
    taught, none = select(table, 1.0, 0.0), select(table, 0.0, 0.0)
    numbers = {
        "change_training": 100 * (taught["loss_training"] / none["loss_training"] - 1),
        "change_deployment": 100 * (taught["loss_deployment"] / none["loss_deployment"] - 1),
        "check_c": check.coefficients[0],
        "check_theta": check.goals[5],
        "check_b": check.details["belief"][5],
    }
    tables, figure = {"outcomes": table, "certificate": certificate}, draw(table, games, oracles, learners)
    return learners.complete(Finding(tables, figure, _check_claims(table, certificate), numbers))


def _check_claims(table: pd.DataFrame, certificate: pd.DataFrame) -> Claims:
    fixed, slow, equal = (select(table, rho) for rho in (0.0, 0.1, 1.0))
    kept, shielded = fixed["retention"], equal["retention"]
    stable, unstable = certificate.loc[:1.0], certificate.loc[3.0:]
    return {
        "belief_moves_more": (equal.loc[0.0:, "share"] > 0.5).all(),
        "goal_moves_more": equal["share"][-0.5] < 0.5 and (slow.loc[:0.1, "share"] < 0.5).all(),
        "overshoots": (equal.loc[0.1:, "b_20"] < 0).all(),
        "stops_short": 0 < table["b_20"][0.3, 0.3] < 0.3,
        "moves_away": equal["b_20"][-0.5] < -0.5,
        "shields": (kept.loc[0.1:] > kept[0.0]).all(),
        "weaker_shield": shielded.loc[0.3:].gt(kept[0.0]).all()
        and shielded.loc[0.3:].lt(kept.loc[0.3:]).all(),
        "taught_an_error": equal["b_20"][0.0] < 0,
        "hides": equal["loss_training"][0.0] < fixed["loss_training"][0.0]
        and equal["loss_deployment"][0.0] > fixed["loss_deployment"][0.0]
        and shielded[0.0] > kept[0.0],
        "jumps": (certificate["jumps"] > 0).all(),
        "jumps_multiply": unstable["jumps"].min() > 10 * stable["jumps"].max()
        and unstable["change"].min() > 0.01 > 1e-3 > stable["change"].max(),
        "certified": certificate["gain"].max() < 1e-4,
    }


def draw(
    table: pd.DataFrame, games: Games, oracles: Mapping[float, MisconceptionOracle], learners: Learners
) -> Figure:
    """Retention by first belief, one path, the policy's jumps; learners beside their oracle."""
    figure = figures.panels(4, "episode")
    outcomes, path, policy, learned = figure.axes
    labels = {"xlabel": "first belief b_0", "ylabel": "goal retention θ_20/θ_0"}
    finding.plot_groups(outcomes, table, ["rho"], "ρ = {:g}", "b_0", "retention", "o-", **labels)
    played = games[1.0, 0.3]
    lines = {"goal θ": played.goals, "belief b": played.details["belief"]}
    lines |= {"output y": played.outputs, "coefficient c": played.coefficients}
    shown = {label: values[: TRAINING + 11] for label, values in lines.items()}
    finding.plot_lines(path, shown, title="ρ = 1, b_0 = 0.3")
    for rho in CURVES:
        solution = oracles[rho].solution
        first = solution.coefficients[0].copy()
        first[:-1][np.abs(np.diff(first)) > 0.2] = np.nan  # a gap in the line where it jumps
        policy.plot(np.degrees(solution.angles), first, label=f"ρ = {rho:g}")
    policy.set(xlabel="angle of (θ, b), degrees", ylabel="c_0", title="jumps of the first coefficient")
    policy.legend()
    learners.draw(learned, "misconception")
    return figure
