"""A learner beside the oracle, from one initial goal: a table, a figure, and a summary on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import mesa_env
from mesa_env.validation import show_bound

if TYPE_CHECKING:
    from agents.benchmark.run_folder import RunFolder
    from mesa_env.agent import Agent
    from mesa_env.rules.rules import Rules


FILES = _TABLE, _FIGURE = "evaluation.csv", "figure.png"
"""What `compare_with_oracle` writes."""


def is_finished(out: Path) -> bool:
    """Whether a run has been evaluated, which is the last thing that it does."""
    from agents.atomic_files import read_record

    record = read_record(out) or {}
    return all(name in record and (out / name).exists() for name in FILES)


def compare_with_oracle(
    folder: RunFolder, game: Rules, name: str, learner: Agent, title: str, audited: bool = True
) -> None:
    """Play both, print the table, and write it and the figure to the run folder.

    What a learner that is not `audited` could gain is left out.
    """
    import numpy as np
    import pandas as pd

    from agents.benchmark import tables
    from scripts import figures

    contestants, goal = (
        {"equilibrium": mesa_env.oracle(game, uncertified=True), name: learner},
        game.initial_goal,
    )
    games = pd.DataFrame(mesa_env.compare(game, contestants, [goal]))
    if not audited:
        games.loc[games["agent"] == name, ["nash_conv", "relative_exploitability"]] = np.nan
    folder.table(_TABLE, games)
    played = {name: mesa_env.rollout(game, agent, goal) for name, agent in contestants.items()}
    folder.figure(_FIGURE, figures.side_by_side(game, played))
    tables.show_summary(mesa_env.summarize(games), f"{title}, from θ_0 = {show_bound(goal)}")
    print(f"run folder: {folder.path}")
