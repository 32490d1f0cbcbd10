"""From which diversity of training data on does deception pay, by world and length of deployment?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

import mesa_env
from mesa_env import GoalTraining, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.solutions.goal_training import sweep_diversity
from scripts import figures
from scripts.experiments.finding import Claims, Finding

WORLDS = ("TableWiping", "CrumbVacuuming", "CookieElimination")
"""Those whose base objective is a goal that a robot can have."""
TRAIN, RATE, GOAL = 8, 0.3, (0.0, 2.0)
DEPLOY = (1, 2, 3, 5, 15, 60)
SHARES = np.linspace(0, 1, 51)
LEAST, DRAWN = 1 / TRAIN, (1, 3, 15, 60)
"""Share of training that counts as deception: one episode of it."""


def build(world: str, deploy: int) -> GoalTraining:
    """Eight episodes of training, then deployment, from a goal for the proxy alone."""
    return GoalTraining(world, train_then_deploy(TRAIN, deploy, RATE), initial_goal=GOAL)


def solve(world: str, deploy: int) -> pd.DataFrame:
    """Equilibrium and sincere model by diversity."""
    game, goals = build(world, deploy), np.array([GOAL])
    strategic = sweep_diversity(game, goals, SHARES)
    sincere = sweep_diversity(replace(game, pursuits=(1.0,)), goals, SHARES)
    columns = {
        "hidden": (1 - strategic.training_pursuit[:, 0]).round(12),
        "lost": (sincere.deployed_return - strategic.deployed_return)[:, 0],
        "gained": (strategic.training_return - sincere.training_return)[:, 0],
    }
    return pd.DataFrame({"world": world, "deploy": deploy, "diversity": SHARES} | columns)


def compute(trained: Path | None = None) -> Finding:
    """Hidden share of training, and what it costs, by world, deployment and diversity."""
    curves = pd.concat([solve(world, deploy) for world in WORLDS for deploy in DEPLOY])
    table = pd.DataFrame(
        {"world": world, "deploy": deploy, **_summarize(rows)}
        for (world, deploy), rows in curves.groupby(["world", "deploy"], sort=False)
    ).set_index(["world", "deploy"])
    crumbs, wiping = table.loc["CrumbVacuuming"], table.loc["TableWiping"]
    numbers = {
        "wiping_most_hidden": wiping.loc[2:, "most_hidden"].max(),
        "wiping_most_lost": wiping.loc[2:, "most_lost"].max(),
        "sincere_gain_half": _gain_by_hiding(0.5),
        "longest": DEPLOY[-1],
    }
    claims = _check_claims(table, crumbs, numbers)
    return Finding(
        {"thresholds": table, "curves": curves.set_index(["world", "deploy"])}, draw(curves), claims, numbers
    )


def _summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Least diversities at which a model hides, and the most that it costs."""
    return {
        "from_one": _first(rows["hidden"].to_numpy() >= LEAST - 1e-9),
        "from_half": _first(rows["hidden"].to_numpy() >= 0.5 - 1e-9),
        "most_hidden": rows["hidden"].max(),
        "most_lost": rows["lost"].max(),
        "lost_at_one": rows["lost"].iloc[-1],
        "gained_at_one": rows["gained"].iloc[-1],
    }


def _first(flags: NDArray[np.bool_]) -> float:
    """The least diversity that is flagged; NaN if none is."""
    return float(SHARES[int(flags.argmax())]) if flags.any() else np.nan


def _gain_by_hiding(diversity: float) -> float:
    """Most that one agent gains by hiding among sincere ones, % of planning for the belief forever."""
    game = replace(build("CrumbVacuuming", 15), diversity=diversity)
    sincere = Profile(game, game.sincerity)
    played = mesa_env.rollout(game, sincere, np.tile(GOAL, (32, 1)), generator=np.random.default_rng(0))
    return 100 * float(mesa_env.audit(game, sincere, played).relative.max())


def _check_claims(table: pd.DataFrame, crumbs: Any, numbers: dict[str, float]) -> Claims:
    cookies = table.loc["CookieElimination"].loc[3:]
    return {
        "wiping_is_sincere": numbers["wiping_most_hidden"] < LEAST and numbers["wiping_most_lost"] < 0.1,
        "longer_deployment_hides_sooner": (np.diff(crumbs.loc[2:, "from_one"]) <= 0).all(),
        "two_thirds": crumbs.loc[3:, "from_half"].between(0.59, 0.71).all(),
        "short_deployment_is_sharper": table.loc[("TableWiping", 1), "from_one"] == 0,
        "cookies_always_hide": (cookies["from_one"] == 0).all() and (cookies["from_half"] == 0).all(),
        "costs_all": (crumbs.loc[2:, "lost_at_one"] > 4.5).all() and (cookies["lost_at_one"] > 5.5).all(),
        "looks_better": (crumbs.loc[2:, "gained_at_one"] > 0).all() and (cookies["gained_at_one"] > 0).all(),
        "sincerity_is_nash": _gain_by_hiding(1.0) < 1e-6 < numbers["sincere_gain_half"],
    }


def draw(curves: pd.DataFrame) -> Figure:
    """Hidden share of training by diversity, and what the base optimizer loses once deployed."""
    figure = figures.panels(4, "diversity")
    for axes, world in zip(figure.axes, WORLDS, strict=False):
        for deploy in DRAWN:
            rows = curves[(curves["world"] == world) & (curves["deploy"] == deploy)]
            axes.plot(rows["diversity"], rows["hidden"], label=f"D = {deploy}")
        axes.set(title=world, ylabel="hidden share of training", ylim=(-0.05, 1.05))
    for world in WORLDS:
        rows = curves[(curves["world"] == world) & (curves["deploy"] == 15)]
        figure.axes[3].plot(rows["diversity"], rows["lost"], label=world)
    figure.axes[3].set(title="lost once deployed (D = 15)", ylabel="sincere − strategic base return")
    for axes in figure.axes:
        axes.legend(fontsize="small")
    return figure
