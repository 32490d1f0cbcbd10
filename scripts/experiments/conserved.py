"""How far does base return fall from training to deployment in each world, and does more training help?"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mesa_env.worlds import WORLDS, plan
from scripts import figures
from scripts.experiments.finding import Claims, Finding, plot_groups, select
from scripts.experiments.sincere_training import (
    best_plans,
    check_price_equation,
    continue_training,
    tables_of,
    train,
)

SHOWN = (0, 8, 30, 100, 300, 1000, 10000)
STARTS = {"proxy": 1, "mirror image": -1}
"""Signs of the conserved part: that of the world's proxy, and its opposite, which training treats alike."""


def measure(world: str, start: str) -> tuple[pd.DataFrame, dict[str, object]]:
    """Goals and returns by updates from a start, and the limit of deployed return."""
    training, deployed = tables_of(world)
    held = training.conserved.T @ training.conserved
    growing = np.ones(2) - held @ np.ones(2)  # (1, 1), or the part of it that training moves
    trained = train(training, WORLDS[world].proxy, SHOWN[-1])
    further, later_goals = continue_training(training, trained[-1], growing)
    goals = np.vstack([trained, later_goals[1:]])
    goals += (STARTS[start] - 1) * goals @ held
    seen, used = plan(training, goals), plan(deployed, goals)
    columns = {
        "theta_1": goals[:, 0],
        "theta_2": goals[:, 1],
        "drift": np.abs((goals - goals[0]) @ held).max(axis=1),
        "training": seen.base,
        "training_share": 100 * seen.base / training.base.max(),
        "deployed": used.base,
        "deployed_share": 100 * used.base / deployed.base.max(),
    }
    updates = np.append(np.arange(SHOWN[-1]), SHOWN[-1] + further)
    keys = {"world": world, "start": start, "updates": updates}
    tilt = held @ goals[0]
    limit = {
        "goal": "({:g}, {:g})".format(*goals[0].round(9) + 0.0),
        "last": used.base[SHOWN[-1]],
        "limit": plan(best_plans(deployed, growing), tilt).base,
        "far": plan(deployed, 1e3 * growing + tilt).base,
        "best": deployed.base.max(),
    }
    return pd.DataFrame(keys | columns).set_index(list(keys)), limit


def compute(trained: Path | None = None) -> Finding:
    """Returns of sincere planners by updates, from each world's proxy and from its mirror image."""
    keys = [(world, "proxy") for world in WORLDS]
    keys += [(world, "mirror image") for world in WORLDS if len(tables_of(world)[0].conserved)]
    curves, limits = zip(*(measure(*key) for key in keys), strict=True)
    curve = pd.concat(curves).sort_index()
    limit = pd.DataFrame(limits, index=pd.MultiIndex.from_tuples(keys, names=["world", "start"]))
    turning = select(curve, "CrumbVacuuming", "mirror image")["deployed"]
    grid = np.stack(np.meshgrid(*[np.linspace(-8, 8, 161)] * 2), axis=-1)
    numbers = {
        "price": check_price_equation(),
        "drift": curve["drift"].max(),
        "far": (limit["far"] - limit["limit"]).abs().max(),
        "million_updates": turning.index[turning < 2][0] / 1e6,
        "scanned": plan(tables_of("TableSetting")[1], grid).base.max(),
    }
    shown = curve.xs("proxy", level="start")
    shown = shown[shown.index.get_level_values("updates").isin(SHOWN)].loc[list(WORLDS)].reset_index()
    shown = shown.astype({"updates": int}).set_index(["world", "updates"])
    tables = {"returns": shown, "limits": limit, "curves": curve}
    return Finding(tables, draw(curve, limit), _check_claims(curve, limit, shown, numbers), numbers)


def _check_claims(
    curve: pd.DataFrame, limit: pd.DataFrame, shown: pd.DataFrame, numbers: dict[str, float]
) -> Claims:
    proxy, mirror = (curve.xs(start, level="start") for start in STARTS)
    both = mirror.index.intersection(proxy.index)
    fall = (shown["training"] - shown["deployed"]).unstack("updates").loc[list(WORLDS)]
    wiping, vacuuming, setting, eliminating = fall.to_numpy()
    away = (limit["last"] - limit["limit"]).abs().xs("proxy", level="start")
    return {
        "price_equation": numbers["price"] < 1e-8,
        "conserves": numbers["drift"] < 1e-12,
        "follows_best": numbers["far"] < 1e-9,
        "falls": (fall[8] > 0).all() and (fall[1000].drop("CookieElimination") > 0.3).all(),
        "training_helps": (shown.groupby("world")["deployed"].diff().dropna() > 0).all(),
        "near_limit": away.max() < 1e-3,
        "gap_stays": (np.diff(wiping) < 0).all() and limit["limit"]["TableWiping", "proxy"] < 2.7,
        "best_plan_breaks": (np.diff(vacuuming) < 0).all() and limit["limit"]["CrumbVacuuming"].eq(0).all(),
        "gap_grows": (np.diff(setting) > 0).all(),
        "bound": numbers["scanned"] <= limit["limit"]["TableSetting", "proxy"] < 0.01,
        "gap_closes": np.abs(eliminating[-3:]).max() < 1e-3
        and limit["limit"]["CookieElimination"].eq(4).all(),
        "looks_alike": np.ptp([proxy.loc[both, "training"], mirror.loc[both, "training"]], axis=0).max()
        < 1e-9
        and limit["last"]["CrumbVacuuming", "mirror image"] > 3.99,
        "turns": select(curve, "CrumbVacuuming", "mirror image")["deployed"].iloc[-1] < 0.1,
    }


def draw(curve: pd.DataFrame, limit: pd.DataFrame) -> Figure:
    """Returns by updates in each world; dashed lines are limits of deployed return."""
    figure = figures.panels(4, "updates")
    for axes, world in zip(figure.axes, WORLDS, strict=True):
        rows = select(curve, world).query("updates > 0").reset_index().sort_values("start", ascending=False)
        axes.plot(
            *rows[rows["start"] == "proxy"][["updates", "training"]].T.to_numpy(), "k", label="in training"
        )
        plot_groups(axes, rows, ["start"], "deployed, from {}", "updates", "deployed")
        for end in select(limit, world)["limit"]:
            axes.axhline(end, color="0.5", linestyle=":")
        axes.set(title=world, ylabel="base return", xscale="log")
    return figure
