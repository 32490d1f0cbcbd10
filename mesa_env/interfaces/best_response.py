"""Gymnasium environments of one decision against given successors."""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from mesa_env.decisions import Agent, BestResponse
from mesa_env.interfaces import spaces
from mesa_env.interfaces.gymnasium_env import ProblemEnv, ProblemVectorEnv
from mesa_env.rules.game import Array, Game, State


class BestResponseEnv(ProblemEnv[State]):
    """XXXDOC"""

    def __init__(
        self,
        game: Game | None = None,
        successors: Agent | Sequence[float] | Array | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Prepare a decision; it is posed by `reset`."""
        super().__init__(BestResponse(spaces.validated_game(game), successors), render_mode)


class BestResponseVectorEnv(ProblemVectorEnv[State]):
    """`BestResponseEnv`, many decisions in a batch; built by `gymnasium.make_vec`.

    Args:
        num_envs: Number of decisions.
        game: The game's parameters.
        successors: As in `BestResponseEnv`.
        autoreset_mode: Gymnasium's "SameStep" (default: no step is wasted), "NextStep" or "Disabled".
    """

    def __init__(
        self,
        num_envs: int = 1,
        game: Game | None = None,
        successors: Agent | Sequence[float] | Array | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: None = None,
    ) -> None:
        """Prepare a batch of decisions; they are posed by `reset`."""
        super().__init__(BestResponse(spaces.validated_game(game), successors), num_envs, autoreset_mode)
