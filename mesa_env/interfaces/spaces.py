"""What the interfaces share: Gymnasium spaces from a game's bounds, and checks of what users pass in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mesa_env.rules import BASE, GAMES
from mesa_env.rules.game import Array, Game


def observation_space(game: Game) -> Box:
    """Space of one agent's observation."""
    low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
    return Box(low, high, dtype=np.float32)


def action_space(game: Game) -> Box:
    """Space of one agent's action."""
    bound = game.action_bound.astype(np.float32)
    return Box(-bound, bound, dtype=np.float32)


def validated_game(game: object, rules: str = BASE) -> Game:
    """The game a user passed, or the default one of its rules for None.

    Args:
        game: What the user passed.
        rules: Name of the game's rules, one of `mesa_env.rules.GAMES`.

    Raises:
        TypeError: If it is something else.
        ValueError: If there are no such rules.
    """
    if rules not in GAMES:
        raise ValueError(f"rules must be one of {', '.join(GAMES)}; got {rules!r}")
    kind = GAMES[rules]
    if game is None:
        return kind()
    if not isinstance(game, kind):
        raise TypeError(f"game must be a mesa_env.{kind.__name__}; got {game!r}")
    return game


def name_of(game: Game) -> str:
    """Name of a game's rules, as in its environments' ids."""
    return {kind: name for name, kind in GAMES.items()}.get(type(game), BASE)


def initial_goals(options: Mapping[str, Any] | None, game: Game, batch: tuple[int, ...]) -> Array | None:
    """The goals that `reset`'s options ask the games to begin with, of the batch's shape, or None.

    Other options are ignored: PettingZoo's and Gymnasium's own tests pass arbitrary ones.

    Raises:
        ValueError: If `initial_goal` does not fit the game.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset's options must be a dict or None; got {options!r}")
    if not options or options.get("initial_goal") is None:
        return None
    goals: NDArray[Any] = np.asarray(options["initial_goal"])
    if goals.dtype.kind not in "fiu" or goals.shape not in ((), batch):
        raise ValueError(
            f"initial_goal must be one number or of shape {batch}; got {options['initial_goal']!r}"
        )
    if not (np.abs(goals) <= game.goal_bound).all():
        raise ValueError(f"initial_goal must be finite and in ±{game.goal_bound:g}; got {goals}")
    return np.broadcast_to(goals.astype(np.float64), batch)


def validated_render_mode(render_mode: str | None, metadata: Mapping[str, Any]) -> str | None:
    """The render mode, if the environment has it.

    Raises:
        ValueError: If it does not.
    """
    if render_mode is not None and render_mode not in metadata["render_modes"]:
        raise ValueError(
            f"render_mode must be None or one of {metadata['render_modes']}; got {render_mode!r}"
        )
    return render_mode
