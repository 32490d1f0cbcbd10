"""How much commands and files may ask for; refused before memory is taken for it."""

from collections.abc import Mapping, Sized
from typing import Any

from mesa_env.rules.parameters import build_game
from mesa_env.rules.rules import Rules
from mesa_env.validation import validate_whole

MOST_EPISODES = 100_000
"""Episodes of a game."""
MOST_PLAYED = 10_000_000
"""Episodes that are played at once, over all games of a batch."""
MOST_TURNS = 10_000_000_000
"""Decisions of a training."""
MOST_RUNS = 100_000
"""Runs of a grid, and seeds of one of its games."""
MOST_WORKERS = 1024
"""Processes, and threads of one."""
LARGEST_SEED = 2**32 - 1
"""Largest seed that all random generators accept."""


def build_bounded_game(parameters: Mapping[str, Any]) -> Rules:
    """Build a game as `mesa_env.rules.parameters.build_game` does, if it has at most `MOST_EPISODES`.

    Raises:
        ValueError: If there is no such game or parameter, or a parameter is out of its range.
    """
    if isinstance(parameters, Mapping):
        for name in ("train", "deploy", "max_episodes"):
            if isinstance(parameters.get(name), int):
                validate_whole(name, parameters[name], 0, MOST_EPISODES)
        rates = parameters.get("learning_rates")
        if isinstance(rates, Sized) and not isinstance(rates, str):
            _validate_episodes(len(rates))
    game = build_game(parameters)
    _validate_episodes(game.episodes)
    return game


def validate_batch(games: int, game: Rules) -> None:
    """Refuse more games at once than memory is meant for."""
    most = MOST_PLAYED // game.episodes
    if games > most:
        raise ValueError(
            f"games must be at most {most} where each has {game.episodes} episodes, "
            f"{MOST_PLAYED} in all; got {games}"
        )


def _validate_episodes(episodes: int) -> None:
    if episodes > MOST_EPISODES:
        raise ValueError(f"a game must have at most {MOST_EPISODES} episodes; got {episodes}")
