"""Does training forever end in robust alignment, and how slowly?"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Game, InfiniteHorizon, train_then_deploy
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Array
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon, stationary_coefficients
from scripts import figures
from scripts.experiments.finding import TRAINING, Claims, Finding, play, plot_lines, select, sweep
from scripts.experiments.learners import Contest, Learners

DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
ETAS = SLOW, FAST = 0.1, 1.0
TRAINED = InfiniteHorizon(np.array([1.0]), discount=0.9, max_episodes=100)
DEPLOYED = InfiniteHorizon(train_then_deploy(TRAINING, 1), discount=0.99, max_episodes=400)
CONTESTS = (
    Contest("train_forever", TRAINED, "training forever, γ = 0.9"),
    Contest("deploy_forever", DEPLOYED, "20 training, γ = 0.99"),
)


def solve(eta: float, gamma: float) -> dict[str, float]:
    """The stationary equilibrium of training forever, and the half-life of its goal."""
    game = InfiniteHorizon(np.array([eta]), discount=gamma)
    c = float(solve_infinite_horizon(game)[0])
    left = 1 - 2 * eta * c * c
    return {
        "c": c,
        "others": len(stationary_coefficients(game)) - 1,
        "left": left,
        "half_life": np.log(0.5) / np.log(left) if 0 < left < 1 else np.nan,
        "half_life_of_discount": np.log(0.5) / np.log(gamma),
        "limit": np.sqrt((1 - gamma) / 2 / eta),
    }


def compute(trained: Path | None = None) -> Finding:
    """Training forever, and deployment forever after 20 episodes of training."""
    learners = Learners("infinite_horizon", trained, *CONTESTS, columns=("c_first", "mesa_cost"))
    table = sweep(solve, ["eta", "gamma"], product(ETAS, DISCOUNTS))
    deployed, finite = solve_infinite_horizon(DEPLOYED), mesa_env.solve_equilibrium(Game(discount=0.99))
    claims = _check_claims(table, deployed, finite)
    numbers = {
        "lost": 1 - table["left"][1.0, 0.9],
        **{f"deployed_c_{n}": float(deployed[n]) for n in (0, 19)},
        **{f"finite_c_{n}": float(finite[n]) for n in (0, 19)},
    }
    return learners.complete(Finding({"stationary": table}, draw(table, learners), claims, numbers))


def _check_claims(table: pd.DataFrame, deployed: Array, finite: Array) -> Claims:
    slow, fast = (select(table, eta)["half_life"] for eta in ETAS)
    etas, gammas = (table.index.get_level_values(name) for name in ("eta", "gamma"))
    patient = table[1 - gammas <= 2 * etas / 100]
    return {
        "aligns_in_the_limit": table["left"].between(0, 1, inclusive="neither").all(),
        "no_faster_than_discounting": (table["half_life"] >= table["half_life_of_discount"]).all(),
        "decays_like_discount": (patient["half_life"] < 1.05 * patient["half_life_of_discount"]).all(),
        "approaches_limit": (patient["c"] / patient["limit"]).between(0.95, 1.05).all(),
        "rate_does_not_matter": slow[0.999] < 1.05 * fast[0.999],
        "rate_matters": slow[0.9] > 1.4 * fast[0.9],
        "no_other_equilibrium": (table["others"] == 0).all(),
        "open_in_deployment": (deployed[TRAINING:] == 1).all(),
        "hides_more_than_finite": (deployed[:TRAINING] < finite[:TRAINING]).all(),
    }


def draw(table: pd.DataFrame, learners: Learners) -> Figure:
    """Goals in training forever, the path of deployment forever; learners beside their oracles."""
    figure = figures.panels(4, "episode")
    training, deployment, *others = figure.axes
    episodes = np.arange(101)
    for gamma in DISCOUNTS[1:]:
        line = training.plot(episodes, table["left"][FAST, gamma] ** episodes, label=f"γ = {gamma:g}")
        training.plot(episodes, gamma**episodes, ":", color=line[0].get_color())
    training.set(ylabel="θ_n/θ_0 (dotted: γ^n)", title="training forever, η = 1")
    training.legend()
    played = play(with_fixed_length(DEPLOYED), mesa_env.oracle(DEPLOYED))
    shown = {"goal θ": played.goals[:31], "coefficient c": played.coefficients[:31]}
    plot_lines(deployment, shown, title="deployment forever, γ = 0.99")
    for axes, contest in zip(others, CONTESTS, strict=True):
        learners.draw(axes, contest.learner)
    return figure
