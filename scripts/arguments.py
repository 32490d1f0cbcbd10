"""Arguments that the commands share, and how commands start and fail."""

import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro

from agents.limits import build_bounded_game
from mesa_env.agent import Agent
from mesa_env.rules.rules import Rules
from scripts.output import ending_without_traceback, refuse

ArgumentsT = TypeVar("ArgumentsT")


@dataclass(frozen=True)
class GameArguments:
    """A game by its parameters; those that are not given have the game's own defaults."""

    rules: Literal[
        "DeceptiveAlignment",
        "InfiniteHorizon",
        "Misconception",
        "LearnableDiscount",
        "HiddenDeployment",
        "Decoupling",
    ] = "DeceptiveAlignment"
    """Which game: the base game, or one of its variants."""
    train: int | None = None
    """Training episodes; a game has at most 100 000 episodes in all."""
    deploy: int | None = None
    """Deployment episodes, after training; 0 with --train 100 is the post's second experiment."""
    learning_rate: float | None = None
    """Learning rate in training."""
    learning_rates: tuple[float, ...] | None = None
    """One learning rate per episode, in place of the three above."""
    discount: float | tuple[float, float] | None = None
    """γ, by which each agent discounts later outputs; in LearnableDiscount, the first one, or its range."""
    regularization: float | None = None
    """λ, weight of θ² in the base loss."""
    coefficient_bound: float | None = None
    """Coefficients lie within ± this."""
    goal_bound: float | None = None
    """The base optimizer keeps goals within ± this."""
    max_episodes: int | None = None
    """InfiniteHorizon: episodes after which the game is cut short; at most 100 000."""
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

    def given(self) -> dict[str, Any]:
        """The arguments that were given, by name."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def build(self, initial_goal: tuple[float, ...]) -> Rules:
        """Build the game with θ_0 = `initial_goal`, one number or a (low, high) pair to draw it from."""
        if len(initial_goal) not in (1, 2):
            raise ValueError(f"an initial goal must be one number or two, low and high; got {initial_goal}")
        goal = initial_goal if len(initial_goal) == 2 else initial_goal[0]
        return build_bounded_game(self.given() | {"initial_goal": goal})


def agent(name: str, game: Rules, seed: int = 0) -> Agent:
    """An agent by name, or from the file of a saved model (which holds pickles: load only files you trust).

    A file that ends in .pt holds a neural policy (`agents.learning.neural`), which runs no code.
    """
    import agents

    if Path(name).suffix == ".pt":
        from agents.learning import neural

        return neural.load(name)
    if Path(name).suffix == ".zip" or "/" in name:
        return agents.load(name)
    return agents.make(name, game, seed)


def run_command(command: Callable[[ArgumentsT], None], arguments: type[ArgumentsT]) -> None:
    """Parse the command line and run the command."""
    with ending_without_traceback():
        _refuse_empty_arguments()
        command(tyro.cli(arguments, description=sys.modules[command.__module__].__doc__))


@contextlib.contextmanager
def refusing_bad_input() -> Iterator[None]:
    """Turn an error about invalid input, before any work is done, into one line and exit code 2."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError, MemoryError) as error:
        refuse(error)


def _refuse_empty_arguments() -> None:
    """Refuse "", which `Path` would take for the working folder."""
    for before, argument in itertools.pairwise(sys.argv):
        option, equals, value = (
            argument.partition("=") if argument.startswith("--") else (before, "", argument)
        )
        if not value and (equals or not argument):
            refuse(ValueError(f"no argument may be empty; the one of {option} is"))
