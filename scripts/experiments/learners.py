"""Trained learners beside their oracles; where they are missing, the documentation's tables of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

import agents
import mesa_env
from mesa_env.agent import Agent
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.scalar import ScalarGame
from scripts.experiments.finding import Source, play
from scripts.experiments.page import read_template, tables_of

TRAINED = Path("runs/variants")
"""Where `make variants` saves what it trains: one run folder per learner and seed."""
RECORDED = Path("docs/results")
"""Where the documentation keeps its tables of learners."""


class Contest(NamedTuple):
    """A game that a learner plays beside an oracle, and what tables call it."""

    learner: str
    game: ScalarGame
    label: str = ""
    oracle: Callable[[Any], Agent] = mesa_env.oracle


class Learners:
    """The learners of one experiment.

    Attributes:
        models: Models by learner and "seed n"; empty unless all of them were found.
        source: Where measures of them come from.
    """

    def __init__(
        self,
        experiment: str,
        *contests: Contest,
        by: str = "game",
        seeds: int = 3,
        file: str = "model.zip",
        table: str = "learners",
        load: Callable[[Path], Any] = agents.load,
    ) -> None:
        """Load the models from `TRAINED`, or look for their `table` in `RECORDED`.

        The first contest of a learner is the one that it was trained for; `by` is the column of labels.
        """
        self._experiment, self._contests, self._by = experiment, contests, by
        names = dict.fromkeys(contest.learner for contest in contests)
        paths = {name: [TRAINED / f"{name}-{seed}" / file for seed in range(seeds)] for name in names}
        found = all(path.exists() for files in paths.values() for path in files)
        self.models: dict[str, dict[str, Any]] = {
            name: {f"seed {seed}": load(path) for seed, path in enumerate(files)} if found else {}
            for name, files in paths.items()
        }
        recorded = (RECORDED / f"{experiment}_{table}.csv").exists()
        self.source: Source = "trained" if found else "recorded" if recorded else "missing"

    def table(
        self, measure: Callable[[], pd.DataFrame] | None = None, name: str = "learners"
    ) -> pd.DataFrame:
        """The table `name`: as recorded where the learners are missing, else as measured."""
        if self.source != "recorded":
            return (measure or self.measure)()
        headings = tables_of(read_template(self._experiment))[name].headings
        recorded = pd.read_csv(RECORDED / f"{self._experiment}_{name}.csv")
        return recorded.rename(columns={heading: field for field, heading in headings.items()})

    def measure(
        self,
        columns: Sequence[str] = ("c_first", "c_last_training", "retention", "mesa_cost"),
        goals: ArrayLike = (0.8, -0.4),
    ) -> pd.DataFrame:
        """Measure oracles and models in all contests: one row per agent, means over games from `goals`.

        `columns` are metrics after the relative exploitability, which is in percent.
        """
        tables = [
            measure_models(game, self.models[learner], columns, goals, oracle(game)).assign(
                **{self._by: label}
            )
            for learner, game, label, oracle in self._contests
        ]
        return pd.concat(tables, ignore_index=True)

    def gains(self, table: pd.DataFrame) -> dict[str, float]:
        """Seeds of every learner, and their mean and worst gains, in the contests that they trained for."""
        numbers: dict[str, float] = {}
        for learner, _, label, _ in reversed(self._contests):
            numbers |= summarize_gains(table[table[self._by] == label] if label else table, learner)
        return numbers

    def draw(self, axes: Axes, learner: str, episodes: int = 31) -> None:
        """Draw coefficients by episode from θ_0 = 0.8: the oracle's, and the learners' beside it."""
        game = next(contest.game for contest in self._contests if contest.learner == learner)
        for label, agent in {"oracle": mesa_env.oracle(game), **self.models[learner]}.items():
            coefficients = play(with_fixed_length(game), agent).coefficients[:episodes]
            style = {"color": "0.2", "linewidth": 2.5} if label == "oracle" else {"linewidth": 1.0}
            axes.plot(coefficients, label=label, **style)
        axes.set(xlabel="episode", ylabel="coefficient c", title=f"oracle and learners ({learner})")
        axes.legend(fontsize="small")


def measure_models(
    game: ScalarGame, models: Mapping[str, Agent], columns: Sequence[str], goals: ArrayLike, oracle: Agent
) -> pd.DataFrame:
    """Measure an oracle and trained models in `game`, from all `goals`: one row per agent."""
    games = pd.DataFrame(mesa_env.compare(game, {"oracle": oracle, **models}, np.asarray(goals)))
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
