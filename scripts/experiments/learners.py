"""Trained learners beside their oracles; where they are missing, the documentation's record of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

import agents
import mesa_env
from mesa_env import Game
from mesa_env.agent import Agent
from mesa_env.rules.infinite_horizon import with_fixed_length
from scripts.experiments.finding import Source

TRAINED = Path("runs/variants")
"""Where `make variants` saves what it trains: one run folder per learner and seed."""
RECORDED = Path("docs/results")
"""Where tables of earlier learners are kept."""
SEEDS = range(3)
COLUMNS = ("c_first", "c_last_training", "retention", "mesa_cost")
HEADINGS = {
    "agent": "agent",
    "relative_exploitability": "relative exploitability, %",
    "c_first": "c first",
    "c_last_training": "c last training",
    "c_deployment": "mean c in deployment",
    "retention": "goal retention",
    "mesa_cost": "J_0",
}
"""Headings of the tables of learners."""


class Learners:
    """The learners of one experiment.

    Attributes:
        models: Models by learner and "seed n"; empty unless all of them were found.
        source: Where measures of them come from.
    """

    def __init__(
        self,
        experiment: str,
        names: Sequence[str],
        seeds: Sequence[int] = SEEDS,
        file: str = "model.zip",
        table: str = "learners",
        load: Callable[[Path], Any] = agents.load,
    ) -> None:
        """Load the models of `names` from `TRAINED`, or look for their `table` in `RECORDED`."""
        self._experiment = experiment
        paths = {
            name: {f"seed {seed}": TRAINED / f"{name}-{seed}" / file for seed in seeds} for name in names
        }
        found = all(path.exists() for models in paths.values() for path in models.values())
        self.models: dict[str, dict[str, Any]] = {
            name: {label: load(path) for label, path in models.items()} if found else {}
            for name, models in paths.items()
        }
        recorded = self._recorded(table).exists()
        self.source: Source = "trained" if found else "recorded" if recorded else "missing"

    def table(
        self,
        measure: Callable[[], pd.DataFrame],
        headings: Mapping[str, str] = HEADINGS,
        name: str = "learners",
    ) -> pd.DataFrame:
        """The table `name`, as recorded if the learners themselves are missing, else as measured."""
        if self.source != "recorded":
            return measure()
        recorded = pd.read_csv(self._recorded(name), float_precision="round_trip")
        return recorded.rename(columns={heading: field for field, heading in headings.items()})

    def _recorded(self, table: str) -> Path:
        return RECORDED / f"{self._experiment}_{table}.csv"


def compare_with_oracle(
    game: Game,
    models: Mapping[str, Agent],
    columns: Sequence[str] = COLUMNS,
    goals: ArrayLike = (0.8, -0.4),
    oracle: Agent | None = None,
) -> pd.DataFrame:
    """Measure the oracle and trained models in `game`: one row per agent, means over its games.

    Args:
        game: The game.
        models: Models by name.
        columns: Metrics after the relative exploitability, which is in percent.
        goals: θ_0 of the games.
        oracle: What to compare with, if not the game's oracle.
    """
    contestants = {"oracle": oracle or mesa_env.oracle(game), **models}
    games = pd.DataFrame(mesa_env.compare(game, contestants, np.asarray(goals)))
    games["relative_exploitability"] *= 100
    means = games.groupby("agent", sort=False)[["relative_exploitability", *columns]].mean()
    return means.reset_index()


def summarize_gains(table: pd.DataFrame, prefix: str = "") -> dict[str, float | str]:
    """Number of seeds, and their mean and worst relative exploitability in percent; empty without learners."""
    gains = table.loc[table["agent"] != "oracle", "relative_exploitability"]
    if gains.empty:
        return {}
    return {
        f"{prefix}seeds": len(gains),
        f"{prefix}mean_gain": float(gains.mean()),
        f"{prefix}worst_gain": float(gains.max()),
    }


def draw_learners(
    axes: Axes, learner: str, game: Game, models: Mapping[str, Agent], episodes: int = 31
) -> None:
    """Draw coefficients by episode from θ_0 = 0.8: the oracle's, and those of the learners beside it."""
    for label, agent in {"oracle": mesa_env.oracle(game), **models}.items():
        coefficients = mesa_env.rollout(with_fixed_length(game), agent, 0.8).coefficients[:episodes]
        style = {"color": "0.2", "linewidth": 2.5} if label == "oracle" else {"linewidth": 1.0}
        axes.plot(coefficients, label=label, **style)
    axes.set(xlabel="episode", ylabel="coefficient c", title=f"oracle and learners ({learner})")
    axes.legend(fontsize="small")
