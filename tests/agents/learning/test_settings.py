"""Settings are validated when they are made, and against the game they are used in."""

import math
import subprocess
import sys

import numpy as np
import pytest

from agents.learning.games import decisions_alike
from agents.learning.settings import GROUP_SIZE, A2CSettings, NeuralSettings, OffPolicySettings, PPOSettings
from agents.learning.training import Training
from tests.agents.learning.learners import SHORT, SMALL


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        *[
            (name, 0, f"{name} must be a whole number in 1….+; got 0")
            for name in ("turns", "epochs", "hidden")
        ],
        ("games", -3, "games must be a whole number in 1….+; got -3"),
        ("games", True, "games must be a whole number in 1….+; got True"),
        ("games", 1, "games must be at least 2.*got 1"),
        ("turns", 1000.5, r"turns must be a whole number in 1….+; got 1000\.5"),
        ("minibatches", 2.5, r"minibatches must be a whole number in 1….+; got 2\.5"),
        ("learning_rate", 0.0, r"learning_rate must be a finite number above 0; got 0\.0"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number above 0; got nan"),
        ("clip_range", float("inf"), "clip_range must be a finite number above 0; got inf"),
        ("first_noise", -0.1, r"first_noise must be a finite number above 0; got -0\.1"),
        ("memory", "no", "memory must be True or False; got 'no'"),
        ("memory", 1, "memory must be True or False; got 1"),
        ("last_noise", 0.0, r"last_noise must be a finite number above 0; got 0\.0"),
    ],
)
def test_bad_settings_of_ppo_are_refused(setting, value, message):
    with pytest.raises(ValueError, match=message):
        PPOSettings(**{setting: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decisions": 0}, "decisions must be a whole number in 1….+; got 0"),
        ({"updates": 1.5}, "updates must be a whole number in 1….+; got 1.5"),
        ({"learning_rate": math.nan}, "learning_rate must be a finite number above 0; got nan"),
        ({"action_resolution": 0.0}, "action_resolution must be a finite number above 0; got 0.0"),
        ({"activation": "step"}, "activation must be one of relu, silu, tanh; got 'step'"),
        ({"turns": 48}, "turns must allow one batch of 512 decisions; got 48"),
        ({"buffer_size": 511}, "buffer_size must allow one batch of 512 decisions; got 511"),
    ],
)
def test_bad_settings_of_off_policy_learners_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        OffPolicySettings(**{"turns": 512} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": -1}, "iterations must be a whole number"),
        ({"games": 0}, "games must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number"),
        ({"weight_decay": -1.0}, "weight_decay must be a finite number"),
        ({"initial_scale": np.inf}, "initial_scale must be a finite number"),
        ({"hidden": (8, 0)}, "a hidden layer's width must be a whole number"),
    ],
)
def test_bad_settings_of_neural_policies_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NeuralSettings(**changes)


def test_whole_turns_are_whole_rollouts_and_at_least_one():
    settings = PPOSettings(turns=100, games=4)
    assert settings.whole_turns(SMALL) == 96
    assert PPOSettings(turns=96, games=4).whole_turns(SMALL) == 96
    assert A2CSettings(turns=16, games=4).whole_turns(SMALL) == 16
    with pytest.raises(ValueError, match="4 games × 4 episodes = 16; got 15"):
        PPOSettings(turns=15, games=4).whole_turns(SMALL)


@pytest.mark.parametrize("name", SHORT)
def test_games_form_groups_where_more_than_the_scale_of_the_goal_distinguishes_them(name):
    game = SHORT[name]
    assert PPOSettings().group_size_in(game) == (1 if decisions_alike(game) else GROUP_SIZE)
    assert PPOSettings(games=12, group_size=4).group_size_in(game) == 4
    assert PPOSettings(games=12, group_size=1).group_size_in(game) == 1


@pytest.mark.parametrize(
    ("games", "group_size", "said"), [(12, None, GROUP_SIZE), (12, 5, 5), (12, 24, 24), (12, 0, 0)]
)
def test_games_that_cannot_be_divided_into_groups_are_refused(games, group_size, said):
    settings, game = PPOSettings(turns=10_000, games=games, group_size=group_size), SHORT["Misconception"]
    message = f"games must be a multiple of group_size; got 12 games in groups of {said}"
    for refuse in (settings.group_size_in, settings.whole_turns, lambda game: Training(game, settings)):
        with pytest.raises(ValueError, match=message):
            refuse(game)


def test_settings_and_the_registry_of_algorithms_need_no_pytorch():
    code = "import sys; import agents.learning.algorithms; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
