"""Gymnasium environments of one decision against given successors."""

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from mesa_env.agent import Agent
from mesa_env.interfaces.gymnasium_env import ArrayEnv, ArrayVectorEnv, ProblemEnv, ProblemVectorEnv
from mesa_env.interfaces.spaces import GivenGame, validate_game
from mesa_env.problems import BestResponse
from mesa_env.rules.rules import Array, State

Successors = Agent | Sequence[float] | Array | None
"""What plays after the deciding agent: an agent, coefficients, or the default."""


class BestResponseEnv(ProblemEnv[State], ArrayEnv):
    """One decision of one agent, its successors given: the game's best-response problem.

    ## Description

    `reset` draws an agent: its episode n uniformly from 0…N−1, its goal θ_n from the game's initial goal.
    `step` plays episode n with its action and the rest of the game with the successors. An agent that
    best-responds at every turn to successors who do the same, plays the game's equilibrium.

    This is the base game's description; with a variant as its game (`mesa_env.rules`), actions and
    observations are the variant's. Where agents mind more than the episode, it is as at the game's start.

    ## Action Space

    `Box(-coefficient_bound, coefficient_bound, (1,), float32)`: the coefficient c_n.

    ## Observation Space

    `Box((4,), float32)`: goal θ_n, learning rate η_n, share of episodes left, share of training left; as in
    `mesa_env.env`.

    ## Rewards

    −J_n, judged by the deciding agent's own goal: −Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)². It grows with θ_n² and
    with the episodes left; `info["scale"]` = θ_n² Σ_{k ≥ n} γ^(k−n), the cost of emitting 0 forever, is what
    to divide it by where agents are to be compared.

    ## Starting State

    Agent and goal are drawn as above; `reset`'s options may name the goal: `{"initial_goal": 0.5}`.

    ## Episode End

    Every step terminates: the episode of this environment is one decision.

    ## Info

    `output`, `base_loss`, `next_goal` of the agent's own episode, and `scale`.

    ## Arguments

    - `game`: as in `mesa_env.env`.
    - `successors`: what the agents after n play: coefficients of shape (N,); "equilibrium", the game's
      oracle, through `gymnasium.make`; or an agent with Stable-Baselines3's `predict`, asked
      deterministically, with which the environment's spec cannot be JSON. By default every successor plays 1.

    ```python
    import gymnasium, mesa_env

    game = mesa_env.Game()
    env = gymnasium.make("mesa_env/BestResponse-v0", game=game, successors=mesa_env.solve_equilibrium(game))
    ```

    ## Version History

    - v0: first version.
    """

    def __init__(
        self, game: GivenGame = None, successors: Successors = None, render_mode: str | None = None
    ) -> None:
        """Prepare a decision; `reset` poses it."""
        super().__init__(BestResponse(validate_game(game), successors), render_mode)


class BestResponseVectorEnv(ProblemVectorEnv[State], ArrayVectorEnv):
    """`BestResponseEnv`, `num_envs` decisions in a batch; built by `gymnasium.make_vec`.

    `autoreset_mode` is Gymnasium's "SameStep" (no step is wasted), "NextStep" or "Disabled". Gymnasium's
    vector wrappers that transform observations refuse the first.
    """

    def __init__(
        self,
        num_envs: int = 1,
        game: GivenGame = None,
        successors: Successors = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Prepare a batch of decisions; `reset` poses them."""
        super().__init__(BestResponse(validate_game(game), successors), num_envs, autoreset_mode, render_mode)
