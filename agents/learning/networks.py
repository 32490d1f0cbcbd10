"""What a policy sees: feature extractors for Stable-Baselines3, and the table of them by kind of game."""

from __future__ import annotations

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from mesa_env.rules import HiddenDeployment, LearnableDiscount, Misconception
from mesa_env.rules.scalar import ScalarGame


class ClockFeatures(BaseFeaturesExtractor):
    """The observation, with its two clocks also on a logarithmic scale, which separates the last episodes.

    Goal and clock become 7 features; whatever else a variant shows is passed on unchanged, unless a subclass
    overrides that.
    """

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        others = self.other_features(torch.zeros(1, *observation_space.shape))
        super().__init__(observation_space, features_dim=7 + others.shape[1])

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
    """For a game with a belief b: b, and the angle of (θ, b), whose symmetries are the game's."""

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """The belief, and cosine and sine of twice the angle."""
        goal, belief = observation[:, 0], observation[:, 4]
        twice = 2 * torch.atan2(belief, goal)
        return torch.stack([belief, torch.cos(twice), torch.sin(twice)], dim=-1)


class PatienceFeatures(ClockFeatures):
    """For a game with a learnable discount: γ, and its distance from 1 on a logarithmic scale."""

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """The discount on two scales."""
        discount = observation[:, 4]
        return torch.stack([2 * discount - 1, torch.log(1.01 - discount) / 2 + 1], dim=-1)


class HiddenFeatures(ClockFeatures):
    """For a game with hidden deployment: the belief or the signal on two scales, without the goal.

    The goal would show an agent with memory whether the base update has moved it, from which the rules do not
    let agents learn; and by homogeneity no agent needs it.
    """

    def other_features(self, observation: torch.Tensor) -> torch.Tensor:
        """The belief or the signal, in small units, and squashed."""
        shown = observation[:, 4] / 4
        return torch.stack([shown / 2, torch.tanh(shown)], dim=-1)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Features of a batch; the goal's is 0."""
        return super().forward(torch.cat([torch.zeros_like(observation[:, :1]), observation[:, 1:]], dim=1))


FEATURES: dict[type[ScalarGame], type[ClockFeatures]] = {
    Misconception: AngleFeatures,
    LearnableDiscount: PatienceFeatures,
    HiddenDeployment: HiddenFeatures,
}
"""Feature extractors of the games that need their own."""


def feature_extractor(game: ScalarGame) -> type[ClockFeatures]:
    """The feature extractor for policies that play `game`."""
    return FEATURES.get(type(game), ClockFeatures)
