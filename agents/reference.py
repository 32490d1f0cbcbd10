"""Reference agents: fixed rules and weak optimizers, all with Stable-Baselines3's `predict`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.grid import best_of_proposals
from mesa_env.rules.game import Array, Game, validated_coefficients

MOST_PROPOSALS = 100_000


class ReferenceAgent(ABC):
    """An agent that knows its game, reads the clock from its observation, and may keep a memory a row.

    The memory is what `predict` returns as `state` and expects back, as with Stable-Baselines3's recurrent
    policies. It is made anew in every row where a game begins.
    """

    def __init__(self, game: Game) -> None:
        """Take a seat in `game`."""
        self.game = game

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Actions for one observation (W,) or a batch (B, W).

        Args:
            observation: What the game's `observe` shows: θ_n, η_n, share of episodes left, share of training
                left, and what else there is in a variant.
            state: Memory from the previous call on the same games, if the agent keeps one.
            episode_start: Where new games begin, shape (B,); the first episode is recognized without it.
            deterministic: Accepted for compatibility: these agents are what they are.

        Returns:
            Actions of shape (A,) or (B, A), and the memory for the next call.

        Raises:
            ValueError: If the observation has another shape.
        """
        seen = np.asarray(observation, dtype=np.float64)
        width = len(self.game.observation_bounds[0])
        if seen.ndim not in (1, 2) or seen.shape[-1] != width:
            raise ValueError(
                f"observation must have shape ({width},) or (B, {width}); got shape {seen.shape}"
            )
        rows = seen.reshape(-1, width)
        episode = self.game.seen_episode(rows)
        self._recognize(rows, episode)
        begins = (
            episode == 0 if episode_start is None else (episode == 0) | np.asarray(episode_start, dtype=bool)
        )
        chosen, memory = self._act(rows, episode, state, begins)
        bound = self.game.action_bound
        actions = np.clip(chosen.reshape(len(rows), len(bound)), -bound, bound).astype(np.float32)
        return (actions[0] if seen.ndim == 1 else actions), memory

    def _recognize(self, rows: Array, episode: NDArray[np.int64]) -> None:
        """Refuse observations of another game, as told by their learning rates."""
        expected = self.game.learning_rates[episode].astype(np.float32)
        other = np.flatnonzero((rows[:, 1] != expected) & (rows[:, 2] > 0))
        if other.size:
            row = other[0]
            raise ValueError(
                f"this agent was made for another game: its learning rate in episode {episode[row]} is "
                f"{expected[row]:g}, and the observation's is {rows[row, 1]:g}"
            )

    @abstractmethod
    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        """Actions, (B,) or (B, A), and new memory for a batch of games.

        Args:
            rows: Observations, shape (B, W).
            episode: The episodes that they tell, shape (B,).
            memory: What was returned with the last call's actions.
            begins: Where new games begin, shape (B,).
        """


class Profile(ReferenceAgent):
    """One action an episode, whatever else there is to see.

    Where a game's action is more than a coefficient, a coefficient stands for all its parts: a linear policy
    y = cθ has the slope c.
    """

    def __init__(self, game: Game, coefficients: ArrayLike) -> None:
        """Play `coefficients`, shape (N,)."""
        super().__init__(game)
        self.coefficients = validated_coefficients(game, coefficients)

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        parts = len(self.game.action_bound)
        return np.repeat(self.coefficients[episode, None], parts, axis=1), None


class Precommitment(ReferenceAgent):
    """Emits θ_0 in every episode, as agent 0 would dictate if it could bind its successors.

    It remembers θ_0 of every game; where it joins a game that has begun, it takes the game's own θ_0.
    """

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        goal = rows[:, 0]
        unseen = (episode > 0) & (begins | (memory is None))
        if unseen.any() and isinstance(self.game.initial_goal, tuple):
            raise ValueError(
                "precommitment does not know θ_0 of a game that it has not seen begin: "
                "pass the state that predict returned"
            )
        first = goal if memory is None else np.where(begins, goal, memory)
        first = np.where(unseen, self.game.initial_goal, first) if unseen.any() else first
        coefficients = np.divide(first, goal, out=np.ones_like(goal), where=goal != 0)
        return coefficients, first


class Random(ReferenceAgent):
    """Uniform coefficients."""

    def __init__(self, game: Game, generator: np.random.Generator) -> None:
        """Draw from `generator`."""
        super().__init__(game)
        self.generator = generator

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        bound = self.game.action_bound
        return self.generator.uniform(-bound, bound, (len(rows), len(bound))), None


class BestOfK(ReferenceAgent):
    """Weak optimizers: every agent takes the best of K uniform proposals, given its successors' plan.

    The plan of a whole game, from its last agent to its first, is drawn when the game begins, and kept as the
    agent's memory. K = 1 is `Random`; as K grows the plan approaches the equilibrium.
    """

    def __init__(self, game: Game, proposals: int, generator: np.random.Generator) -> None:
        """Weigh `proposals` of them, drawn from `generator`."""
        super().__init__(game)
        if not 1 <= proposals <= MOST_PROPOSALS:
            raise ValueError(f"best_of_K needs K in 1…{MOST_PROPOSALS}; got {proposals}")
        self.proposals = proposals
        self.generator = generator

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        unplanned = np.ones_like(begins) if memory is None else begins & (episode == 0)
        plans = np.empty((len(rows), self.game.episodes)) if memory is None else memory.copy()
        if unplanned.any():
            plans[unplanned] = self._plans(int(unplanned.sum()))
        return plans[np.arange(len(rows)), episode], plans

    def _plans(self, games: int) -> Array:
        """Plans of `games` games, each from proposals of its own; shape (games, N)."""
        bound = self.game.coefficient_bound
        return best_of_proposals(
            self.game, lambda: self.generator.uniform(-bound, bound, (games, self.proposals))
        )
