"""Gymnasium environments in which one controller plays every episode of a game."""

from __future__ import annotations

from typing import Any, Literal

from gymnasium.vector import AutoresetMode

from mesa_env.decisions import Control, ControlState
from mesa_env.interfaces import spaces
from mesa_env.interfaces.gymnasium_env import ProblemEnv, ProblemVectorEnv
from mesa_env.rules.game import Game


class ControlEnv(ProblemEnv[ControlState]):
    """XXXDOC"""

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 10}

    def __init__(
        self,
        game: Game | None = None,
        judge: Literal["initial", "current"] = "initial",
        render_mode: str | None = None,
    ) -> None:
        """Prepare a game; it begins with `reset`."""
        super().__init__(Control(spaces.validated_game(game), judge), render_mode)


class ControlVectorEnv(ProblemVectorEnv[ControlState]):
    """`ControlEnv`, many games in a batch; built by `gymnasium.make_vec`.

    Args:
        num_envs: Number of games.
        game: Their parameters.
        judge: Whose goal pays, as in `ControlEnv`.
        autoreset_mode: Gymnasium's "NextStep" (default), "SameStep" or "Disabled".
    """

    def __init__(
        self,
        num_envs: int = 1,
        game: Game | None = None,
        judge: Literal["initial", "current"] = "initial",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: None = None,
    ) -> None:
        """Prepare a batch of games; they begin with `reset`."""
        super().__init__(Control(spaces.validated_game(game), judge), num_envs, autoreset_mode)
