"""Regenerate the post's experiments: figures, and its published numbers beside the grid's and exact ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

import agents
from agents.rollout import Trajectory
from mesa_env import Game, train_then_deploy
from scripts import figures, tables
from scripts.arguments import refusing_bad_input, run
from scripts.run_folder import RunFolder


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/reproduce.py."""

    names: tuple[Literal["one", "two"], ...] = ("one", "two")
    """Experiments to regenerate."""
    out: Path = Path("runs/reproduce")
    """Run folder; earlier results in it are replaced."""


@dataclass(frozen=True)
class Experiment:
    """One of the post's experiments.

    Attributes:
        game: Its game.
        published: What the post states, by what it is of the played game.
    """

    game: Game
    published: dict[str, tuple[float, Callable[[Trajectory], float]]]


def _first_goal(played: Trajectory) -> float:
    return float(played.goals[0])


def _first_coefficient(played: Trajectory) -> float:
    return float(played.coefficients[0])


def _last_goal(played: Trajectory) -> float:
    return float(abs(played.goals[-2]))


EXPERIMENTS = {
    "one": Experiment(
        Game(train_then_deploy(20, 80)),
        published={"θ_0": (0.8, _first_goal), "starting coefficient": (0.03, _first_coefficient)},
    ),
    "two": Experiment(
        Game(train_then_deploy(100, 0)),
        published={
            "θ_0": (0.8, _first_goal),
            "starting coefficient": (0.05, _first_coefficient),
            "final |θ|": (0.08, _last_goal),
        },
    ),
}


def main(arguments: Arguments) -> None:
    """Solve, compare with the post, print the table, and draw the figures."""
    with refusing_bad_input():
        folder = RunFolder(arguments.out)
    rows = []
    for name in arguments.names:
        experiment = EXPERIMENTS[name]
        game = experiment.game
        played = {
            oracle: agents.rollout(game, agents.make(oracle, game), 0.8) for oracle in ("grid", "equilibrium")
        }
        for quantity, (published, of) in experiment.published.items():
            grid, exact = of(played["grid"]), of(played["equilibrium"])
            rows.append((name, quantity, published, grid, exact))
        folder.figure(f"experiment_{name}.png", figures.side_by_side(game, played))
    table = pd.DataFrame(rows, columns=["experiment", "quantity", "published", "grid", "exact"])
    folder.record("reproduce", arguments)
    folder.table("experiments.csv", table)
    tables.show(table, "The post's experiments")
    print(f"run folder: {arguments.out}")


if __name__ == "__main__":
    run(main, Arguments)
