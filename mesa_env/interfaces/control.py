"""Gymnasium environments in which one controller plays every episode of a game."""

from collections.abc import Mapping
from typing import Any, Literal

from gymnasium.vector import AutoresetMode

from mesa_env.interfaces import spaces
from mesa_env.interfaces.gymnasium_env import ProblemEnv, ProblemVectorEnv
from mesa_env.problems import Control, ControlState
from mesa_env.rules import BASE
from mesa_env.rules.rules import Rules


class ControlEnv(ProblemEnv[ControlState]):
    """One controller plays every episode of the game, and one goal judges it.

    ## Description

    The game of `mesa_env.env` with all its turns given to a single decision maker: in episode n it sees the
    goal θ_n, chooses a coefficient c_n, and the model emits y_n = c_n θ_n; the base optimizer then takes a
    gradient step on y_n² + λθ_n² with learning rate η_n.

    This is *not* the game between successive selves. With `judge="initial"` the controller is agent 0 with
    the power to bind its successors (the commitment problem); with `judge="current"` it is indifferent to
    what becomes of its goal, and c = 1 throughout is optimal. A learner trained here solves one of these
    problems, not the game's equilibrium: for that, train by self-play (`scripts/train.py`) or against
    `mesa_env/BestResponse-v0`.

    This is the base game's description. In other games (`mesa_env.rules`) the controller has their actions,
    observations and judges, as their docstrings say.

    ## Action Space

    `Box(-coefficient_bound, coefficient_bound, (1,), float32)`: the coefficient c_n. Another shape, a value
    outside the bounds, or one that is not finite raises a ValueError, and the state is unchanged.

    ## Observation Space

    `Box((4,), float32)`: goal θ_n, learning rate η_n, share of episodes left, share of training left; as in
    `mesa_env.env`. After the last episode both shares and the learning rate are 0.

    ## Rewards

    - `judge="initial"`: −γ^n (y_n − θ_0)²; an episode's return is −J_0, agent 0's mesa cost. Where θ_0 is
      drawn, only the first observation shows it: fix it, or use a policy with memory.
    - `judge="current"`: −(y_n − θ_n)², whatever γ.

    ## Starting State

    θ_0 = `game.initial_goal`, or drawn uniformly where that is a (low, high) pair. `reset`'s options may name
    another: `env.reset(options={"initial_goal": 0.5})`.

    ## Episode End

    The environment's episode is a whole game: it terminates after the game's last episode, and the base game
    never truncates.

    ## Info

    `output`, `base_loss`, `goal` (before), `next_goal` (after the base update), `training`, and what else a
    variant's episodes produce.

    ## Arguments

    - `game`: a game such as `mesa_env.Game`, or a mapping of its plain parameters, with which the
      environment's spec is JSON; by default the post's first experiment.
    - `judge`: "initial" or "current": whose goal pays.
    - `render_mode`: "human" (a window; needs pygame), "rgb_array" or "ansi".
    - `rules`: set by the ids of the variants: which kind of game this must be.

    ```python
    import gymnasium
    import mesa_env

    env = gymnasium.make("mesa_env/DeceptiveAlignment-v0", game=mesa_env.Game(), judge="current")
    envs = gymnasium.make_vec("mesa_env/DeceptiveAlignment-v0", num_envs=4096, judge="current")
    ```

    ## Version History

    - v0: first version.
    """

    metadata: dict[str, Any] = {
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 10,
    }

    def __init__(
        self,
        game: Rules | Mapping[str, Any] | None = None,
        judge: Literal["initial", "current"] = "initial",
        render_mode: str | None = None,
        rules: str = BASE,
    ) -> None:
        """Prepare a game; `reset` begins it."""
        super().__init__(Control(spaces.validated_game(game, rules), judge), render_mode)


class ControlVectorEnv(ProblemVectorEnv[ControlState]):
    """`ControlEnv`, many games in a batch; built by `gymnasium.make_vec`.

    Args:
        num_envs: Number of games.
        game: Their parameters.
        judge: Whose goal pays, as in `ControlEnv`.
        autoreset_mode: Gymnasium's "NextStep" (default), "SameStep" or "Disabled".
        render_mode: None: a batch is not drawn.
        rules: As in `ControlEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        game: Rules | Mapping[str, Any] | None = None,
        judge: Literal["initial", "current"] = "initial",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        rules: str = BASE,
    ) -> None:
        """Prepare a batch of games; `reset` begins them."""
        problem = Control(spaces.validated_game(game, rules), judge)
        super().__init__(problem, num_envs, autoreset_mode, render_mode)
