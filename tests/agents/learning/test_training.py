"""Training from beginning to end: what its seed decides, what it makes of every game, and how it resumes."""

import numpy as np
import pandas as pd
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.vec_env import VecNormalize

import agents
import mesa_env
from agents.learning import checkpoints, training
from agents.learning.games import typical_goals
from agents.learning.self_play import new_learner
from agents.learning.settings import A2CSettings, PPOSettings
from agents.learning.training import CHECKPOINT, Training
from mesa_env.rules.infinite_horizon import with_fixed_length
from tests.agents.learning.learners import SHORT, SIGNAL, SIX_ROLLOUTS, SMALL, Interruption, tiny, train
from tests.agents.learning.test_networks import observe_everywhere


def copy_parameters(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def test_the_same_seed_trains_the_same_model_and_another_seed_another():
    first, again, other = (copy_parameters(train(SMALL, SIX_ROLLOUTS, seed)) for seed in (3, 3, 4))
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_training_plays_the_turns_it_was_given():
    model = train(SMALL, PPOSettings(turns=100, games=4, epochs=1, minibatches=2, hidden=8))
    assert model.num_timesteps == 96


def test_whether_to_resume_is_a_flag():
    with pytest.raises(ValueError, match=r"^resume must be True or False; got 'no'$"):
        Training(SMALL, SIX_ROLLOUTS, resume="no")


@pytest.mark.parametrize("name", SHORT)
def test_a_tiny_training_makes_an_agent_of_every_game(name):
    game = SHORT[name]
    settings = tiny(game)
    untrained = new_learner(with_fixed_length(game), settings, 0).policy.state_dict()
    model = train(game, settings)
    assert model.num_timesteps == settings.turns
    assert type(model) is PPO
    assert any(not torch.equal(value, untrained[key]) for key, value in model.policy.state_dict().items())
    known, goals = with_fixed_length(game), typical_goals(game, 2)
    contestants = {"learned": model, "oracle": mesa_env.oracle(known)}
    measured = pd.DataFrame(mesa_env.compare(known, contestants, goals))
    gains = measured.groupby("agent")["relative_exploitability"].mean()
    assert gains["learned"] >= gains["oracle"] >= 0
    assert gains["learned"] > gains["oracle"] or name == "GoalTraining"  # whose choices may all be right


def test_settings_choose_the_algorithm():
    assert type(Training(SMALL, A2CSettings(games=4)).model) is A2C
    assert type(Training(SMALL, PPOSettings(games=4)).model) is PPO
    assert type(Training(SMALL, PPOSettings(games=4, memory=True)).model) is RecurrentPPO


def test_self_play_takes_the_length_of_games_in_expectation_and_controllers_do_not():
    game = SHORT["InfiniteHorizon"]
    for problem, played in (("self-play", with_fixed_length(game)), ("initial", game)):
        model = Training(game, tiny(game), problem=problem).model
        assert model.env.get_attr("problem")[0].game == played
        assert model.n_steps == 8
        assert isinstance(model.env, VecNormalize) == (problem == "initial")


@pytest.mark.parametrize("problem", ["self-play", "current"])
def test_a_training_in_a_folder_resumes_from_its_checkpoint(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ROLLOUTS", 2)
    whole = Training(SMALL, SIX_ROLLOUTS, 5, problem, tmp_path / "whole")
    expected = whole.run()
    interrupted = Training(SMALL, SIX_ROLLOUTS, 5, problem, tmp_path / "interrupted")
    with pytest.raises(KeyboardInterrupt):
        interrupted.run([Interruption(16 * 5 + 8)])
    assert (tmp_path / "interrupted" / CHECKPOINT).exists()
    resumed = Training(SMALL, SIX_ROLLOUTS, 5, problem, tmp_path / "interrupted", resume=True)
    assert resumed.model.num_timesteps == 64
    model = resumed.run()
    assert model.num_timesteps == expected.num_timesteps == 96
    for name, value in expected.policy.state_dict().items():
        assert torch.equal(model.policy.state_dict()[name], value), name
    assert [point["turns"] for point in resumed.curve.points] == [32, 64, 96]
    for point, other in zip(resumed.curve.points, whole.curve.points, strict=True):
        assert point == pytest.approx(other, rel=0, abs=0, nan_ok=True)


# -- Memory -----------------------------------------------------------------------------------------------

MEMORY = tiny(SIGNAL, rollouts=5, games=8, group_size=4, memory=True)


@pytest.fixture(scope="module")
def recurrent():
    return train(SIGNAL, MEMORY)


def test_a_policy_with_memory_trains_and_remembers(recurrent):
    assert recurrent.num_timesteps == MEMORY.turns
    observation = observe_everywhere(SIGNAL, 3)
    first, memory = recurrent.predict(observation, episode_start=np.ones(3, bool), deterministic=True)
    again, _ = recurrent.predict(observation, memory, episode_start=np.zeros(3, bool), deterministic=True)
    anew, _ = recurrent.predict(observation, memory, episode_start=np.ones(3, bool), deterministic=True)
    assert (first != again).any()
    np.testing.assert_array_equal(anew, first)


def test_a_policy_with_memory_remembers_signals_and_not_the_goal(recurrent):
    """Two games that differ in the goal alone are played with the same coefficients."""
    played = mesa_env.rollout(SIGNAL, recurrent, 0.8), mesa_env.rollout(SIGNAL, recurrent, -0.1)
    np.testing.assert_array_equal(played[0].details["signal"], played[1].details["signal"])
    np.testing.assert_array_equal(played[0].coefficients, played[1].coefficients)


def test_a_model_with_memory_survives_the_disk(recurrent, tmp_path):
    checkpoints.save(recurrent, tmp_path / "model.zip")
    loaded = agents.load(tmp_path / "model.zip")
    assert type(loaded) is RecurrentPPO
    played = [mesa_env.rollout(SIGNAL, agent, [0.8, -0.3]) for agent in (recurrent, loaded)]
    for mine, theirs in zip(played[0][:5], played[1][:5], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="must be a checkpoint; it is a finished model"):
        checkpoints.load_checkpoint(tmp_path / "model.zip")
