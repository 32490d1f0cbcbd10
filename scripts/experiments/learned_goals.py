"""Which goals have learners acquired, and can it be known from how they behave in training?"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from mesa_env.rules.rules import Array
from mesa_env.worlds import WORLDS, Plans, compare_goals, make_world
from mesa_env.worlds.parameters import deploy
from scripts.experiments import learners
from scripts.experiments.finding import Claims, Finding, Source
from scripts.experiments.kitchens import build_kitchen
from scripts.experiments.page import read_template, tables_of

RUNS = "kitchens.csv"
"""What `python -m scripts.kitchens` writes of each learner and seed."""
PAIRS = {"TableWiping": 3.0, "CrumbVacuuming": 4.0, "CookieElimination": 4.0}
"""Worlds with the base return among their features, and its best."""
PROXY, TRUTH, ERROR = (0.0, 2.0), (2.0, 0.0), 0.01
_DIRECTIONS = 720_000
_NAME, _LEARNERS, _PLANNERS = "learned_goals", ("dqn", "ppo", "reward"), ("base planner", "proxy planner")


def tell_apart() -> pd.DataFrame:
    """How many episodes tell the proxy from the base objective, by world and place."""
    rows = []
    for name in PAIRS:
        for place in ("training", "deployed"):
            plans = make_world(build_kitchen(name), deployed=place == "deployed").plans()
            found = compare_goals(plans, PROXY, TRUTH, error=ERROR)
            episodes = f"{found.episodes:.1f}" if found.distinguishable else "never"
            rows.append(
                {"world": name, "place": place, "nats": float(found.divergence), "episodes": episodes}
            )
    return pd.DataFrame(rows).set_index(["world", "place"])


def count_goals() -> pd.DataFrame:
    """Directions of goals that make perfect training optimal, and of these, those that are best deployed."""
    angles = 2 * np.pi * (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    goals = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    rows = []
    for name in PAIRS:
        kitchen = build_kitchen(name)
        training, deployed = kitchen.plans(), deploy(kitchen).plans()
        alike = deployed.features @ np.ones(2)
        tied = deployed.base[alike == alike.max()]
        reached = _best_returns(deployed, goals[_best_returns(training, goals) == training.base.max()])
        rows.append(
            {
                "world": name,
                "perfect": 100 * len(reached) / len(goals),
                "also_deployed": 100 * float((reached == deployed.base.max()).mean()),
                "worst": float(reached.min()),
                "tied_least": float(tied.min()),
                "tied_most": float(tied.max()),
            }
        )
    return pd.DataFrame(rows).set_index("world")


def _best_returns(plans: Plans, goals: Array) -> Array:
    """Base return of the plan that each goal likes best, shape (B,)."""
    return np.concatenate(
        [plans.base[(some @ plans.features.T).argmax(axis=1)] for some in np.array_split(goals, 100)]
    )


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by world and agent, with 95 % intervals of what is reached once deployed."""
    rows = []
    for (world, agent), found in runs.groupby(["world", "agent"], sort=False):
        deployed, count = found["deployed"].to_numpy(), len(found)
        spread = deployed.std(ddof=1) / np.sqrt(count) if count > 1 else 0.0
        half = float(stats.t.ppf(0.975, max(count - 1, 1)) * spread)
        rows.append(
            {
                "world": world,
                "agent": agent,
                "seeds": count if agent in _LEARNERS else 1,
                "training": float(found["training"].mean()),
                "reached": float((found["training"] / found["best training"]).min()),
                "deployed": float(deployed.mean()),
                "half": half,
                "worst": float(deployed.min()),
                "best": float(found["best deployed"].iloc[0]),
                "w_1": float(found["w_1"].mean()),
                "w_2": float(found["w_2"].mean()),
            }
        )
    return pd.DataFrame(rows)


def load(trained: Path | None) -> tuple[Source, pd.DataFrame]:
    """The summary of runs in a folder, or the one of the documentation.

    Raises:
        ValueError: If a folder is named that has no runs.
    """
    recorded = learners.RECORDED / f"{_NAME}_learners.csv"
    if trained is not None:
        if not (trained / RUNS).exists():
            raise ValueError(f"--learners must name a folder with {RUNS}, as scripts.kitchens writes it")
        return "trained", summarize(pd.read_csv(trained / RUNS))
    if not recorded.exists():
        return "missing", pd.DataFrame()
    headings = tables_of(read_template(_NAME))["learners"].headings
    names = {heading: field for field, heading in headings.items()}
    return "recorded", pd.read_csv(recorded).rename(columns=names)


def compute(trained: Path | None = None) -> Finding:
    """What training can tell of goals, exactly; and learners from training and deployed."""
    source, summary = load(trained)
    apart, counted = tell_apart(), count_goals()
    tables = {"apart": apart, "counted": counted}
    claims = _check_exact(apart, counted)
    numbers: dict[str, float] = {}
    if source != "missing":
        tables["learners"] = summary
        claims |= _check_learners(summary)
        numbers = {"seeds": float(summary["seeds"].max())}
    return Finding(tables, draw(summary, counted), claims, numbers, source)


def _check_exact(apart: Any, counted: Any) -> Claims:
    nats = apart["nats"].unstack()
    ranges = counted["tied_most"] - counted["tied_least"]
    fast = apart.xs("deployed", level="place")["episodes"].astype(float)
    return {
        "never_told": (nats["training"] == 0).all() and fast.max() < 2,
        "ties": counted["tied_most"]["CrumbVacuuming"] == 0 and ranges.drop("CrumbVacuuming").min() > 0,
        "half_are_perfect": (counted["perfect"] - 50).abs().max() < 0.01,
        "few_stay_best": (counted["also_deployed"] < 80).all() and (counted["worst"] <= 0).all(),
    }


def _check_learners(summary: pd.DataFrame) -> Claims:
    rows = summary.set_index(["agent", "world"])
    reached, deployed = rows["reached"], rows["deployed"]
    doing, crumbs, tables = ["dqn", "ppo"], "CrumbVacuuming", "TableSetting"
    return {
        "all_reach": reached.loc[list(_LEARNERS)].min() >= 0.98,
        "doers_keep": min(deployed[agent, crumbs] for agent in doing) > 3.5,
        "planner_breaks": deployed["reward", crumbs] < 0.5 and deployed["proxy planner", crumbs] < 0.5,
        "places_fail": max(deployed[agent, tables] for agent in _LEARNERS) < 0.5,
        "setting_can_be_done": deployed["base planner", tables] > 1.9,
    }


def draw(summary: pd.DataFrame, counted: pd.DataFrame) -> Figure:
    """Deployed returns with their intervals as shares of the best; and goals that perfect training allows."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    deployed, allowed = figure.subplots(1, 2, width_ratios=(2, 1))
    worlds = list(WORLDS)
    for place, agent in enumerate((*_PLANNERS, *_LEARNERS) if len(summary) else ()):
        rows = summary[summary["agent"] == agent].set_index("world").reindex(worlds)
        at = np.arange(len(worlds)) + 0.16 * (place - 2)
        share, half = rows["deployed"] / rows["best"], rows["half"] / rows["best"]
        deployed.errorbar(at, share, yerr=half, fmt="o", capsize=3, label=agent)
    deployed.axhline(1, color="0.5", linestyle=":")
    deployed.set(xticks=range(len(worlds)), xticklabels=worlds, ylabel="deployed return, share of the best")
    if len(summary):
        figure.legend(*deployed.get_legend_handles_labels(), loc="outside lower left", ncols=5)
    marks = {"perfect": ("o", "perfect in training"), "also_deployed": ("x", "of these, best deployed")}
    for column, (mark, label) in marks.items():
        allowed.plot(counted.index, counted[column], mark, label=label)
    allowed.set(ylabel="goals, % of directions", ylim=(0, 100))
    allowed.tick_params(axis="x", rotation=15)
    allowed.legend(fontsize="small")
    for axes in (deployed, allowed):
        axes.grid(alpha=0.3)
    return figure
