"""Learning the equilibrium by self-play: Stable-Baselines3's PPO with settled returns.

One shared policy plays every agent of B games in lockstep. A turn is a one-step decision of its agent, whose
return −J_n is known only when the game is over; so a rollout is one whole game in every row, and when it ends

1. every turn is paid −J_n, judged by that agent's own goal, in units of θ_n² Σ_{k≥n} γ^(k−n), the cost of
   emitting 0 for ever: returns of different goals, discounts and episodes become comparable;
2. its advantage is that return's distance from the mean over the B games in the same episode, in standard
   deviations. By homogeneity all B games are at the same decision, so their mean is the baseline; and the
   last agents, whose choice moves their return little, learn as fast as the first ones.

The discount of the learning algorithm is 0: the game's own is in J_n. Exploration noise is annealed, since the
successors' noise is part of what an agent must respond to: with noise, the game has another equilibrium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv

from agents.vec_env import BatchedVecEnv
from mesa_env.rules.game import Array, Game

WORST_RETURN = -4.0
"""Floor of a settled return: a goal that exploded tenfold says no more than one that doubled."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    Attributes:
        turns: Turns to play in all; whole rollouts of `games` × N turns that fit in.
        games: Games played in lockstep, B.
        epochs: Passes over each rollout.
        minibatches: Gradient steps a pass.
        learning_rate: Adam's first step size, annealed linearly to 0.
        clip_range: PPO's clipping of the probability ratio.
        first_noise: Standard deviation of the first rollout's coefficients around the policy's mean.
        last_noise: That of the last rollout; geometric in between.
        hidden: Units in each of the policy's two hidden layers.
    """

    turns: int = 1_500_000
    games: int = 64
    epochs: int = 5
    minibatches: int = 4
    learning_rate: float = 1e-3
    clip_range: float = 0.2
    first_noise: float = 0.3
    last_noise: float = 0.01
    hidden: int = 64

    def __post_init__(self) -> None:
        """Validate every setting."""
        for name in ("turns", "games", "epochs", "minibatches", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number ≥ 1; got {getattr(self, name)}")
        if self.games < 2:
            raise ValueError("games must be at least 2, since their mean is the baseline; got 1")
        for name in ("learning_rate", "clip_range", "first_noise", "last_noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a finite number above 0; got {getattr(self, name)}")

    def whole_turns(self, game: Game) -> int:
        """Turns of the whole rollouts that fit into `turns`.

        Raises:
            ValueError: If not even one does.
        """
        rollout = self.games * game.episodes
        if self.turns < rollout:
            raise ValueError(
                f"turns must allow one rollout of {self.games} games × {game.episodes} episodes = {rollout}; "
                f"got {self.turns}"
            )
        return self.turns // rollout * rollout


class ClockFeatures(BaseFeaturesExtractor):
    """The observation with its two clocks also on a logarithmic scale, where the last episodes are far apart."""

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        """Make 7 features of an observation."""
        super().__init__(observation_space, 7)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Features of a batch, each roughly in [−1, 1]."""
        goal, rate, left, training_left = observation.unbind(-1)
        still_training = (training_left > 0).float()
        return torch.stack(
            [
                goal,
                2 * rate - 1,
                2 * left - 1,
                2 * training_left - 1,
                torch.log(left.clamp_min(1e-4)) / 2 + 1,
                still_training * torch.log(training_left.clamp_min(1e-4)) / 2 + 1,
                still_training,
            ],
            dim=-1,
        )


class SettledReturns(BaseCallback):
    """Pays every turn of a rollout what it turned out to be worth, in place of the environment's rewards."""

    def __init__(self, game: Game) -> None:
        """Settle games of `game`."""
        super().__init__()
        self.game = game
        self._goals: list[Array] = []
        self._outputs: list[Array] = []

    def _on_rollout_start(self) -> None:
        self._goals, self._outputs = [], []

    def _on_step(self) -> bool:
        played = self.training_env.arrays
        self._goals.append(played["goal"])
        self._outputs.append(played["output"])
        return True

    def _on_rollout_end(self) -> None:
        returns = settled_returns(self.game, np.array(self._goals), np.array(self._outputs))
        buffer = self.model.rollout_buffer
        buffer.rewards[:] = returns
        buffer.returns[:] = returns
        spread = returns.std(axis=1, keepdims=True)
        buffer.advantages[:] = (returns - returns.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-8)
        self.logger.record("self_play/mean_return", float(returns.mean()))


class AnnealedNoise(BaseCallback):
    """Sets the policy's standard deviation before every rollout, from `first` down to `last`."""

    def __init__(self, first: float, last: float) -> None:
        """Anneal geometrically with the share of turns played."""
        super().__init__()
        self.first, self.last = first, last

    def _on_training_start(self) -> None:
        self.model.policy.log_std.requires_grad_(False)

    def _on_rollout_start(self) -> None:
        played = self.model.num_timesteps / self.model._total_timesteps
        noise = self.first * (self.last / self.first) ** played
        self.model.policy.log_std.data.fill_(math.log(noise))
        self.logger.record("self_play/noise", noise)

    def _on_step(self) -> bool:
        return True


def settled_returns(game: Game, goals: Array, outputs: Array) -> NDArray[np.float32]:
    """What every turn of finished games was worth: −J_n / (θ_n² Σ_{k≥n} γ^(k−n)), no less than `WORST_RETURN`.

    Args:
        game: The game.
        goals: θ_n, shape (N, B).
        outputs: y_n, shape (N, B).

    Returns:
        Returns, shape (N, B): 0 for an agent whose goal was met for ever, −1 for emitting 0 for ever, 0 where
        the goal itself is 0.
    """
    abstaining = game.mesa_costs(np.ones((len(goals), 1)), np.zeros((len(goals), 1)))
    scale = goals**2 * abstaining
    costs = np.divide(game.mesa_costs(goals, outputs), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.maximum(-costs, WORST_RETURN).astype(np.float32)


class LinearSchedule:
    """A step size that falls linearly to 0; a class, so that it is saved by name and not by code."""

    def __init__(self, first: float) -> None:
        """Begin at `first`."""
        self.first = first

    def __call__(self, progress_remaining: float) -> float:
        """The step size with a share of training remaining."""
        return self.first * progress_remaining


def new_learner(game: Game, settings: Settings, seed: int, logs: Path | None = None) -> PPO:
    """A PPO model at the start of its self-play, on B games in lockstep; `callbacks` must go with it.

    Args:
        game: The game; a (low, high) initial goal makes every game begin with another.
        settings: Settings of the training.
        seed: Seed of the networks, the noise and the games.
        logs: Folder for TensorBoard's files, if any.
    """
    return build_ppo(
        BatchedVecEnv(lockstep(game, settings)), game, settings, seed, logs, gamma=0.0, gae_lambda=1.0
    )


def callbacks(game: Game, settings: Settings) -> list[BaseCallback]:
    """What turns SB3's on-policy learning into self-play; pass them to `learn`."""
    return [AnnealedNoise(settings.first_noise, settings.last_noise), SettledReturns(game)]


def learn(game: Game, settings: Settings, seed: int = 0) -> PPO:
    """Train a self-play learner from beginning to end; `scripts/train.py` adds logs and checkpoints."""
    model = new_learner(game, settings, seed)
    return model.learn(settings.whole_turns(game), callback=callbacks(game, settings))


def lockstep(game: Game, settings: Settings, **kwargs: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """B games that begin and end together, and begin anew in the step that ends them."""
    return gym.make_vec(
        "mesa_env/DeceptiveAlignment-v0",
        num_envs=settings.games,
        game=game,
        autoreset_mode="SameStep",
        **kwargs,
    )


def build_ppo(
    environment: VecEnv, game: Game, settings: Settings, seed: int, logs: Path | None, **kwargs: Any
) -> PPO:
    """PPO whose rollouts are whole games, with the networks and steps that all our learners share."""
    rollout = settings.games * game.episodes
    return PPO(
        "MlpPolicy",
        environment,
        n_steps=game.episodes,
        batch_size=-(-rollout // settings.minibatches),
        n_epochs=settings.epochs,
        learning_rate=LinearSchedule(settings.learning_rate),
        clip_range=settings.clip_range,
        seed=seed,
        device="cpu",
        tensorboard_log=None if logs is None else str(logs),
        policy_kwargs={
            "features_extractor_class": ClockFeatures,
            "net_arch": [settings.hidden, settings.hidden],
            "log_std_init": math.log(settings.first_noise),
        },
        **kwargs,
    )
