"""Gymnasium environments in which one controller plays every episode of a game."""

from typing import Literal

from gymnasium.vector import AutoresetMode

from mesa_env.interfaces.gymnasium_env import ArrayEnv, ArrayVectorEnv, ProblemEnv, ProblemVectorEnv
from mesa_env.interfaces.rendering import METADATA
from mesa_env.interfaces.spaces import GivenGame, validate_game
from mesa_env.problems import Control, ControlState
from mesa_env.rules import BASE

Judge = Literal["initial", "current"]


class ControlEnv(ProblemEnv[ControlState], ArrayEnv):
    """One controller plays every episode of the game, and one goal judges it.

    ## Description

    The game of `mesa_env.env` with all its turns given to a single decision maker: in episode n it sees the
    goal θ_n and chooses c_n, the model emits y_n = c_n θ_n, and the base optimizer takes its step.

    This is *not* the game between successive selves. With `judge="initial"` the controller is agent 0 with
    the power to bind its successors (the commitment problem); with `judge="current"` it is indifferent to
    what becomes of its goal, and c = 1 throughout is optimal. A learner trained here solves one of these
    problems, not the game's equilibrium: for that, train by self-play (`scripts/train.py`) or against
    `mesa_env/BestResponse-v0`.

    This is the base game's description. In other games (`mesa_env.rules`) the controller has their actions,
    observations and judges, as their docstrings say.

    ## Action Space

    `Box(-coefficient_bound, coefficient_bound, (1,), float32)`: the coefficient c_n. Another shape, a value
    outside the bounds, or one that is not finite raises a ValueError, and the state is unchanged. What
    rounding has taken up to four steps of single precision past a bound is played as the bound.

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

    - `game`: a game such as `mesa_env.Game`, or a mapping of its plain parameters, which is what the
      environment's spec holds; by default the post's first experiment.
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

    metadata = METADATA

    def __init__(
        self,
        game: GivenGame = None,
        judge: Judge = "initial",
        render_mode: str | None = None,
        rules: str = BASE,
    ) -> None:
        """Prepare a game; `reset` begins it."""
        super().__init__(Control(validate_game(game, rules), judge), render_mode)


class ControlVectorEnv(ProblemVectorEnv[ControlState], ArrayVectorEnv):
    """`ControlEnv`, `num_envs` games in a batch that is not drawn; built by `gymnasium.make_vec`.

    `autoreset_mode` is Gymnasium's "NextStep", "SameStep" or "Disabled".
    """

    def __init__(
        self,
        num_envs: int = 1,
        game: GivenGame = None,
        judge: Judge = "initial",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        rules: str = BASE,
    ) -> None:
        """Prepare a batch of games; `reset` begins them."""
        problem = Control(validate_game(game, rules), judge)
        super().__init__(problem, num_envs, autoreset_mode, render_mode)
