"""Trained learners beside their oracles; where none are named, the documentation's tables of them."""

import dataclasses
from collections.abc import Callable, Sequence
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
from mesa_env.rules.rules import Rules
from scripts.experiments.finding import Finding, Source, play
from scripts.experiments.page import read_template, tables_of

RECORDED = Path("docs/results")
"""Where the documentation keeps its tables of learners."""


Measure = Callable[[], pd.DataFrame]


class Contest(NamedTuple):
    """A game that a learner plays beside an oracle, and what tables call it."""

    learner: str
    game: Rules
    label: str = ""
    oracle: Callable[[Any], Agent] = mesa_env.oracle


class Learners:
    """The learners of one experiment.

    Attributes:
        models: Models by learner and "seed n"; empty if no folder of them is named.
        source: Where measures of them come from.
    """

    def __init__(
        self,
        experiment: str,
        trained: Path | None,
        *contests: Contest,
        columns: Sequence[str] = ("c_first", "c_last_training", "retention", "mesa_cost"),
        goals: ArrayLike = (0.8, -0.4),
        by: str = "game",
        seeds: int = 3,
        file: str = "model.zip",
        table: str = "learners",
        load: Callable[[Path], Any] = agents.load,
    ) -> None:
        """Load the models from `trained`, or look for their `table` in `RECORDED`.

        `trained` has one run folder per learner and seed, as `make variants` writes them. Models may be
        pickles, which run code when they are loaded: nothing is loaded but from a folder that a user names.
        `columns` are shown, of games from all `goals`, and contests' labels in the column `by`. The first
        contest of a learner is the one that it was trained for.

        Raises:
            ValueError: If a folder is named in which a model is missing or damaged.
        """
        self._experiment, self._contests, self._by = experiment, contests, by
        self._columns, self._goals = ["relative_exploitability", *columns], np.asarray(goals)
        names = dict.fromkeys(contest.learner for contest in contests)
        self.models: dict[str, dict[str, Any]] = {
            name: {f"seed {seed}": load(trained / f"{name}-{seed}" / file) for seed in range(seeds)}
            if trained
            else {}
            for name in names
        }
        recorded = (RECORDED / f"{experiment}_{table}.csv").exists()
        self.source: Source = "trained" if trained else "recorded" if recorded else "missing"

    def table(self, measure: Measure | None = None, name: str = "learners") -> pd.DataFrame:
        """The table `name`: as recorded where the learners are missing, else as measured."""
        if self.source != "recorded":
            return (measure or self.measure)()
        headings = tables_of(read_template(self._experiment))[name].headings
        recorded = pd.read_csv(RECORDED / f"{self._experiment}_{name}.csv")
        return recorded.rename(columns={heading: field for field, heading in headings.items()})

    def measure(self) -> pd.DataFrame:
        """Measure oracles and models in all contests: one row per agent, means over games, gains in %."""
        tables = []
        for learner, game, label, oracle in self._contests:
            contestants = {"oracle": oracle(game), **self.models[learner]}
            games = pd.DataFrame(mesa_env.compare(game, contestants, self._goals))
            games["relative_exploitability"] *= 100
            means = games.groupby("agent", sort=False)[self._columns].mean()
            tables.append(means.reset_index().assign(**{self._by: label}))
        return pd.concat(tables, ignore_index=True)

    def complete(self, found: Finding, table: pd.DataFrame | None = None) -> Finding:
        """Add the learners' table, their source, and per learner its seeds, and its mean and worst gain."""
        table = self.table() if table is None else table
        numbers = dict(found.numbers)
        for learner, _, label, _ in reversed(self._contests):
            rows = table[table[self._by] == label] if label else table
            gains = rows.loc[rows["agent"] != "oracle", "relative_exploitability"]
            if len(gains):
                summary = {"seeds": len(gains), "mean": float(gains.mean()), "worst": float(gains.max())}
                numbers |= {f"{learner}_{name}": value for name, value in summary.items()}
        tables = {**found.tables, "learners": table}
        return dataclasses.replace(found, tables=tables, numbers=numbers, learners=self.source)

    def draw(self, axes: Axes, learner: str) -> None:
        """Draw coefficients by episode from θ_0 = 0.8: the oracle's, and the learners' beside it."""
        game = next(contest.game for contest in self._contests if contest.learner == learner)
        for label, agent in {"oracle": mesa_env.oracle(game), **self.models[learner]}.items():
            coefficients = play(with_fixed_length(game), agent).coefficients[:31]
            style = {"color": "0.2", "linewidth": 2.5} if label == "oracle" else {"linewidth": 1.0}
            axes.plot(coefficients, label=label, **style)
        axes.set(xlabel="episode", ylabel="coefficient c", title=f"oracle and learners ({learner})")
        axes.legend(fontsize="small")
