"""What the interfaces share: Gymnasium spaces from a game's bounds, and checks of what users pass in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import Error

from mesa_env.rules import BASE, GAMES
from mesa_env.rules.parameters import build_game
from mesa_env.rules.rules import Array, Discrete, Rules
from mesa_env.validation import (
    bring_within,
    is_whole,
    numbers_of,
    show,
    show_bound,
    validate_name,
    validate_options,
)

GivenGame = Rules | Mapping[str, Any] | None
"""A game, its plain parameters (`mesa_env.rules.parameters`), or None for the default one."""


def box(low: Array, high: Array) -> spaces.Box:
    """All vectors between bounds, in single precision like everything that agents see or do."""
    return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)


def observation_space(game: Rules) -> spaces.Box:
    """Space of one agent's observation."""
    return box(*game.observation_bounds)


def action_space(game: Rules) -> spaces.Box | spaces.Discrete:
    """Space of one agent's action."""
    if isinstance(game.actions, Discrete):
        return spaces.Discrete(game.actions.count)
    return box(-game.actions.bound, game.actions.bound)


def validate_game(game: object, rules: str = BASE) -> Rules:
    """The game that a user gave; `rules` names its kind in `GAMES`, and the base game's name admits any.

    Raises:
        TypeError: If it is something else.
        ValueError: If there are no such rules.
    """
    validate_name("rules", rules, GAMES)
    if game is None or isinstance(game, Mapping):
        game = build_game({"rules": rules, **(game or {})})
    if not isinstance(game, Rules if rules == BASE else GAMES[rules]):
        raise TypeError(
            f"game must be a mesa_env.{GAMES[rules].__name__} or its parameters; got {show(game)}"
        )
    return game


def name_of(game: Rules) -> str:
    """Name of a game's rules, as in its environments' ids."""
    return next((name for name, kind in GAMES.items() if kind is type(game)), type(game).__name__)


def initial_goals(options: Mapping[str, Any] | None, game: Rules, batch: tuple[int, ...]) -> Array | None:
    """The goals that `reset`'s options ask the games to begin with, shape (*batch, *goal shape), or None.

    Other options are ignored: PettingZoo's and Gymnasium's own tests pass arbitrary ones.

    Raises:
        ValueError: If `initial_goal` does not fit the game.
    """
    given = validate_options(options).get("initial_goal")
    if given is None:
        return None
    one, shape = game.goal_shape, (*batch, *game.goal_shape)
    goals = numbers_of(given)
    if goals is None or goals.shape not in (one, shape):
        what = ("one number" if one == () else f"of shape {one}") + (f" or of shape {shape}" if batch else "")
        raise ValueError(f"initial_goal must be {what}; got {show(given)}")
    inside = bring_within(goals, game.goal_bound)
    if inside is None:
        bound = show_bound(game.goal_bound)
        raise ValueError(f"initial_goal must be finite and in ±{bound}; got {show(given)}")
    return np.broadcast_to(inside, shape)


class SeedError(Error, ValueError):
    """Gymnasium's error for seeds that are not whole numbers ≥ 0, and Python's for bad values."""


def validate_seed(seed: Any) -> int | None:
    """A seed as a Python integer, or None; NumPy's integers are seeds as well.

    Raises:
        SeedError: If it is something else.
    """
    if seed is None:
        return None
    if not (is_whole(seed) and seed >= 0):
        raise SeedError(f"Seed must be a whole number ≥ 0 or None; got {show(seed)}")
    return int(seed)


def validate_render_mode(render_mode: str | None, metadata: Mapping[str, Any]) -> str | None:
    """The render mode, if the environment has it.

    Raises:
        TypeError: If it has none; Stable-Baselines3 asks for "rgb_array" by itself, and takes this for a no.
        ValueError: If it has others.
    """
    known = metadata["render_modes"]
    if render_mode is not None and not known:
        raise TypeError(
            f"render_mode must be None, since this environment is not drawn; got {show(render_mode)}"
        )
    if render_mode is not None and not (isinstance(render_mode, str) and render_mode in known):
        raise ValueError(f"render_mode must be None or one of {known}; got {show(render_mode)}")
    return render_mode
