"""Does the base optimizer raise or lower the discount, and is the model more deceptive for it?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import LearnableDiscount
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.learnable_discount import ForeseeingPlanner, NaivePlanner, Planner, refinement
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
FIRST = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHOWN = (0.5, 0.7, 0.9)
KAPPAS = (0.1, 1.0)
GAME = LearnableDiscount()
FROZEN = dataclasses.replace(GAME, discount_learning_rate=0.0)
PLANNERS: dict[str, type[Planner]] = {"naive": NaivePlanner, "foreseeing": ForeseeingPlanner}
LABELS = {
    "frozen": "frozen, γ = 0.9",
    "naive": "κ = 1, γ_0 = 0.9, naive",
    "foreseeing": "κ = 1, γ_0 = 0.9",
}
OUTCOMES = {
    "planner": "planner",
    "kappa": "κ",
    "gamma_0": "γ_0",
    "gamma_20": "γ_20",
    "c_0": "c_0",
    "c_training": "mean c in training",
    "retention": "θ_20/θ_0",
    "loss_training": "base loss in training",
    "loss_deployment": "in deployment",
}
CERTIFICATES = {
    "kappa": "κ",
    "gamma_0": "γ_0",
    "naive": "largest relative gain, naive, %",
    "foreseeing": "largest relative gain, foreseeing, %",
    "change_of_c": "change of c on doubled tables",
    "change_of_gamma": "of γ",
}
Games = dict[tuple[str, float, float], Trajectory]


def play() -> Games:
    """Games of every planner at every κ from every first discount."""
    played = {}
    for planner, kappa in [("frozen", 0.0), *((planner, kappa) for planner in PLANNERS for kappa in KAPPAS)]:
        game = dataclasses.replace(GAME, discount_learning_rate=kappa)
        agent = PLANNERS.get(planner, NaivePlanner)(game)
        for first in FIRST:
            start = dataclasses.replace(game, discount=first)
            played[planner, kappa, first] = mesa_env.rollout(start, agent, GOAL)
    return played


def measure(planner: str, kappa: float, first: float, played: Trajectory) -> dict[str, float | str]:
    """What became of discount and goal, and at what base loss."""
    return {
        "planner": planner,
        "kappa": kappa,
        "gamma_0": first,
        "gamma_20": played.details["next_discount"][TRAINING - 1],
        "c_0": played.coefficients[0],
        "c_training": played.coefficients[:TRAINING].mean(),
        "retention": played.goals[TRAINING] / GOAL,
        "loss_training": played.base_losses[:TRAINING].mean(),
        "loss_deployment": played.base_losses[TRAINING:].mean(),
    }


def certify(kappa: float, first: float) -> dict[str, float]:
    """What agents could gain in one game, and how far the foreseeing path depends on the tables."""
    game = dataclasses.replace(GAME, discount_learning_rate=kappa, discount=first)
    gains = {}
    for name, planner in PLANNERS.items():
        agent = planner(game)
        played = mesa_env.rollout(game, agent, np.array([GOAL]))
        gains[name] = 100 * float(mesa_env.audit(game, agent, played).relative.max())
    change_of_c, change_of_gamma = refinement(game)
    change = {"change_of_c": change_of_c, "change_of_gamma": change_of_gamma}
    return {"kappa": kappa, "gamma_0": first, **gains, **change}


def measure_learners(learners: Learners) -> pd.DataFrame:
    """Learners that saw γ frozen, in that game and in one where γ moves, and learners that saw it move."""
    naive, foreseeing = learners.models["naive"], learners.models["foreseeing"]
    still = dataclasses.replace(FROZEN, discount=0.9)
    tables = {
        "frozen": compare_with_oracle(still, naive),
        "naive": compare_with_oracle(GAME, naive, oracle=NaivePlanner(GAME)),
        "foreseeing": compare_with_oracle(GAME, foreseeing),
    }
    return pd.concat([table.assign(game=LABELS[name]) for name, table in tables.items()], ignore_index=True)


def compute() -> Finding:
    """Naive and foreseeing planners from every first discount, beside a frozen one."""
    played = play()
    table = pd.DataFrame([measure(*setting, game) for setting, game in played.items()])
    certificates = pd.DataFrame([certify(kappa, first) for kappa in KAPPAS for first in SHOWN])
    learners = Learners("learnable_discount", list(PLANNERS))
    learned = learners.table(lambda: measure_learners(learners))
    by_game = {name: learned[learned["game"] == label] for name, label in LABELS.items()}
    shown = table[table["gamma_0"].isin(SHOWN)]
    return Finding(
        numbers={
            **collect_numbers(table, certificates),
            **summarize_gains(by_game["frozen"], "frozen_"),
            **summarize_gains(by_game["foreseeing"], "foreseeing_"),
        },
        claims=check_claims(table, certificates),
        tables={
            "outcomes": with_headings(shown, OUTCOMES),
            "all": with_headings(table, OUTCOMES),
            "certificates": with_headings(certificates, CERTIFICATES),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(table, played, learners),
        learners=learners.source,
    )


def collect_numbers(table: pd.DataFrame, certificates: pd.DataFrame) -> dict[str, float | str]:
    """The numbers that the text mentions."""
    at = table.set_index(["planner", "kappa", "gamma_0"]).to_dict("index")
    frozen, naive, foreseeing = at["frozen", 0.0, 0.9], at["naive", 1.0, 0.9], at["foreseeing", 1.0, 0.9]
    low, high = at["naive", 1.0, 0.5], at["naive", 1.0, 0.7]
    rough = certificates.set_index(["kappa", "gamma_0"]).to_dict("index")[1.0, 0.7]
    return {
        "games": len(table),
        "gamma": naive["gamma_20"],
        "gamma_low": low["gamma_20"],
        "gamma_high": high["gamma_20"],
        "calmer": frozen["loss_training"] / naive["loss_training"],
        "louder": naive["loss_deployment"] / frozen["loss_deployment"],
        "kept_frozen": frozen["retention"],
        "kept": naive["retention"],
        "kept_low": low["retention"],
        "kept_high": high["retention"],
        "kept_foreseeing": foreseeing["retention"],
        "c_0": naive["c_0"],
        "c_0_foreseeing": foreseeing["c_0"],
        "rough_gain": rough["foreseeing"],
        "rough_change": rough["change_of_c"],
        "check_theta": frozen["retention"] * GOAL,
    }


def check_claims(table: pd.DataFrame, certificates: pd.DataFrame) -> dict[str, bool]:
    """What the games of all planners say."""
    at = table.set_index(["planner", "kappa", "gamma_0"])
    frozen, naive, foreseeing = at.loc["frozen", 0.0], at.loc["naive", 1.0], at.loc["foreseeing", 1.0]
    moved = table[table["kappa"] > 0]
    kept = moved["retention"] - moved["gamma_0"].map(frozen["retention"])
    foresight = at.loc["naive"]["retention"] - at.loc["foreseeing"]["retention"]
    certified = certificates.set_index(["kappa", "gamma_0"])
    jump = certified.loc[1.0, 0.7]
    others = certified.drop(index=(1.0, 0.7))
    return {
        "never_falls": bool((table["gamma_20"] >= table["gamma_0"]).all()),
        "rises": bool((moved["gamma_20"] > moved["gamma_0"]).all()),
        "slope_never_positive": bool(GAME.slopes.max() <= 1e-12),
        "more_deceptive": bool(
            naive["loss_training"][0.9] < frozen["loss_training"][0.9]
            and naive["loss_deployment"][0.9] > frozen["loss_deployment"][0.9]
            and (kept > 0).all()
        ),
        "race": bool(naive["gamma_20"][0.5] < 0.9 and naive["gamma_20"][0.7] == 1),
        "foresight_changes_little": bool(foresight.abs().max() < 0.05),
        "foresight_shows_more": bool(
            foreseeing["c_0"][0.9] > naive["c_0"][0.9]
            and foreseeing["retention"][0.9] < naive["retention"][0.9]
        ),
        "not_determined": bool(
            others["foreseeing"].max() < 1e-3 < 1 < jump["foreseeing"] and jump["change_of_c"] > 0.01
        ),
        "naive_is_no_equilibrium": bool((others["naive"] > others["foreseeing"]).all()),
    }


def draw(table: pd.DataFrame, played: Games, learners: Learners) -> Figure:
    """Discounts by episode, retention, the planner's derivative; learners beside their oracles."""
    figure = figures.panels(5, "episode")
    path, outcome, slopes, frozen, moving = figure.axes
    for first in FIRST:
        path.plot(played["naive", 1.0, first].details["discount"][: TRAINING + 1], label=f"{first:g}")
    path.set(ylabel="discount γ_n", title="naive planner, κ = 1, by γ_0")
    path.legend(ncols=2, fontsize="small")
    for (planner, kappa), rows in table.groupby(["planner", "kappa"], sort=False):
        outcome.plot(rows["gamma_0"], rows["retention"], marker="o", label=f"{planner}, κ = {kappa:g}")
    outcome.set(xlabel="first discount γ_0", ylabel="goal retention θ_20/θ_0")
    outcome.legend(fontsize="small")
    discounts = np.linspace(0, 1, 401)
    planned = GAME.planned(discounts)[1]
    for n in (0, 10, 15, 19):
        slopes.plot(discounts, planned[n], label=f"n = {n}")
    slopes.set(xlabel="discount γ", ylabel="slope dc_n/dγ", title="the planner's derivative")
    slopes.legend()
    draw_learners(frozen, "naive", FROZEN, learners.models["naive"])
    draw_learners(moving, "foreseeing", GAME, learners.models["foreseeing"])
    return figure
