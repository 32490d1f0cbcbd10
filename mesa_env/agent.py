"""What an agent is, and the base of agents that know their game.

An agent is anything with Stable-Baselines3's `predict`, so that a trained model and an oracle can stand in
for each other.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mesa_env.rules.rules import Array, Discrete, Rules
from mesa_env.validation import flags_of, numbers_of, require_kind, show, validate_flag

Observation = NDArray[np.float32]


@runtime_checkable
class Agent(Protocol):
    """Anything with Stable-Baselines3's `predict`: an SB3 model, an oracle, a reference agent."""

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.floating[Any]], Any]:
        """Actions for a batch of observations, and the next recurrent state."""
        ...


def validate_agent(agent: object) -> Agent:
    """The agent, if it is one; a TypeError otherwise."""
    if not isinstance(agent, Agent) or isinstance(agent, type):
        raise TypeError(f"an agent must have predict, as Stable-Baselines3's models have; got {show(agent)}")
    return agent


def ask_agent(
    agent: Agent,
    observation: Observation,
    state: Any = None,
    episode_start: NDArray[np.bool_] | None = None,
    deterministic: bool = True,
) -> tuple[Any, Any]:
    """What an agent's `predict` returns: actions, which are yet to be checked, and the next memory.

    Raises:
        TypeError: If it returns something else than a pair.
    """
    answer = agent.predict(observation, state=state, episode_start=episode_start, deterministic=deterministic)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise TypeError(f"predict must return (actions, state); got {show(answer)}")
    return answer


class Certificate(NamedTuple):
    """The most that an agent could gain by leaving the path of an oracle, deviations played by the rules."""

    gain: float  # as a share of the cost of emitting 0 forever, or of plans at random forever
    episode: int  # whose agent it is
    initial_goal: float | tuple[float, ...]  # θ_0 of the path


class GameAgent(ABC):
    """An agent that knows its game, reads the clock from its observation, and may keep a memory per row.

    The memory is what `predict` returns as `state` and expects back, as with Stable-Baselines3's recurrent
    policies. It is reset in every row where a game begins.

    Attributes:
        certificate: What was found that agents could gain by leaving an oracle's path; None for other agents.
    """

    certificate: Certificate | None = None

    def __init__(self, game: Rules) -> None:
        """Bind to `game`."""
        self.game = game

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions, (A,) or (B, A), for what the game's `observe` shows, (W,) or (B, W), and the next memory.

        Actions that are choices have shape () or (B,).

        `state` is the memory from the previous call on the same games. New games begin in their first episode
        and where `episode_start`, shape (B,), says. `deterministic` is accepted for compatibility.

        Raises:
            ValueError: If the observation has another shape, lies outside the game's bounds or shows another
                game; if the memory or the flags do not fit its rows; or if `deterministic` is not a flag.
        """
        validate_flag("deterministic", deterministic)
        seen = self._validate_observation(observation)
        rows = seen.reshape(-1, seen.shape[-1])
        episode = self.game.episode_from_observation(rows)
        self._recognize(rows, episode)
        begins = episode == 0
        if episode_start is not None:
            begins = begins | self._validate_starts(episode_start, len(rows))
        if state is not None and self.memory_shape is not None:
            state = self._validate_memory(state, len(rows))
        chosen, memory = self._act(rows, episode, state, begins)
        if isinstance(self.game.actions, Discrete):
            actions: NDArray[Any] = chosen.astype(np.int64)
        else:
            bound = self.game.action_bound
            actions = np.clip(chosen.reshape(len(rows), len(bound)), -bound, bound).astype(np.float32)
        return (actions[0] if seen.ndim == 1 else actions), memory

    @property
    def memory_shape(self) -> tuple[int, ...] | None:
        """Shape of what the agent remembers of one game; None if it ignores what it is given as memory."""
        return None

    @cached_property
    def _observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation, a few steps of single precision further apart."""
        low, high = self.game.observation_bounds
        room = 4 * np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32)).astype(np.float64)
        return low - room, high + room

    def _validate_observation(self, observation: object) -> Array:
        """Observations in double precision, shape (W,) or (B, W)."""
        low, high = self._observation_bounds
        width = len(low)
        seen = numbers_of(observation)
        if seen is None:
            raise ValueError(f"observation must be numbers as the game shows them; got {show(observation)}")
        if seen.ndim not in (1, 2) or seen.shape[-1] != width:
            raise ValueError(
                f"observation must have shape ({width},) or (B, {width}); got shape {seen.shape}"
            )
        if not ((low <= seen) & (seen <= high)).all():
            row, column = np.argwhere(~((low <= seen) & (seen <= high)).reshape(-1, width))[0]
            raise ValueError(
                f"observation must be finite and within the game's bounds, in column {column} "
                f"[{low[column]:g}, {high[column]:g}]; got {seen.reshape(-1, width)[row, column]:g}"
            )
        return seen

    def _validate_starts(self, episode_start: object, rows: int) -> NDArray[np.bool_]:
        """Flags of the games that begin, shape (B,), or one for all."""
        starts = flags_of(episode_start)
        if starts is None or starts.shape not in ((), (1,), (rows,)):
            raise ValueError(f"episode_start must be {rows} flags or None; got {show(episode_start)}")
        return starts

    def _validate_memory(self, state: object, rows: int) -> Array:
        """The memory of every game, shape (B, …)."""
        memory, shape = numbers_of(state), (rows, *(self.memory_shape or ()))
        if memory is None or memory.shape != shape or np.isnan(memory).any():
            raise ValueError(
                f"state must be what predict last returned for the same games, of shape {shape}; "
                f"got {show(state)}"
            )
        return memory

    def _recognize(self, rows: Array, episode: NDArray[np.int64]) -> None:
        """Raise a ValueError for observations whose learning rates are another game's."""
        expected = self.game.learning_rates[episode].astype(np.float32)
        rates, left = rows[:, self.game.goal_width], rows[:, self.game.goal_width + 1]
        other = np.flatnonzero((rates != expected) & (left > 0))
        if other.size:
            row = other[0]
            raise ValueError(
                f"this agent was made for another game: its learning rate in episode {episode[row]} is "
                f"{expected[row]:g}, and the observation's is {rates[row]:g}"
            )

    @abstractmethod
    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], Any]:
        """Actions, (B,) or (B, A), or choices, (B,), and new memory for a batch of games.

        `rows` are observations, (B, W), of which `episode` is read, (B,); `memory` is what the last call
        returned; new games begin where `begins` says, (B,).
        """


class Profile(GameAgent):
    """One action per episode, whatever else there is to see.

    Where a game's action is more than a coefficient, a coefficient stands for all its parts: a linear policy
    y = cθ has the slope c.
    """

    def __init__(self, game: Rules, coefficients: ArrayLike) -> None:
        """Play `coefficients`, shape (N,)."""
        super().__init__(game)
        require_kind(game, Rules)
        self.coefficients = game.validate_profile(coefficients)

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        return self.game.actions_of(self.coefficients[episode]), None
