"""What the interfaces share: Gymnasium spaces from a game's bounds, and checks of what users pass in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mesa_env.rules import BASE, GAMES
from mesa_env.rules.parameters import build_game
from mesa_env.rules.rules import Array, Discrete, Rules

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


def validated_game(game: object, rules: str = BASE) -> Rules:
    """The game that a user gave; `rules` names its kind in `GAMES`, and the base game's name admits any.

    Raises:
        TypeError: If it is something else.
        ValueError: If there are no such rules.
    """
    if rules not in GAMES:
        raise ValueError(f"rules must be one of {', '.join(GAMES)}; got {rules!r}")
    if game is None or isinstance(game, Mapping):
        game = build_game({"rules": rules, **(game or {})})
    if not isinstance(game, Rules if rules == BASE else GAMES[rules]):
        raise TypeError(f"game must be a mesa_env.{GAMES[rules].__name__} or its parameters; got {game!r}")
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
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset's options must be a dict or None; got {options!r}")
    given = (options or {}).get("initial_goal")
    if given is None:
        return None
    one, shape = game.goal_shape, (*batch, *game.goal_shape)
    goals: NDArray[Any] = np.asarray(given)
    if goals.dtype.kind not in "fiu" or goals.shape not in (one, shape):
        what = "one number" if one == () else f"of shape {one}"
        raise ValueError(f"initial_goal must be {what} or of shape {shape}; got {given!r}")
    if not (np.abs(goals) <= game.goal_bound).all():
        bound = f"{game.goal_bound:g}" if one == () else str(game.goal_bound)
        raise ValueError(f"initial_goal must be finite and in ±{bound}; got {goals}")
    return np.broadcast_to(goals.astype(np.float64), shape)


def validated_render_mode(render_mode: str | None, metadata: Mapping[str, Any]) -> str | None:
    """The render mode, if the environment has it.

    Raises:
        TypeError: If it has none; Stable-Baselines3 asks for "rgb_array" by itself, and takes this for a no.
        ValueError: If it has others.
    """
    known = metadata["render_modes"]
    if render_mode is not None and not known:
        raise TypeError(f"render_mode must be None, since this environment is not drawn; got {render_mode!r}")
    if render_mode is not None and render_mode not in known:
        raise ValueError(f"render_mode must be None or one of {known}; got {render_mode!r}")
    return render_mode
