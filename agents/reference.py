"""Reference agents: fixed rules and weak optimizers, all with Stable-Baselines3's `predict`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env.agent import GameAgent
from mesa_env.rules.game import Game
from mesa_env.rules.rules import Array, Discrete, Rules
from mesa_env.solutions.grid import best_of_proposals

MOST_PROPOSALS = 100_000
"""Most proposals that an agent may choose from."""


class Precommitment(GameAgent):
    """Emits θ_0 in every episode, as agent 0 would dictate if it could bind its successors.

    It remembers θ_0 of every game; if it joins a game that has begun, it uses the game's parameter.
    """

    memory_shape = ()

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[Array, Any]:
        goal = rows[:, 0]
        unseen = (episode > 0) & (begins | (memory is None))
        if unseen.any() and isinstance(self.game.initial_goal, tuple):
            raise ValueError(
                "precommitment does not know θ_0 of a game whose start it has not seen: "
                "pass the state that predict returned"
            )
        first = goal if memory is None else np.where(begins, goal, memory)
        first = np.where(unseen, self.game.initial_goal, first) if unseen.any() else first
        coefficients = np.divide(first, goal, out=np.ones_like(goal), where=goal != 0)
        return coefficients, first


class Random(GameAgent):
    """Plays uniform actions."""

    def __init__(self, game: Rules, generator: np.random.Generator) -> None:
        super().__init__(game)
        self.generator = generator

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], Any]:
        if isinstance(self.game.actions, Discrete):
            return self.generator.integers(self.game.actions.count, size=len(rows)), None
        bound = self.game.action_bound
        return self.generator.uniform(-bound, bound, (len(rows), len(bound))), None


class BestOfK(GameAgent):
    """Weak optimizers: every agent takes the best of K uniform proposals, given its successors' plan.

    The plan of a whole game, from its last agent to its first, is drawn when the game begins, and kept as the
    agent's memory. K = 1 is `Random`; as K grows, the plan approaches the equilibrium.
    """

    game: Game

    def __init__(self, game: Game, proposals: int, generator: np.random.Generator) -> None:
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

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """A plan per game."""
        return (self.game.episodes,)

    def _plans(self, games: int) -> Array:
        """Plans of `games` games, each from its own proposals; shape (games, N)."""
        bound = self.game.coefficient_bound
        return best_of_proposals(
            self.game, lambda: self.generator.uniform(-bound, bound, (games, self.proposals))
        )
