"""Trained learners beside their oracles; where they are missing, the documentation's tables of them."""

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
from mesa_env.agent import Agent
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.scalar import ScalarGame
from scripts.experiments.finding import Source
from scripts.experiments.page import read_template, tables_of

TRAINED = Path("runs/variants")
"""Where `make variants` saves what it trains: one run folder per learner and seed."""
RECORDED = Path("docs/results")
"""Where the documentation keeps its tables of learners."""


class Learners:
    """The learners of one experiment.

    Attributes:
        models: Models by learner and "seed n"; empty unless all of them were found.
        source: Where measures of them come from.
    """

    def __init__(
        self,
        experiment: str,
        *names: str,
        seeds: int = 3,
        file: str = "model.zip",
        table: str = "learners",
        load: Callable[[Path], Any] = agents.load,
    ) -> None:
        """Load the models of `names` from `TRAINED`, or look for their `table` in `RECORDED`."""
        self._experiment = experiment
        paths = {name: [TRAINED / f"{name}-{seed}" / file for seed in range(seeds)] for name in names}
        found = all(path.exists() for files in paths.values() for path in files)
        self.models: dict[str, dict[str, Any]] = {
            name: {f"seed {seed}": load(path) for seed, path in enumerate(files)} if found else {}
            for name, files in paths.items()
        }
        recorded = (RECORDED / f"{experiment}_{table}.csv").exists()
        self.source: Source = "trained" if found else "recorded" if recorded else "missing"

    def table(self, measure: Callable[[], pd.DataFrame], name: str = "learners") -> pd.DataFrame:
        """The table `name`: as recorded where the learners are missing, else as measured."""
        if self.source != "recorded":
            return measure()
        headings = tables_of(read_template(self._experiment))[name].headings
        recorded = pd.read_csv(RECORDED / f"{self._experiment}_{name}.csv")
        return recorded.rename(columns={heading: field for field, heading in headings.items()})

    def draw(self, axes: Axes, name: str, game: ScalarGame, episodes: int = 31) -> None:
        """Draw coefficients by episode from θ_0 = 0.8: the oracle's, and the learners' beside it."""
        for label, agent in {"oracle": mesa_env.oracle(game), **self.models[name]}.items():
            coefficients = mesa_env.rollout(with_fixed_length(game), agent, 0.8).coefficients[:episodes]
            style = {"color": "0.2", "linewidth": 2.5} if label == "oracle" else {"linewidth": 1.0}
            axes.plot(coefficients, label=label, **style)
        axes.set(xlabel="episode", ylabel="coefficient c", title=f"oracle and learners ({name})")
        axes.legend(fontsize="small")


def measure_models(
    game: ScalarGame,
    models: Mapping[str, Agent],
    columns: Sequence[str] = ("c_first", "c_last_training", "retention", "mesa_cost"),
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


def summarize_gains(table: pd.DataFrame, learner: str) -> dict[str, float]:
    """Seeds of a learner, and their mean and worst relative exploitability in percent; empty without any."""
    gains = table.loc[table["agent"] != "oracle", "relative_exploitability"]
    if gains.empty:
        return {}
    summary = {"seeds": len(gains), "mean": float(gains.mean()), "worst": float(gains.max())}
    return {f"{learner}_{name}": value for name, value in summary.items()}
