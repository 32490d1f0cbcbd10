"""What the commands' arguments share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

import agents
from agents.learning import neural
from mesa_env import GAMES, Game, InfiniteHorizon, train_then_deploy
from mesa_env.agent import Agent
from mesa_env.rules import BASE
from mesa_env.rules.game import Array

ArgumentsT = TypeVar("ArgumentsT")


@dataclass(frozen=True)
class GameArguments:
    """A game by its numbers; what is not given is as the game's own defaults have it."""

    rules: Literal[tuple(GAMES)] = BASE  # type: ignore[valid-type]
    """Which game: the base game, or one of its variants."""
    train: int | None = None
    """Training episodes."""
    deploy: int | None = None
    """Deployment episodes, after training; 0 with --train 100 is the post's second experiment."""
    learning_rate: float | None = None
    """Learning rate in training."""
    learning_rates: tuple[float, ...] | None = None
    """A schedule of its own, one learning rate an episode, in place of the three above."""
    discount: float | tuple[float, float] | None = None
    """γ, by which each agent discounts later outputs; in LearnableDiscount, the first one, or its range."""
    regularization: float | None = None
    """λ, weight of θ² in the base loss."""
    coefficient_bound: float | None = None
    """Coefficients lie within ± this."""
    goal_bound: float | None = None
    """The base optimizer keeps goals within ± this."""
    max_episodes: int | None = None
    """InfiniteHorizon: episodes after which the game is cut short."""
    belief_learning_rate: float | None = None
    """Misconception: ρ, the belief's learning rate as a multiple of the goal's."""
    initial_belief: float | tuple[float, float] | None = None
    """Misconception: b_0, or its range."""
    discount_learning_rate: float | None = None
    """LearnableDiscount: κ, the discount's learning rate as a multiple of the goal's."""
    hazard: float | None = None
    """HiddenDeployment: probability that training ends, after each episode."""
    shift: float | None = None
    """HiddenDeployment: δ, by how much the signal's mean is higher in training."""
    observed: Literal["belief", "signal"] | None = None
    """HiddenDeployment: what agents see of the mode."""
    decoupling: float | None = None
    """Decoupling: δ, by how much the slope may differ from the coefficient."""

    def build(self, initial_goal: tuple[float, ...]) -> Game:
        """The game with θ_0 = `initial_goal`, one number or a (low, high) pair to draw it from.

        Raises:
            ValueError: If a parameter is out of its range, or none of this game's.
        """
        if len(initial_goal) not in (1, 2):
            raise ValueError(f"an initial goal must be one number or two, low and high; got {initial_goal}")
        kind = GAMES[self.rules]
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        schedule = [given.pop(name, None) for name in ("train", "deploy", "learning_rate")]
        if "learning_rates" not in given and any(value is not None for value in schedule):
            given["learning_rates"] = _schedule(kind(), *schedule)
        del given["rules"]
        parameters = [parameter.name for parameter in dataclasses.fields(kind)]
        strangers = [name for name in given if name not in parameters]
        if strangers:
            raise ValueError(
                f"{strangers[0]} is no parameter of {self.rules}, whose are {', '.join(parameters)}"
            )
        goal = initial_goal[0] if len(initial_goal) == 1 else (initial_goal[0], initial_goal[1])
        return kind(**given, initial_goal=goal)


def _schedule(default: Game, train: int | None, deploy: int | None, rate: float | None) -> Array:
    """The default game's schedule with other numbers; what never ends need be named but once."""
    training = default.training
    if deploy is None:
        deploy = 1 if isinstance(default, InfiniteHorizon) else int((~training).sum())
    return train_then_deploy(
        int(training.sum()) if train is None else train,
        deploy,
        float(default.learning_rates.max()) if rate is None else rate,
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

    A file that ends in .pt is a neural policy's (`agents.learning.neural`), which runs nothing.

    Raises:
        ValueError: If there is no such agent or file.
    """
    if Path(name).suffix == ".pt":
        return neural.load(name)
    if Path(name).suffix == ".zip" or "/" in name:
        return agents.load(name)
    return agents.make(name, game, seed)


def check_arguments(arguments: Any, free: Sequence[str] = ("out", "resume")) -> None:
    """Refuse arguments other than those that the run in `arguments.out` began with.

    Args:
        arguments: A command's arguments.
        free: Which of them may be others.

    Raises:
        ValueError: If another one is, or the folder does not tell.
    """
    recorded = arguments.out / "config.json"
    try:
        began = json.loads(recorded.read_text())
    except (OSError, ValueError):
        began = None
    if not isinstance(began, dict):
        raise ValueError(f"{recorded} must hold the arguments of the run beside it; it does not")
    asked: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(arguments), default=str))
    other = [name for name in asked if name not in free and asked[name] != began.get(name)]
    if other:
        raise ValueError(
            f"the run in {arguments.out} began with other arguments; {other[0]} was {began.get(other[0])} "
            f"and is {asked[other[0]]} now"
        )


def run(command: Callable[[ArgumentsT], None], arguments: type[ArgumentsT]) -> None:
    """Parse the command line and run the command; Ctrl-C or a full disk ends it without a traceback."""
    try:
        command(tyro.cli(arguments, description=sys.modules[command.__module__].__doc__))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
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
