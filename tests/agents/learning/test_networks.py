"""Feature extractors: as wide as they say, moderate everywhere, and blind to what must not be seen."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from agents.learning.networks import (
    FEATURES,
    ClockFeatures,
    angle_features,
    hidden_features,
    patience_features,
    plain_features,
    policy_arguments,
)
from mesa_env import Game
from mesa_env.problems import BestResponse
from tests.agents.learning.learners import SHORT, SMALL


def observation_space(game):
    low, high = (bound.astype(np.float32) for bound in game.observation_bounds)
    return Box(low, high, dtype=np.float32)


def observe_everywhere(game, games=50):
    """Observations of agents everywhere in the game."""
    problem = BestResponse(game)
    return problem.observe(problem.begin(np.random.default_rng(0).random((games, problem.n_uniforms))))


def test_features_are_finite_and_moderate_in_every_episode_of_every_game():
    for game in (Game(), SMALL, Game(learning_rates=[0.0]), Game(learning_rates=np.ones(10_000))):
        state = game.start(np.zeros((game.episodes, game.n_uniforms)), np.full(game.episodes, 0.8))
        observations = torch.as_tensor(game.observe(state._replace(episode=np.arange(game.episodes))))
        features = ClockFeatures(observation_space(game))(observations)
        assert features.shape == (game.episodes, 7)
        assert torch.isfinite(features).all()
        assert features.abs().max() < 4
        assert len(torch.unique(features, dim=0)) == game.episodes  # no two episodes look alike


@pytest.mark.parametrize("name", SHORT)
def test_features_are_finite_moderate_and_as_wide_as_said(name):
    game = SHORT[name]
    arguments = policy_arguments(game, 8)
    assert arguments["features_extractor_kwargs"] == {
        "features": FEATURES.get(type(game), plain_features),
        "goal_width": 2 if name == "GoalTraining" else 0,
    }
    features = arguments["features_extractor_class"](
        observation_space(game), **arguments["features_extractor_kwargs"]
    )
    made = features(torch.as_tensor(observe_everywhere(game)))
    assert made.shape == (50, features.features_dim)
    assert torch.isfinite(made).all()
    assert made.abs().max() < 5


@pytest.mark.parametrize(
    ("kind", "width", "features"),
    [
        (plain_features, 4, 7),
        (plain_features, 6, 9),
        (angle_features, 5, 10),
        (patience_features, 5, 9),
        (hidden_features, 5, 9),
    ],
)
def test_feature_widths(kind, width, features):
    made = ClockFeatures(Box(-1, 1, (width,), dtype=np.float32), kind)
    assert made.features_dim == features
    assert made(torch.rand(3, width)).shape == (3, features)


def test_features_of_hidden_deployment_ignore_the_goal_and_nothing_else():
    game = SHORT["HiddenDeployment"]
    features, shown = (
        ClockFeatures(observation_space(game), hidden_features),
        torch.as_tensor(observe_everywhere(game)),
    )
    expected = features(shown)
    other = shown.clone()
    other[:, 0] = torch.linspace(-3, 3, len(other))
    assert torch.equal(features(other), expected)
    assert torch.equal(other[:, 1:], shown[:, 1:])
    other = shown.clone()
    other[:, 4] += 0.5
    assert (features(other) != expected).any(dim=1).all()


def test_features_of_misconception_know_the_symmetry_of_goal_and_belief():
    """(θ, b) and (−θ, −b) are the same direction; (θ, −b) is another."""
    features = ClockFeatures(observation_space(SHORT["Misconception"]), angle_features)
    shown = torch.tensor([[0.6, 1, 1, 1, 0.3], [-0.6, 1, 1, 1, -0.3], [0.6, 1, 1, 1, -0.3]])
    angle = features(shown)[:, -2:]
    torch.testing.assert_close(angle[0], angle[1])
    assert (angle[0] - angle[2]).abs().max() > 0.1
    torch.testing.assert_close((angle**2).sum(dim=1), torch.ones(3))


def test_features_of_patience_separate_discounts_near_one():
    features = ClockFeatures(observation_space(SHORT["LearnableDiscount"]), patience_features)
    shown = torch.tensor([[0.6, 1, 1, 1, gamma] for gamma in (0.0, 0.98, 0.99, 1.0)])
    scales = features(shown)[:, -2:]
    assert (scales[1:] - scales[:-1]).abs().max(dim=1).values.min() > 0.1
    assert torch.isfinite(scales).all()


def test_features_of_vectors_show_every_part_of_the_goal_the_same_clock_and_the_world():
    game, scalar = SHORT["GoalTraining"], SHORT["DeceptiveAlignment"]
    arguments = policy_arguments(game, 8)["features_extractor_kwargs"]
    shown = torch.tensor([[0.6, -2.0, 0.3, 1, 0.5, 1.0]])
    made = ClockFeatures(observation_space(game), **arguments)(shown)[0]
    clock = ClockFeatures(observation_space(scalar))(torch.tensor([[0.6, 0.3, 1, 0.5]]))[0]
    torch.testing.assert_close(made, torch.cat([clock, torch.tensor([-2.0, 1.0])]))
