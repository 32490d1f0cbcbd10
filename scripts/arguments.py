"""Arguments that the commands share, and how commands start and fail."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import tyro

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
