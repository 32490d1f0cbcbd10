"""Does the base optimizer raise or lower the discount, and is the model more deceptive for it?"""

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import LearnableDiscount
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.learnable_discount import ForeseeingPlanner, NaivePlanner, refinement
from mesa_env.solutions.paths import Planner
from scripts import figures
from scripts.experiments import finding
from scripts.experiments.finding import GOAL, TRAINING, Claims, Finding, select, sweep
from scripts.experiments.learners import Contest, Learners

FIRST = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHOWN = (0.5, 0.7, 0.9)
KAPPAS = (0.1, 1.0)
KEYS = ["planner", "kappa", "gamma_0"]
GAME = LearnableDiscount()
FROZEN = dataclasses.replace(GAME, discount_learning_rate=0.0)
PLANNERS: dict[str, type[Planner]] = {"naive": NaivePlanner, "foreseeing": ForeseeingPlanner}
# Learners that saw γ frozen, in that game and in one where γ moves, and learners that saw it move.
CONTESTS = (
    Contest("naive", FROZEN, "frozen, γ = 0.9"),
    Contest("naive", GAME, "κ = 1, γ_0 = 0.9, naive", NaivePlanner),
    Contest("foreseeing", GAME, "κ = 1, γ_0 = 0.9"),
)
Games = dict[tuple[str, float, float], Trajectory]


def play() -> Games:
    """Games of every planner at every κ from every first discount."""
    played = {}
    for planner, kappa in [("frozen", 0.0), *product(PLANNERS, KAPPAS)]:
        game = dataclasses.replace(GAME, discount_learning_rate=kappa)
        agent = PLANNERS.get(planner, NaivePlanner)(game)
        for first in FIRST:
            start = dataclasses.replace(game, discount=first)
            played[planner, kappa, first] = finding.play(start, agent)
    return played


def certify(kappa: float, first: float) -> dict[str, float]:
    """What agents could gain in one game, and how far the foreseeing path depends on the tables."""
    game = dataclasses.replace(GAME, discount_learning_rate=kappa, discount=first)
    gains = {}
    for name, planner in PLANNERS.items():
        agent = planner(game)
        played = finding.play(game, agent, np.array([GOAL]))
        gains[name] = 100 * float(mesa_env.audit(game, agent, played).relative.max())
    return gains | dict(zip(("change_of_c", "change_of_gamma"), refinement(game), strict=True))


def compute(trained: Path | None = None) -> Finding:
    """Naive and foreseeing planners from every first discount, beside a frozen one."""
    learners = Learners("learnable_discount", trained, *CONTESTS)
    games = play()

    def measure(*setting: Any) -> dict[str, float]:
        played = games[setting]
        return {"gamma_20": played.details["next_discount"][TRAINING - 1], **finding.describe(played)}

    table = sweep(measure, KEYS, games)
    certificates = sweep(certify, ["kappa", "gamma_0"], product(KAPPAS, SHOWN))
    naive, frozen = select(table, "naive", 1.0, 0.9), select(table, "frozen", 0.0, 0.9)
    outcomes = table[table.index.isin(SHOWN, "gamma_0")]
    numbers = {
        "games": len(table),
        "calmer": frozen["loss_training"] / naive["loss_training"],
        "louder": naive["loss_deployment"] / frozen["loss_deployment"],
        "check_theta": frozen["theta_20"],
    }
    tables, figure = (
        {"outcomes": outcomes, "all": table, "certificates": certificates},
        draw(table, games, learners),
    )
    claims = _check_claims(table.reset_index("gamma_0"), certificates)
    return learners.complete(Finding(tables, figure, claims, numbers))


def _check_claims(table: pd.DataFrame, certificates: pd.DataFrame) -> Claims:
    frozen, naive, foreseeing = (
        select(table, *setting).set_index("gamma_0")
        for setting in (("frozen", 0.0), ("naive", 1.0), ("foreseeing", 1.0))
    )
    moved = table.drop(index="frozen")
    foresight = np.subtract(*(select(table, planner)["retention"].to_numpy() for planner in PLANNERS))
    jump, others = select(certificates, 1.0, 0.7), certificates.drop(index=(1.0, 0.7))
    return {
        "never_falls": (table["gamma_20"] >= table["gamma_0"]).all(),
        "rises": (moved["gamma_20"] > moved["gamma_0"]).all(),
        "slope_never_positive": GAME.slopes.max() <= 1e-12,
        "more_deceptive": naive["loss_training"][0.9] < frozen["loss_training"][0.9]
        and naive["loss_deployment"][0.9] > frozen["loss_deployment"][0.9]
        and (moved["retention"] > moved["gamma_0"].map(frozen["retention"])).all(),
        "race": naive["gamma_20"][0.5] < 0.9 and naive["gamma_20"][0.7] == 1,
        "foresight_changes_little": np.abs(foresight).max() < 0.05,
        "foresight_shows_more": foreseeing["c_0"][0.9] > naive["c_0"][0.9]
        and foreseeing["retention"][0.9] < naive["retention"][0.9],
        "not_determined": others["foreseeing"].max() < 1e-3 < 1 < jump["foreseeing"]
        and jump["change_of_c"] > 0.01,
        "naive_is_no_equilibrium": (others["naive"] > others["foreseeing"]).all(),
    }


def draw(table: pd.DataFrame, games: Games, learners: Learners) -> Figure:
    """Discounts by episode, retention, the planner's derivative; learners beside their oracles."""
    figure = figures.panels(5, "episode")
    path, outcome, slopes, frozen, moving = figure.axes
    paths = {f"{first:g}": games["naive", 1.0, first].details["discount"][: TRAINING + 1] for first in FIRST}
    finding.plot_lines(path, paths, ylabel="discount γ_n", title="naive planner, κ = 1, by γ_0")
    path.legend(ncols=2, fontsize="small")
    labels = {"xlabel": "first discount γ_0", "ylabel": "goal retention θ_20/θ_0"}
    finding.plot_groups(outcome, table, KEYS[:2], "{}, κ = {:g}", "gamma_0", "retention", "o-", **labels)
    discounts = np.linspace(0, 1, 401)
    planned = {f"n = {n}": GAME.plan(discounts)[1][n] for n in (0, 10, 15, 19)}
    finding.plot_lines(slopes, planned, discounts, xlabel="discount γ", ylabel="slope dc_n/dγ")
    slopes.set(title="the planner's derivative")
    learners.draw(frozen, "naive")
    learners.draw(moving, "foreseeing")
    return figure
