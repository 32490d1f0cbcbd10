"""What a policy sees: features of the clock, which all games show, and of what else a game shows."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from mesa_env.rules import AdaptiveOptimizer, GoalTraining, HiddenDeployment, LearnableDiscount, Misconception
from mesa_env.rules.rules import Rules

Features = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""From goals, (B,) or (B, k), and what else is shown beside the clock to features (B,), the goal's first."""


def plain_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """Everything as it is."""
    return goal, *shown.unbind(-1)


def angle_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """For a game with a belief b: b, and the angle of (θ, b), whose symmetries are the game's, doubled."""
    belief = shown[:, 0]
    twice = 2 * torch.atan2(belief, goal)
    return goal, belief, torch.cos(twice), torch.sin(twice)


def patience_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """For a game with a learnable discount: γ, and its distance from 1 on a logarithmic scale."""
    discount = shown[:, 0]
    return goal, 2 * discount - 1, torch.log(1.01 - discount) / 2 + 1


def hidden_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """For a game with hidden deployment: the belief or the signal in small units, and squashed, but no goal.

    The goal would show an agent with memory whether the base update has moved it, from which the rules do not
    let agents learn; and by homogeneity no agent needs it.
    """
    small = shown[:, 0] / 4
    return torch.zeros_like(goal), small / 2, torch.tanh(small)


def memory_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """For a game with another optimizer: the goal, and it and what is remembered by their roots, signs kept.

    What an optimizer remembers may be far smaller than the goal and still say where it is going.
    """
    roots = [part.sign() * part.abs().sqrt() for part in (goal, *shown.unbind(-1))]
    return goal, *roots


def vector_features(goal: Tensor, shown: Tensor) -> tuple[Tensor, ...]:
    """For a game whose goals are vectors: everything as it is."""
    return *goal.unbind(-1), *shown.unbind(-1)


FEATURES: dict[type[Rules], Features] = {
    AdaptiveOptimizer: memory_features,
    Misconception: angle_features,
    LearnableDiscount: patience_features,
    HiddenDeployment: hidden_features,
    GoalTraining: vector_features,
}
"""Features of the games that need their own."""


class ClockFeatures(BaseFeaturesExtractor):
    """The observation, with its two clocks also on a logarithmic scale, which separates the last episodes.

    Except for goals that are vectors, all features are roughly in [−1, 1].
    """

    def __init__(
        self, observation_space: gym.spaces.Box, features: Features = plain_features, goal_width: int = 0
    ) -> None:
        """Show `features` beside the clock; `goal_width` is k where goals are vectors, and 0 elsewhere."""
        super().__init__(observation_space, features_dim=1)
        self.features, self.goal_width = features, goal_width
        self._features_dim = self(torch.zeros(1, observation_space.shape[0])).shape[-1]

    def forward(self, observation: Tensor) -> Tensor:
        """Features of a batch."""
        width = max(1, self.goal_width)
        goals = observation[:, :width] if self.goal_width else observation[:, 0]
        rate, left, training_left = observation[:, width : width + 3].unbind(-1)
        still_training = (training_left > 0).float()
        goal, *others = self.features(goals, observation[:, width + 3 :])
        clock = (
            2 * rate - 1,
            2 * left - 1,
            2 * training_left - 1,
            torch.log(left.clamp_min(1e-4)) / 2 + 1,
            still_training * torch.log(training_left.clamp_min(1e-4)) / 2 + 1,
            still_training,
        )
        return torch.stack([goal, *clock, *others], dim=-1)


def policy_arguments(game: Rules, hidden: int) -> dict[str, Any]:
    """Arguments of Stable-Baselines3's policies: two layers of `hidden` units on the game's features."""
    return {
        "features_extractor_class": ClockFeatures,
        "features_extractor_kwargs": {
            "features": FEATURES.get(type(game), plain_features),
            "goal_width": sum(game.goal_shape),
        },
        "net_arch": [hidden, hidden],
    }
