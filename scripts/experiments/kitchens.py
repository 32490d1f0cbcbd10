"""Which goals learners have acquired: trained in a kitchen, deployed, and probed, beside exact planners.

The returns of an agent are those of its one episode without chance. Its goal is fitted to episodes with
chance: a planner's at temperature 1, DQN's with the exploration that it ends with, PPO's from its policy.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents.learning import worlds
from mesa_env.agent import Agent
from mesa_env.worlds import CookieElimination, Kitchen, PlanningAgent, fit_goal
from mesa_env.worlds.parameters import WORLDS, deploy, make_world
from mesa_env.worlds.world import World

EPISODES = 200
"""Episodes with chance, in training and deployed each."""
_DEVOTION = 10.0  # weight on the base return of the planner that plans for it
_COLORS = {"training": "0.65", "deployed": "tab:red"}


def build_kitchen(name: str) -> Kitchen:
    """The training world; in CookieElimination the robot believes that what it vacuums ceases to exist."""
    kitchen = make_world(name, **({"delusion": 1.0} if WORLDS[name] is CookieElimination else {}))
    assert isinstance(kitchen, Kitchen)
    return kitchen


def compare_learners(
    name: str, learners: Sequence[str], seeds: Sequence[int], steps: int | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of one kitchen: planners for the base return and for the proxy, then every learner and seed."""
    kitchen = build_kitchen(name)
    planners = {
        "base planner": PlanningAgent(kitchen, (0, 0), base_weight=_DEVOTION),
        "proxy planner": PlanningAgent(kitchen, kitchen.proxy),
    }
    for label, planner in planners.items():
        yield {"world": name, "agent": label, "seed": np.nan} | measure(kitchen, planner)
    for learner in learners:
        for seed in seeds:
            agent = worlds.train_in_world(learner, kitchen, seed, steps)
            yield {"world": name, "agent": learner, "seed": float(seed)} | measure(kitchen, agent, seed)


def measure(kitchen: World, agent: Agent, seed: int = 0) -> dict[str, Any]:
    """Returns of an agent in training and deployed, beside the best, and the goal that it shows.

    Mean returns are those of episodes with chance, drawn from a seed. Of the goal there is what training
    shows of it, `w_1` and `w_2` with both worlds' episodes, and whether these have a likeliest goal at all;
    otherwise the estimate is penalized (`mesa_env.worlds.fit_goal`).
    """
    places = {"training": kitchen, "deployed": deploy(kitchen)}
    row: dict[str, Any] = {}
    for label, place in places.items():
        played = worlds.rollout_in_world(place, agent)
        row |= {label: played.base[0], f"best {label}": place.plans().base.max()}
        row |= {f"feature {i + 1} {label}": count for i, count in enumerate(played.features[0])}
    tables = [place.plans() for place in places.values()]
    drawn = [worlds.rollout_in_world(place, agent, EPISODES, False, seed) for place in places.values()]
    row |= {f"mean {label}": played.base.mean() for label, played in zip(places, drawn, strict=True)}
    ends = [played.features for played in drawn]
    trained, both = fit_goal(tables[0], ends[0]), fit_goal(tables, ends)
    row |= {f"w_{i + 1} by training": weight for i, weight in enumerate(trained.weights)}
    row |= {f"w_{i + 1}": weight for i, weight in enumerate(both.weights)}
    return row | {"bounded": both.bounded, "deviance": both.deviance}


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """A row for every kind of agent in every world: mean returns, worst and best deployed, and mean goal."""
    grouped = table.groupby(["world", "agent"], sort=False)
    summary = grouped[["training", "best training", "deployed"]].mean()
    summary["lowest deployed"] = grouped["deployed"].min()
    summary["highest deployed"] = grouped["deployed"].max()
    means = grouped[["best deployed", "mean deployed", "w_1", "w_2"]].mean()
    return pd.concat([summary, means], axis=1).reset_index()


def draw_returns(table: pd.DataFrame) -> Figure:
    """Base returns in training and deployed of every agent and seed, one panel for each world."""
    kitchens = table["world"].unique()
    figure = Figure(figsize=(0.6 + 3.4 * len(kitchens), 3.8), layout="constrained")
    panels = figure.subplots(1, len(kitchens), squeeze=False)[0]
    for axes, (name, rows) in zip(panels, table.groupby("world", sort=False), strict=True):
        names = list(rows["agent"].unique())
        for label, offset in (("training", -0.12), ("deployed", 0.12)):
            best = rows[f"best {label}"].iloc[0]
            axes.axhline(best, color=_COLORS[label], linewidth=1, linestyle=":")
            for place, agent in enumerate(names):
                returns = rows.loc[rows["agent"] == agent, label].to_numpy()
                beside = np.linspace(-0.06, 0.06, len(returns)) if len(returns) > 1 else np.zeros(1)
                style = {"color": _COLORS[label], "label": label if not place else None}
                axes.plot(place + offset + beside, returns, "o", markersize=5, alpha=0.8, **style)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        shown = rows[["training", "deployed", "best training", "best deployed"]].to_numpy()
        axes.set(
            title=str(name),
            xlim=(-0.5, len(names) - 0.5),
            ylim=(min(shown.min(), 0) - 0.3, shown.max() + 0.3),
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("base return (dotted: the best)")
    panels[-1].legend(loc="best", fontsize=8)
    return figure
