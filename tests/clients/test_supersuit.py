"""SuperSuit's wrappers on every environment; in the extra `clients`, run by `make test-clients`."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pettingzoo
import pytest
from pettingzoo.utils.conversions import turn_based_aec_to_parallel

import mesa_env
from tests.clients.environments import (
    GAMES,
    NEEDS_CLIENTS,
    every_aec_environment,
    every_environment,
    make_batch,
    play,
    play_agents,
)
from tests.conftest import same

supersuit = pytest.importorskip("supersuit", reason=NEEDS_CLIENTS)
with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.simplefilter("ignore")
    from pettingzoo.test import api_test
pytestmark = pytest.mark.filterwarnings("default")  # of SuperSuit's own

# scale_actions_v0 widens the space by its factor and multiplies once more: legal for factors up to 1.
# agent_indicator_v0 and black_death_v3 are for agents with uniform observations, and for parallel games.
WRAPPERS = {
    "clip_actions_v0": (),
    "clip_reward_v0": (),
    "delay_observations_v0": (2,),
    "dtype_v0": (np.float64,),
    "flatten_v0": (),
    "frame_stack_v1": (3,),
    "max_observation_v0": (2,),
    "nan_noop_v0": (np.zeros(1, dtype=np.float32),),
    "nan_random_v0": (),
    "nan_zeros_v0": (),
    "normalize_obs_v0": (),
    "reward_lambda_v0": (lambda reward: reward / 10,),
    "scale_actions_v0": (0.5,),
    "sticky_actions_v0": (0.25,),
}
OF_AGENTS = ("pad_action_space_v0", "pad_observations_v0")
OF_BOXES = ("clip_actions_v0", "scale_actions_v0")
TRANSPARENT = ("clip_actions_v0", "flatten_v0", "nan_random_v0", "nan_zeros_v0")
"""What changes nothing for legal actions and flat observations."""


@every_aec_environment
@pytest.mark.parametrize("name", [*WRAPPERS, *OF_AGENTS])
def test_wrapped_games_of_agents_pass_pettingzoos_test(id, arguments, name):
    env = pettingzoo.make("aec", id, **arguments)
    api_test(getattr(supersuit, name)(env, *WRAPPERS.get(name, ())), num_cycles=20)


@every_aec_environment
@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_wrappers_play_the_same_game(id, arguments, name):
    wrapped = getattr(supersuit, name)(pettingzoo.make("aec", id, **arguments))
    assert same(play_agents(wrapped), play_agents(pettingzoo.make("aec", id, **arguments)))


@every_environment
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapped_single_environments_stay_in_their_spaces(id, arguments, name):
    env = gymnasium.make(id, **arguments)
    if name in OF_BOXES and not isinstance(env.action_space, gymnasium.spaces.Box):
        pytest.skip("it is for actions in a box")
    env = getattr(supersuit, name)(env, *WRAPPERS[name])
    for returned in play(env):
        assert env.observation_space.contains(returned[0])
    if name in TRANSPARENT:
        assert same(play(env), play(gymnasium.make(id, **arguments)))


@every_environment
def test_copies_of_an_environment_make_a_batch(id, arguments):
    batch = supersuit.gym_vec_env_v0(gymnasium.make(id, **arguments), 2, multiprocessing=False)
    assert same(play(batch), play(make_batch(id, "NextStep", 2, **arguments)))


@pytest.mark.parametrize("name", GAMES)
def test_agents_make_a_batch_through_the_conversion_for_games_of_turns(name):
    """Every agent is a row; the one whose turn it is moves, and the others wait."""
    parallel = turn_based_aec_to_parallel(mesa_env.env(GAMES[name]))
    batch = supersuit.pettingzoo_env_to_vec_env_v1(supersuit.black_death_v3(parallel))
    env = mesa_env.env(GAMES[name])
    env.reset(seed=3)
    batch.reset(seed=3)
    assert batch.num_envs == GAMES[name].episodes
    actions = np.full((batch.num_envs, *batch.action_space.shape), 0.5, dtype=np.float32)
    _, rewards, *_ = batch.step(actions)
    env.step(actions[0])
    np.testing.assert_allclose(rewards, list(env.rewards.values()), rtol=1e-6)
