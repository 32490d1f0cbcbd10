"""What all our learners share: the algorithm, its networks, its annealing, and the games in lockstep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv

from mesa_env.rules import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)

GROUP_SIZE = 8
"""How many games meet the same chance, where games differ in more than the goal's scale."""


@dataclass(frozen=True)
class PPOSettings:
    """Settings of a training run with PPO.

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
        group_size: Games that meet the same chance and are each other's baseline; with 1, every game meets
            its own, and all games are. None: 1 where all games are at much the same decision by homogeneity,
            else `GROUP_SIZE`.
        memory: Whether the policy is recurrent, with as many units of memory as a layer has.
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
    group_size: int | None = None
    memory: bool = False

    def __post_init__(self) -> None:
        """Validate every setting."""
        for name in ("turns", "games", "epochs", "minibatches", "hidden"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be a whole number ≥ 1; got {value}")
        if self.games < 2:
            raise ValueError("games must be at least 2, since their mean is the baseline; got 1")
        for name in ("learning_rate", "clip_range", "first_noise", "last_noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a finite number above 0; got {getattr(self, name)}")

    def group_size_in(self, game: Game) -> int:
        """How many games meet the same chance.

        Raises:
            ValueError: If the games cannot be shared out so.
        """
        usual = 1 if isinstance(game, Game | InfiniteHorizon | Decoupling) else GROUP_SIZE
        size = usual if self.group_size is None else self.group_size
        if size < 1 or self.games % size:
            raise ValueError(
                f"games must be a multiple of group_size; got {self.games} games in groups of {size}"
            )
        return size

    def whole_turns(self, game: Game) -> int:
        """Turns of the whole rollouts that fit into `turns`.

        Raises:
            ValueError: If not even one does, or the games cannot be divided into groups.
        """
        self.group_size_in(game)
        rollout = self.games * game.episodes
        if self.turns < rollout:
            raise ValueError(
                f"turns must allow one rollout of {self.games} games × {game.episodes} episodes = {rollout}; "
                f"got {self.turns}"
            )
        return self.turns // rollout * rollout


class Learner(PPO):
    """Stable-Baselines3's PPO with what our runs keep beside the networks.

    Attributes:
        learning_curve: Measurements made while training (`agents.learning.callbacks`).
        interrupted: In a checkpoint, what training needs to resume
            (`agents.learning.checkpoints`); None otherwise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take PPO's own arguments."""
        self.learning_curve: list[dict[str, float]] = []
        self.interrupted: dict[str, Any] | None = None
        super().__init__(*args, **kwargs)


class RecurrentLearner(RecurrentPPO):
    """`Learner` with a memory: sb3-contrib's recurrent PPO.

    Attributes:
        learning_curve: As in `Learner`.
        interrupted: As in `Learner`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take recurrent PPO's own arguments."""
        self.learning_curve: list[dict[str, float]] = []
        self.interrupted: dict[str, Any] | None = None
        super().__init__(*args, **kwargs)


SelfPlayModel = Learner | RecurrentLearner


class ClockFeatures(BaseFeaturesExtractor):
    """The observation, its two clocks also on a logarithmic scale, which tells the last episodes apart.

    What a variant shows beside goal and clock is handed on as it is, if no subclass knows better.
    """

    others: ClassVar[int | None] = None
    """Number of features that `other_features` makes; None: as many as there are other observations."""

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        """Make 7 features of goal and clock, and more of what else there is."""
        others = observation_space.shape[0] - 4 if self.others is None else self.others
        super().__init__(observation_space, 7 + others)

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """Features of what a variant shows, each roughly in [−1, 1]."""
        return observation[:, 4:]

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Features of a batch, each roughly in [−1, 1]."""
        goal, rate, left, training_left = observation[:, :4].unbind(-1)
        still_training = (training_left > 0).float()
        others = self.other_features(observation)
        return torch.stack(
            [
                goal,
                2 * rate - 1,
                2 * left - 1,
                2 * training_left - 1,
                torch.log(left.clamp_min(1e-4)) / 2 + 1,
                still_training * torch.log(training_left.clamp_min(1e-4)) / 2 + 1,
                still_training,
                *others.unbind(-1),
            ],
            dim=-1,
        )


class AngleFeatures(ClockFeatures):
    """Of a game with a belief b: b, and the angle of (θ, b) as its symmetries have it."""

    others: ClassVar[int | None] = 3

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """The belief, and cosine and sine of twice the angle."""
        goal, belief = observation[:, 0], observation[:, 4]
        twice = 2 * torch.atan2(belief, goal)
        return torch.stack([belief, torch.cos(twice), torch.sin(twice)], dim=-1)


class PatienceFeatures(ClockFeatures):
    """Of a game with a learnable discount: γ, and how near it is to 1 on a logarithmic scale."""

    others: ClassVar[int | None] = 2

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """The discount on two scales."""
        discount = observation[:, 4]
        return torch.stack([2 * discount - 1, torch.log(1.01 - discount) / 2 + 1], dim=-1)


class HiddenFeatures(ClockFeatures):
    """Of a game with hidden deployment: the belief on two scales, or the signal; not the goal.

    The goal would tell an agent with memory whether the base update has moved it, which the rules have agents
    not learn from; and by homogeneity no agent needs it.
    """

    others: ClassVar[int | None] = 2

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """What is shown, in small units, and squashed."""
        shown = observation[:, 4] / 4
        return torch.stack([shown / 2, torch.tanh(shown)], dim=-1)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Features of a batch, that of the goal being 0."""
        return super().forward(torch.cat([torch.zeros_like(observation[:, :1]), observation[:, 1:]], dim=1))


FEATURES: dict[type[Game], type[ClockFeatures]] = {
    Misconception: AngleFeatures,
    LearnableDiscount: PatienceFeatures,
    HiddenDeployment: HiddenFeatures,
}
"""The features of variants that need their own."""


class AnnealedNoise(BaseCallback):
    """Sets the policy's standard deviation before every rollout, from `first` down to `last`."""

    def __init__(self, first: float, last: float) -> None:
        """Anneal geometrically with the share of turns played."""
        super().__init__()
        self.first, self.last = first, last

    def _on_training_start(self) -> None:
        self.model.policy.get_parameter("log_std").requires_grad_(False)

    def _on_rollout_start(self) -> None:
        assert isinstance(self.model, OnPolicyAlgorithm)
        rollout = self.model.n_steps * self.model.n_envs
        played = self.model.num_timesteps / max(self.model._total_timesteps - rollout, 1)
        noise = self.first * (self.last / self.first) ** played
        self.model.policy.get_parameter("log_std").data.fill_(math.log(noise))
        self.logger.record("train/noise", noise)

    def _on_step(self) -> bool:
        return True


class LinearSchedule:
    """A step size that falls linearly to 0; a class, so that it is saved by name and not by code."""

    def __init__(self, first: float, warmup: float = 0.0) -> None:
        """Begin at `first`, or near 0 and rise to it in a share of training."""
        self.first, self.warmup = first, warmup

    def __call__(self, progress_remaining: float) -> float:
        """The step size with a share of training remaining."""
        passed = 1 - progress_remaining
        if passed < self.warmup:
            return self.first * (passed / self.warmup + 1e-3)
        return self.first * progress_remaining


def make_games(game: Game, settings: PPOSettings, **kwargs: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """B games that begin and end together, and begin anew in the step that ends them."""
    return gym.make_vec(
        "mesa_env/DeceptiveAlignment-v0",
        num_envs=settings.games,
        game=game,
        autoreset_mode="SameStep",
        **kwargs,
    )


def build_learner(
    environment: VecEnv, game: Game, settings: PPOSettings, seed: int, logs: Path | None, **kwargs: Any
) -> SelfPlayModel:
    """PPO whose rollouts are whole games, with the networks and steps that all our learners share."""
    rollout = settings.games * game.episodes
    shared = on_policy_arguments(game, settings)
    if settings.memory:
        memory = {"lstm_hidden_size": settings.hidden, "shared_lstm": True, "enable_critic_lstm": False}
        shared["policy_kwargs"] |= memory
    algorithm = RecurrentLearner if settings.memory else Learner
    return algorithm(
        "MlpLstmPolicy" if settings.memory else "MlpPolicy",
        environment,
        batch_size=max(2, -(-rollout // settings.minibatches)),
        n_epochs=settings.epochs,
        clip_range=settings.clip_range,
        seed=seed,
        tensorboard_log=None if logs is None else str(logs),
        **shared,
        **kwargs,
    )


def on_policy_arguments(game: Game, settings: PPOSettings) -> dict[str, Any]:
    """What each on-policy algorithm of Stable-Baselines3 is given here: whole games, steps and networks."""
    return {
        "n_steps": game.episodes,
        "learning_rate": LinearSchedule(settings.learning_rate),
        "device": "cpu",
        "policy_kwargs": {
            "features_extractor_class": FEATURES.get(type(game), ClockFeatures),
            "net_arch": [settings.hidden, settings.hidden],
            "log_std_init": math.log(settings.first_noise),
        },
    }
