"""What the interfaces share: Gymnasium spaces from a game's bounds, and checks of what users pass in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mesa_env.rules import BASE, GAMES
from mesa_env.rules.parameters import build_game
from mesa_env.rules.rules import Array, Discrete, Rules


def observation_space(game: Rules) -> spaces.Box:
    """Space of one agent's observation."""
    low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
    return spaces.Box(low, high, dtype=np.float32)


def action_space(game: Rules) -> spaces.Box | spaces.Discrete:
    """Space of one agent's action."""
    if isinstance(game.actions, Discrete):
        return spaces.Discrete(game.actions.count)
    bound = game.actions.bound.astype(np.float32)
    return spaces.Box(-bound, bound, dtype=np.float32)


def validated_game(game: object, rules: str = BASE) -> Rules:
    """The game that a user passed, or the default one of these rules for None.

    Args:
        game: A game, or a mapping of plain parameters (`mesa_env.rules.parameters`), which JSON can hold.
        rules: Name of the game's rules, one of `mesa_env.rules.GAMES`; the base game's name admits any game.

    Raises:
        TypeError: If it is something else.
        ValueError: If there are no such rules.
    """
    if rules not in GAMES:
        raise ValueError(f"rules must be one of {', '.join(GAMES)}; got {rules!r}")
    if game is None or isinstance(game, Mapping):
        game = build_game({"rules": rules, **(game or {})})
    if rules == BASE and isinstance(game, Rules):
        return game
    if not isinstance(game, GAMES[rules]):
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
    if not options or options.get("initial_goal") is None:
        return None
    one, shape = game.goal_shape, (*batch, *game.goal_shape)
    goals: NDArray[Any] = np.asarray(options["initial_goal"])
    if goals.dtype.kind not in "fiu" or goals.shape not in (one, shape):
        what = "one number" if one == () else f"of shape {one}"
        raise ValueError(f"initial_goal must be {what} or of shape {shape}; got {options['initial_goal']!r}")
    if not (np.abs(goals) <= game.goal_bound).all():
        raise ValueError(f"initial_goal must be finite and in ±{_shown(game.goal_bound)}; got {goals}")
    return np.broadcast_to(goals.astype(np.float64), shape)


def _shown(bound: Any) -> str:
    return f"{bound:g}" if np.ndim(bound) == 0 else str(bound)


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
