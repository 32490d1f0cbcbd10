"""What the commands' arguments share."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import tyro

import agents
from mesa_env import Game, train_then_deploy
from mesa_env.decisions import Agent

ArgumentsT = TypeVar("ArgumentsT")


@dataclass(frozen=True)
class GameArguments:
    """A game by its numbers; the defaults are the post's first experiment."""

    train: int = 20
    """Training episodes."""
    deploy: int = 80
    """Deployment episodes, after training; 0 with --train 100 is the post's second experiment."""
    learning_rate: float = 1.0
    """Learning rate in training."""
    discount: float = 1.0
    """γ, by which each agent discounts later outputs."""
    regularization: float = 0.0
    """λ, weight of θ² in the base loss."""
    coefficient_bound: float = 2.0
    """Coefficients lie within ± this."""
    goal_bound: float = 10.0
    """The base optimizer keeps goals within ± this."""
    learning_rates: tuple[float, ...] = ()
    """A schedule of its own, one learning rate an episode, in place of the first three arguments."""

    def build(self, initial_goal: tuple[float, ...]) -> Game:
        """The game with θ_0 = `initial_goal`, one number or a (low, high) pair to draw it from."""
        if len(initial_goal) not in (1, 2):
            raise ValueError(f"an initial goal must be one number or two, low and high; got {initial_goal}")
        return Game(
            learning_rates=np.array(self.learning_rates)
            if self.learning_rates
            else train_then_deploy(self.train, self.deploy, self.learning_rate),
            discount=self.discount,
            regularization=self.regularization,
            coefficient_bound=self.coefficient_bound,
            goal_bound=self.goal_bound,
            initial_goal=initial_goal[0] if len(initial_goal) == 1 else (initial_goal[0], initial_goal[1]),
        )


def validated_seed(seed: int) -> int:
    """A seed that every generator takes.

    Raises:
        ValueError: If it is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be a whole number ≥ 0; got {seed}")
    return seed


def agent(name: str, game: Game, seed: int = 0) -> Agent:
    """An agent by name, or by the file of a saved model (which holds pickles: name only files you trust).

    Raises:
        ValueError: If there is no such agent or file.
    """
    if Path(name).suffix == ".zip" or "/" in name:
        return agents.load(name)
    return agents.make(name, game, seed)


def run(command: Callable[[ArgumentsT], None], arguments: type[ArgumentsT]) -> None:
    """Parse the command line and run the command; Ctrl-C ends it without a traceback."""
    try:
        command(tyro.cli(arguments, description=sys.modules[command.__module__].__doc__))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def refusing_bad_input() -> Iterator[None]:
    """Turn a ValueError at the door, before any work is done, into one line and exit code 2."""
    try:
        yield
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
