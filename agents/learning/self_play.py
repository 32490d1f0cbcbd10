"""Learning the equilibrium by self-play: Stable-Baselines3's PPO with settled returns.

One shared policy plays every agent of B games in lockstep. A turn is a one-step decision of its agent, whose
return −J_n is known only when the game is over; so a rollout is one whole game in every row, and when it ends

1. every turn is paid −J_n, judged by that agent's own goal, in units of θ_n² Σ_{k≥n} γ^(k−n), the cost of
   emitting 0 for ever: returns of different goals, discounts and episodes become comparable. Returns are
   floored at `WORST_RETURN`, which only wild games reach, early in training;
2. its advantage is that return's distance from the mean over the B games in the same episode, in standard
   deviations. By homogeneity all B games are at much the same decision, whatever their goals, so their mean
   serves as the baseline and no critic is trained; and the last agents, whose choice moves their return
   little, learn as fast as the first ones.

Where games are not at the same decision, since chance or something else than the goal's scale sets them
apart, they come in groups of twins, which meet the same chance and differ only in what they explored: each
group's mean is then the baseline. Games whose length is chance's are played out and settled in expectation,
and agents so late that their future is cut off learn nothing.

The discount of the learning algorithm is 0: the game's own is in J_n. Exploration noise is annealed, since
the successors' noise is part of what an agent responds to: with noise, the game has another equilibrium.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.learning.settings import AnnealedNoise, PPOSettings, SelfPlayModel, build_learner, make_games
from agents.learning.vec_env import BatchedVecEnv
from mesa_env.rules import Game, InfiniteHorizon
from mesa_env.rules.game import Array
from mesa_env.rules.infinite_horizon import with_fixed_length

PROBLEM: dict[str, Any] = {
    "gamma": 0.0,
    "vf_coef": 0.0,  # the games' mean is the baseline: there is no critic to train
    "normalize_advantage": False,  # they are standardized already, episode by episode
}
"""How an on-policy algorithm of Stable-Baselines3 is to take settled returns."""

WORST_RETURN = -4.0
"""Floor of a settled return: a goal that exploded tenfold says no more than one that doubled."""


class SettledReturns(BaseCallback):
    """Pays every turn of a rollout what it turned out to be worth, in place of the environment's rewards."""

    def __init__(self, game: Game, group_size: int = 1) -> None:
        """Settle games of `game`, so many of which at a time meet the same chance."""
        super().__init__()
        self.game, self.group_size = game, group_size
        self._played: list[dict[str, NDArray[Any]]] = []

    def _on_rollout_start(self) -> None:
        self._played = []

    def _on_step(self) -> bool:
        assert isinstance(self.training_env, BatchedVecEnv)
        self._played.append(self.training_env.arrays)
        return True

    def _on_rollout_end(self) -> None:
        arrays = {name: np.array([turn[name] for turn in self._played]) for name in self._played[0]}
        returns = settled_returns(self.game, arrays.pop("goal"), arrays.pop("output"), arrays)
        assert isinstance(self.model, OnPolicyAlgorithm)
        buffer = self.model.rollout_buffer
        buffer.rewards[:] = returns
        buffer.returns[:] = returns
        size = returns.shape[1] if self.group_size == 1 else self.group_size
        groups = returns.reshape(len(returns), -1, size)
        surprise = (groups - groups.mean(axis=2, keepdims=True)).reshape(returns.shape)
        spread = np.sqrt((surprise * surprise).mean(axis=1, keepdims=True))
        buffer.advantages[:] = np.where(
            cost_is_complete(self.game)[:, None], surprise / np.maximum(spread, 1e-8), 0
        )
        self.logger.record("self_play/mean_return", float(returns.mean()))


def settled_returns(
    game: Game, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] | None = None
) -> NDArray[np.float32]:
    """What every turn of finished games was worth: −J_n / (θ_n² Σ_{k≥n} γ^(k−n)), floored at `WORST_RETURN`.

    Args:
        game: The game.
        goals: θ_n, shape (N, B).
        outputs: y_n, shape (N, B).
        details: The outcomes' details, each of shape (N, B).

    Returns:
        Returns, shape (N, B): 0 for an agent whose goal was met for ever, −1 for emitting 0 for ever, 0 where
        the goal itself is 0.
    """
    scale = goals**2 * game.mesa_costs(np.ones_like(goals), np.zeros_like(goals), details)
    costs = np.divide(
        game.mesa_costs(goals, outputs, details), scale, out=np.zeros_like(scale), where=scale > 0
    )
    return np.maximum(-costs, WORST_RETURN).astype(np.float32)


def cost_is_complete(game: Any) -> NDArray[np.bool_]:
    """Whether at most a tenth of each agent's weights is cut off with the game, shape (N,)."""
    if not isinstance(game, InfiniteHorizon):
        return np.ones(game.episodes, dtype=bool)
    return np.asarray(game.discount ** np.arange(game.episodes, 0, -1) <= 0.1)


def new_learner(game: Game, settings: PPOSettings, seed: int, logs: Path | None = None) -> SelfPlayModel:
    """A learner at the start of its self-play, on B games in lockstep; `callbacks` must go with it.

    Args:
        game: The game; a (low, high) initial goal makes every game begin with another.
        settings: Settings of the training.
        seed: Seed of the networks, the noise and the games.
        logs: Folder for TensorBoard's files, if any.

    Raises:
        ValueError: If a game that goes on for ever is cut short before its agents' costs can be settled.
    """
    games = environment(game, settings)
    return build_learner(games, with_fixed_length(game), settings, seed, logs, **PROBLEM)


def environment(game: Game, settings: PPOSettings) -> BatchedVecEnv:
    """The games in lockstep that a learner plays against itself.

    Raises:
        ValueError: If a game that goes on for ever is cut short before its agents' costs can be settled.
    """
    game = with_fixed_length(game)
    if isinstance(game, InfiniteHorizon) and not cost_is_complete(game)[game.stationary_from]:
        raise ValueError(
            f"max_episodes must leave {np.log(0.1) / np.log(game.discount):.0f} episodes to settle costs in "
            f"at discount {game.discount:g}, after the first {game.stationary_from + 1}; "
            f"got {game.max_episodes}"
        )
    return BatchedVecEnv(make_games(game, settings), settings.group_size_in(game))


def callbacks(game: Game, settings: PPOSettings) -> list[BaseCallback]:
    """What turns SB3's on-policy learning into self-play; pass them to `learn`."""
    return [
        AnnealedNoise(settings.first_noise, settings.last_noise),
        SettledReturns(with_fixed_length(game), settings.group_size_in(game)),
    ]


def learn(game: Game, settings: PPOSettings, seed: int = 0) -> SelfPlayModel:
    """Train a self-play learner from beginning to end; `scripts/train.py` adds logs and checkpoints."""
    model = new_learner(game, settings, seed)
    return model.learn(settings.whole_turns(game), callback=callbacks(game, settings))
