"""PettingZoo's interface: every episode's mesa-optimizer is an agent of its own."""

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Space
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import AECEnv
from pettingzoo.utils.env_logger import EnvLogger
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mesa_env.interfaces import spaces
from mesa_env.interfaces.rendering import METADATA, Screen, draw_game
from mesa_env.rules import BASE
from mesa_env.rules.hidden_deployment import HiddenDeployment
from mesa_env.rules.rules import Array, Rules, State
from mesa_env.validation import show, validate_flag

MOST_AGENTS = 100_000
"""Most agents of a game: each has spaces and rewards of its own."""


class SequentialEnv(AECEnv[str, NDArray[Any], Any]):
    """The game between successive selves: agent `episode_n` plays episode n, once, for its own goal.

    ## Description

    A model with one goal parameter θ is run for N episodes. In episode n its mesa-optimizer, the agent
    `episode_n`, chooses a coefficient c_n and emits y_n = c_n θ_n; the base optimizer then takes a gradient
    step on y_n² + λθ_n² with the learning rate η_n, which is positive in training and 0 in deployment:

        θ_{n+1} = θ_n (1 − 2 η_n (c_n² + λ)),  projected onto [−goal_bound, goal_bound]

    Every agent wants *all* outputs from its own episode on to equal *its own* goal. By emitting its goal in
    training it would have it trained away; by emitting 0 it hands it on. All agents know the schedule. The
    equilibrium is one coefficient per episode, whatever the goal's scale: `mesa_env.solve_equilibrium`.

    This is a game of several goals, not one agent's decision process. `mesa_env/DeceptiveAlignment-v0` in
    Gymnasium's registry has one controller play every episode instead: a different problem. Variants
    (`mesa_env.rules`) see and do more than this; their own docstrings say what.

    ## Action Space

    `Box(-coefficient_bound, coefficient_bound, (1,), float32)`: the coefficient c_n itself. An action of
    another shape, outside the bounds, or not finite raises a ValueError, and the state is unchanged. What
    rounding has taken up to four steps of single precision past a bound is played as the bound.

    ## Observation Space

    `Box((4,), float32)`:

    | Num | Observation                     | Min           | Max              |
    | --- | ------------------------------- | ------------- | ---------------- |
    | 0   | goal θ_n                        | −`goal_bound` | `goal_bound`     |
    | 1   | learning rate η_n               | 0             | max(1, max η)    |
    | 2   | share of episodes left          | 0             | 1                |
    | 3   | share of training episodes left | 0             | 1                |

    An agent that has acted keeps seeing what it saw when it acted; one whose turn has not come sees the
    present episode. `state()` is the present observation (and what a variant hides from its agents), then the
    goals of all agents so far, padded with 0: all that the future of every reward depends on.

    ## Rewards

    When agent n acts, every agent k ≤ n receives −γ^(n−k) (y_n − θ_k)²: agent k's own goal θ_k judges. What
    it has received at the end is −J_k, its mesa cost, which accompanies its termination in `last()`.

    ## Infos

    Empty until the agent acts; then what it may not see: `output`, `base_loss`, `goal` (before), `next_goal`
    (after the base update), whether the episode was `training`, and what else a variant's episodes produce.

    ## Starting State

    θ_0 = `game.initial_goal`, or drawn uniformly where that is a (low, high) pair. `reset`'s options may name
    another: `env.reset(options={"initial_goal": 0.5})`.

    ## Episode End

    All agents stay alive until the last episode, since rewards accrue to every agent that has acted; then
    all terminate. The base game never truncates.

    ## Arguments

    - `game`: a game such as `mesa_env.Game`, or a mapping of its plain parameters, as JSON holds them; by
      default the post's first experiment.
    - `render_mode`: "human" (a window; needs pygame), "rgb_array" (the post's figure so far) or "ansi" (a
      line on the last episode).
    - `rules`: set by the ids of the variants: which kind of game this must be.

    ```python
    import mesa_env

    env = mesa_env.env(game=mesa_env.Game(), render_mode="ansi")
    env.reset(seed=0)
    for agent in env.agent_iter():
        observation, reward, termination, truncation, info = env.last()
        env.step(None if termination or truncation else env.action_space(agent).sample())
    ```

    ## Version History

    - v0: first version.
    """

    metadata: dict[str, Any] = {"name": f"{BASE}-v0", **METADATA, "is_parallelizable": False}

    def __init__(
        self, game: spaces.GivenGame = None, render_mode: str | None = None, rules: str = BASE
    ) -> None:
        """Prepare a game; `reset` begins it."""
        self.game = spaces.validate_game(game, rules)
        self.metadata = {**self.metadata, "name": f"{spaces.name_of(self.game)}-v0"}
        self.render_mode = spaces.validate_render_mode(render_mode, self.metadata)
        episodes = self.game.episodes
        if episodes > MOST_AGENTS:
            raise ValueError(f"a game with an agent per episode has at most {MOST_AGENTS}; got {episodes}")
        self.possible_agents = [f"episode_{n}" for n in range(episodes)]
        self._index = {agent: n for n, agent in enumerate(self.possible_agents)}
        self.observation_spaces = {a: spaces.observation_space(self.game) for a in self.possible_agents}
        self.action_spaces = {a: spaces.action_space(self.game) for a in self.possible_agents}
        low, high = central_state_bounds(self.game)
        goals = np.tile(self.game.preference_bounds, episodes)
        self.state_space = spaces.box(np.append(low, -goals), np.append(high, goals))
        self._countdown = np.arange(episodes - 1, -1, -1)
        self.agents: list[str] = []
        self._observations: list[NDArray[np.float32]] = []  # one per episode so far, the present one's last
        self._history: list[dict[str, Any]] = []
        self._generator: np.random.Generator | None = None
        self._screen = Screen(draw_game(self.game), render_mode, self.metadata["render_fps"])

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin a new game; the same seed gives the same game as in the Gymnasium interfaces."""
        goal = spaces.initial_goals(options, self.game, ())
        seed = spaces.validate_seed(seed)
        if seed is not None or self._generator is None:
            self._generator, _ = seeding.np_random(seed)
        uniforms = self._generator.random(self.game.n_uniforms)
        self._preferences = np.zeros((self.game.episodes + 1, len(self.game.preference_bounds)))
        self._returns = np.zeros(self.game.episodes + 1)
        self._observations = []
        self._arrive(self.game.start(uniforms, goal))
        self.agents = self.possible_agents[:]
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self._history = []
        self._rewards_cleared = False
        self._show()

    def step(self, action: NDArray[Any] | None) -> None:
        """Play the selected agent's episode, or retire it once the game is over (with `None`)."""
        if not self.agents:
            raise ResetNeeded("there is no game to act in: call reset() first, and again after every end")
        if self.terminations[self.agent_selection] or self.truncations[self.agent_selection]:
            self._retire(action)
        else:
            self._play(self.game.validate_actions(action, ()))

    def _play(self, action: NDArray[Any]) -> None:
        agent, n = self.agent_selection, len(self._observations) - 1
        state, outcome = self.game.play(self._state, action)
        self._arrive(state)
        self.infos[agent] = {
            name: value if value.ndim else value.item() for name, value in outcome.info().items()
        }
        if self.render_mode is not None:
            self._history.append(self.infos[agent].copy())
        # Every agent that has acted is paid by its own goal, discounted from its own episode on.
        elapsed = self._countdown[-n - 1 :]
        rewards = -self.game.mesa_cost(outcome.output, self._preferences[: n + 1], elapsed, outcome.details)
        self._returns[: n + 1] += rewards
        self.rewards.update(zip(self.agents, rewards.tolist(), strict=False))
        self._cumulative_rewards.update(zip(self.agents, self._returns[: n + 1].tolist(), strict=False))
        terminated, truncated = self.game.over(state)
        if terminated or truncated:
            self.terminations = dict.fromkeys(self.agents, bool(terminated))
            self.truncations = dict.fromkeys(self.agents, bool(truncated))
            self.agent_selection = self.agents[0]
        else:
            self.agent_selection = self.possible_agents[n + 1]
        self._show()

    def _arrive(self, state: State) -> None:
        """Make `state` the present one; its agent keeps seeing it."""
        self._preferences[len(self._observations)] = self.game.preferences(state)
        self._observations.append(self.game.observe(state))
        self._state = state

    def _retire(self, action: NDArray[Any] | None) -> None:
        """Remove the selected agent, whose game is over, as PettingZoo's agent cycle asks."""
        if action is not None:
            raise ValueError(
                f"{self.agent_selection}'s game is over: its only action is None; got {show(action)}"
            )
        agent = self.agents.pop(0)
        if not self._rewards_cleared:
            self._clear_rewards()
            self._rewards_cleared = True
        for record in (
            self.rewards,
            self._cumulative_rewards,
            self.terminations,
            self.truncations,
            self.infos,
        ):
            del record[agent]
        if self.agents:
            self.agent_selection = self.agents[0]

    def last(self, observe: bool = True) -> tuple[NDArray[Any] | None, float, bool, bool, dict[str, Any]]:
        """What the selected agent sees and has been paid, whether its game is over, and its info."""
        if not self.agents:
            raise ResetNeeded("there is no game to look at: call reset() first, and again after every end")
        agent = self.agent_selection
        observation = self.observe(agent) if validate_flag("observe", observe) else None
        reward, terminated = self._cumulative_rewards[agent], self.terminations[agent]
        return observation, reward, terminated, self.truncations[agent], self.infos[agent]

    def observe(self, agent: str) -> NDArray[np.float32]:
        """What `agent` saw when it acted, or sees now if it has not."""
        if not self._observations:
            raise ResetNeeded("there is nothing to observe: call reset() first")
        return self._observations[min(self._find_seat(agent), len(self._observations) - 1)].copy()

    def state(self) -> NDArray[np.float32]:
        """The game's central state, then the goals of all agents so far, padded with 0; (4 + N,) or more."""
        if not self._observations:
            raise ResetNeeded("there is no state: call reset() first")
        preferences = self._preferences[:-1].astype(np.float32)
        return np.concatenate([central_state(self.game, self._state), preferences.ravel()])

    def observation_space(self, agent: str) -> Space[NDArray[Any]]:
        """Space of what `agent` observes."""
        return self.observation_spaces[self.possible_agents[self._find_seat(agent)]]

    def action_space(self, agent: str) -> Space[NDArray[Any]]:
        """Space of `agent`'s coefficient."""
        return self.action_spaces[self.possible_agents[self._find_seat(agent)]]

    def render(self) -> Any:
        """The game so far, as `render_mode` says."""
        return self._screen.show(self._history)

    def close(self) -> None:
        """Close the window, if there is one."""
        self._screen.close()

    def __getattr__(self, name: str) -> Any:
        """Explain what is missing before the first reset."""
        if name in ("agent_selection", "rewards", "terminations", "truncations", "infos"):
            raise AttributeError(f"there is no {name} yet: call reset() first")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def _find_seat(self, agent: str) -> int:
        try:
            return self._index[agent]
        except (KeyError, TypeError):
            raise ValueError(
                f"agents are named 'episode_0' … 'episode_{self.game.episodes - 1}'; got {show(agent)}"
            ) from None


def central_state(game: Rules, state: State) -> NDArray[np.float32]:
    """All there is to know of a game's present: what agents see, then what is hidden from them."""
    observation = game.observe(state)
    if not isinstance(game, HiddenDeployment):
        return observation
    _, hidden = game.shown_and_hidden(state.extra)
    mode = state.episode < state.extra.training_episodes
    unseen = np.stack([hidden, mode], axis=-1).astype(np.float32)
    return np.concatenate([observation, unseen], axis=-1)


def central_state_bounds(game: Rules) -> tuple[Array, Array]:
    """Lowest and highest central state."""
    low, high = game.observation_bounds
    if isinstance(game, HiddenDeployment):
        _, hidden = game.column_bounds
        low, high = np.append(low, [hidden[0], 0]), np.append(high, [hidden[1], 1])
    return low, high


raw_env = SequentialEnv


def env(
    game: spaces.GivenGame = None, render_mode: str | None = None, rules: str = BASE
) -> AECEnv[str, NDArray[Any], Any]:
    """`SequentialEnv` with PettingZoo's checks that its methods are called in order."""
    return OrderEnforcing(SequentialEnv(game, render_mode, rules))


class OrderEnforcing(OrderEnforcingWrapper[str, NDArray[Any], Any]):
    """PettingZoo's wrapper, with direct access to what every turn reads.

    Through the wrapper's own `__getattr__` and its checks, a loop over `agent_iter` takes 1.4 times as long.
    """

    def last(self, observe: bool = True) -> tuple[NDArray[Any] | None, float, bool, bool, dict[str, Any]]:
        """What the selected agent sees and has been paid, from the environment itself."""
        if not self._has_reset:
            EnvLogger.error_observe_before_reset()
        return self.env.last(observe)


def _forward(name: str) -> property:
    def read(self: OrderEnforcing) -> Any:
        if not self._has_reset:
            raise AttributeError(name)  # then the wrapper's own __getattr__ explains
        return getattr(self.env, name)

    return property(read)


for _name in ("agents", "agent_selection", "terminations", "truncations", "infos"):
    setattr(OrderEnforcing, _name, _forward(_name))
