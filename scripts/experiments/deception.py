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
TRAIN, RATE, GOAL, BELIEF = 8, 0.3, (0.0, 2.0), 3.0
DEPLOY, DRAWN = (1, 2, 3, 5, 15, 60), (1, 3, 15, 60)
SHARES = np.linspace(0, 1, 51)
LEAST = 1 / TRAIN
"""Hidden share of training that counts as deception: one episode of it."""
CONDITIONS = [(rate, belief) for rate in (0.1, RATE) for belief in (2.0, BELIEF)]
"""Learning rates, and lengths of the belief; the goal's is 2."""


def build(world: str, deploy: int, rate: float = RATE, belief: float = BELIEF) -> GoalTraining:
    """Eight episodes of training, then deployment, from a goal for the proxy alone."""
    schedule = train_then_deploy(TRAIN, deploy, rate)
    return GoalTraining(world, schedule, initial_goal=GOAL, belief=np.array([belief, 0.0]))


def solve(world: str, deploy: int, rate: float = RATE, belief: float = BELIEF) -> pd.DataFrame:
    """Equilibrium and sincere model by diversity."""
    game, goals = build(world, deploy, rate, belief), np.array([GOAL])
    strategic = sweep_diversity(game, goals, SHARES)
    sincere = sweep_diversity(replace(game, pursuits=(1.0,)), goals, SHARES)
    columns = {
        "hidden": strategic.hidden[:, 0].round(12),
        "silent": (1 - strategic.training_pursuit[:, 0]).round(12),
        "sincere": sincere.deployed_return[:, 0],
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
    conditions = pd.DataFrame(
        {"world": world, "rate": rate, "belief": belief, **_summarize(solve(world, 15, rate, belief))}
        for world in WORLDS
        for rate, belief in CONDITIONS
    ).set_index(["world", "rate", "belief"])
    half = curves[(curves["world"] == "CrumbVacuuming") & (curves["deploy"] == 15)].set_index("diversity")
    numbers = {"sincere_gain_half": _gain_by_hiding(0.5), "longest": DEPLOY[-1]}
    tables = {"thresholds": table, "conditions": conditions}
    claims = _check_claims(table, conditions, numbers) | {"won_by_diversity": _loses_what_was_won(half)}
    single = curves[(curves["world"] == "CrumbVacuuming") & (curves["deploy"] == 1)].set_index("diversity")
    claims["single_episode"] = single["hidden"].max() > LEAST and single["hidden"].iloc[-1] == 0
    return Finding(tables, draw(curves), claims, numbers)


def _summarize(rows: pd.DataFrame) -> dict[str, float]:
    """Least diversity at which a model hides, and the most that it costs."""
    return {
        "from_one": _first(rows["hidden"].to_numpy() >= LEAST - 1e-9),
        "most_hidden": rows["hidden"].max(),
        "most_silent": rows["silent"].max(),
        "most_lost": rows["lost"].max(),
        "lost_at_one": rows["lost"].iloc[-1],
        "gained_at_one": rows["gained"].iloc[-1],
    }


def _first(flags: NDArray[np.bool_]) -> float:
    """The least diversity that is flagged; NaN if none is."""
    return float(SHARES[int(flags.argmax())]) if flags.any() else np.nan


def _gain_by_hiding(diversity: float) -> float:
    """Most that one agent gains by leaving sincere ones, % of what plans at random forever would cost."""
    game = replace(build("CrumbVacuuming", 15), diversity=diversity)
    sincere = Profile(game, game.sincerity)
    played = mesa_env.rollout(game, sincere, np.tile(GOAL, (32, 1)), generator=np.random.default_rng(0))
    return 100 * float(mesa_env.audit(game, sincere, played).relative.max())


def _loses_what_was_won(rows: pd.DataFrame) -> bool:
    """Whether at diversity 1 strategy costs at least what diversity won with a sincere model."""
    return bool(rows["lost"].iloc[-1] >= rows["sincere"].iloc[-1] - rows["sincere"].iloc[0])


def _check_claims(table: Any, conditions: Any, numbers: dict[str, Any]) -> Claims:
    crumbs, wiping, cookies = (
        table.loc[world] for world in ("CrumbVacuuming", "TableWiping", "CookieElimination")
    )
    equal, longer = (conditions.xs(belief, level="belief") for belief in (2.0, BELIEF))
    return {
        "wiping_is_sincere": wiping["most_hidden"].max() < LEAST and wiping.loc[2:, "most_lost"].max() < 0.1,
        "wiping_with_equal_belief": equal.loc["TableWiping", "most_hidden"].max() == 0,
        "wiping_at_low_rate": longer["most_hidden"]["TableWiping", 0.1] > 0.5,
        "hides_sooner": (np.diff(crumbs["from_one"]) <= 0).all(),
        "cookies_are_silent": (cookies["most_silent"] == 1).all() and (cookies["from_one"] < 0.25).all(),
        "cookies_cost_anyway": cookies.loc[3:, "most_lost"].min() > 5.5,
        "looks_better": crumbs.loc[2:, "gained_at_one"].min() > 0 and cookies["gained_at_one"].min() > 0,
        "sincerity_is_nash": _gain_by_hiding(1.0) < 1e-6 < numbers["sincere_gain_half"],
        "other_conditions": all(
            equal["from_one"][world, rate] == longer["from_one"][world, rate]
            for world in WORLDS[1:]
            for rate in (0.1, RATE)
        ),
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
