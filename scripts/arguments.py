"""Arguments that the commands share, and how commands start and fail."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import tyro
from gymnasium.spaces import Box

from mesa_env.agent import Agent
from mesa_env.rules import Rules
from scripts.output import ending_without_traceback, refuse

ArgumentsT = TypeVar("ArgumentsT")


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


def load_player(name: str, game: Rules, seed: int) -> Agent:
    """An agent by name or file, if it can play `game`.

    Raises:
        ValueError: If there is none, or it was made for a game with different observations or actions.
    """
    player = agent(name, game, seed)
    space = getattr(player, "observation_space", None)
    others = slice(game.goal_width + 3, None)  # beyond goal and clock
    bounds = [bound[others].astype(np.float32) for bound in game.observation_bounds]
    observation = game.observe(game.start(np.full((1, game.n_uniforms), 0.5)))
    try:
        seen = [space.low[others], space.high[others]] if isinstance(space, Box) else bounds
        if not all(map(np.array_equal, seen, bounds)):
            raise ValueError("it was trained on observations of another kind of game")
        action, _ = player.predict(observation, episode_start=np.ones(1, dtype=bool), deterministic=True)
        game.validate_actions(action, (1,))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{name} must play {type(game).__name__}; it does not: {reason}") from error
    return agent(name, game, seed)  # which has drawn nothing yet


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
