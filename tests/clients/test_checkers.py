"""The checks that Gymnasium, PettingZoo and Stable-Baselines3 ship, on every registered environment."""

from __future__ import annotations

import copy
import importlib.metadata
import warnings

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import PassiveEnvChecker

import mesa_env
from tests.clients.environments import (
    CASES,
    GAMES,
    every_aec_environment,
    every_environment,
    play,
    play_agents,
    wide_actions,
)
from tests.conftest import same

with warnings.catch_warnings():  # the tests that PettingZoo ships still import its games in the old way
    warnings.filterwarnings("ignore", "The old environment creation API", DeprecationWarning)
    from pettingzoo.test import api_test, parallel_api_test, render_test, seed_test
    from pettingzoo.test.state_test import test_state as pettingzoo_state_test
    from pettingzoo.test.state_test import test_state_space as pettingzoo_state_space_test
from pettingzoo.utils import conversions


def wrapped_by(env):
    """The classes of an environment and of all that wraps it, outermost first."""
    while env is not env.unwrapped:
        yield type(env)
        env = env.env
    yield type(env)


def test_every_registered_environment_is_among_the_cases():
    assert GAMES.keys() == mesa_env.GAMES.keys()
    ours = {id for id in gymnasium.registry if id.startswith("mesa_env/")}
    assert {case.values[0] for case in CASES} == ours
    assert {f"mesa_env/{name}-v0" for name in GAMES} | {"mesa_env/BestResponse-v0"} <= ours


def test_nothing_installs_pygame_beside_pygame_ce():
    """They share an import name, and each would overwrite the other."""
    installed = {found.metadata["Name"].lower() for found in importlib.metadata.distributions()}
    assert len({"pygame", "pygame-ce"} & installed) <= 1


# -- Gymnasium and Stable-Baselines3 ------------------------------------------------------------------


@wide_actions
@every_environment
def test_gymnasiums_checker_finds_nothing_in_any_render_mode(id, arguments, pygame):
    check_env(gymnasium.make(id, **arguments).unwrapped)


@wide_actions
@every_environment
def test_stable_baselines_checker_finds_nothing(id, arguments):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(id, **arguments))


@pytest.mark.filterwarnings("ignore:.*not in the possible render_modes:UserWarning")
@every_environment
def test_stable_baselines_builds_batches_from_ids(id, arguments):
    """It asks for the render mode "rgb_array" by itself, and without it where there is none."""
    env_util = pytest.importorskip("stable_baselines3.common.env_util")
    batch = env_util.make_vec_env(f"mesa_env:{id}", 2, seed=3, env_kwargs=arguments)
    plain = gymnasium.make_vec(id, 2, **arguments)
    seen, expected = batch.reset(), plain.reset(seed=3)[0]
    assert same(seen, expected)
    actions = np.stack([batch.action_space.sample() for _ in range(2)])
    assert same(batch.step(actions)[1], plain.step(actions)[1].astype(np.float32))


@every_environment
def test_gymnasiums_passive_checker_is_silent_and_changes_nothing(id, arguments):
    """It warns of what it finds, and a warning fails these tests."""
    checked = gymnasium.make(id, disable_env_checker=False, **arguments)
    unchecked = gymnasium.make(id, disable_env_checker=True, **arguments)
    assert PassiveEnvChecker in wrapped_by(checked)
    assert PassiveEnvChecker not in wrapped_by(unchecked)
    assert same(play(checked), play(unchecked))


# -- PettingZoo ---------------------------------------------------------------------------------------


@every_aec_environment
def test_pettingzoos_api_test(id, arguments):
    api_test(pettingzoo.make("aec", id, **arguments), num_cycles=20)
    api_test(pettingzoo.make("aec", id, **arguments).unwrapped, num_cycles=20)


@every_aec_environment
def test_pettingzoos_seed_test(id, arguments):
    seed_test(lambda: pettingzoo.make("aec", id, **arguments), num_cycles=20)


@every_aec_environment
def test_pettingzoos_state_test(id, arguments):
    env = pettingzoo.make("aec", id, **arguments)
    pettingzoo_state_space_test(env)
    pettingzoo_state_test(env, num_cycles=10)


@every_aec_environment
def test_pettingzoos_render_test(id, arguments, pygame):
    render_test(lambda **mode: pettingzoo.make("aec", id, **arguments, **mode))


@every_aec_environment
def test_every_agent_acts_once_and_retires_once(id, arguments):
    """As PettingZoo's test of `max_cycles` asks of parallel environments; here the game sets the length."""
    assert pettingzoo.spec("aec", id).max_cycles is None
    turns = [agent for agent, *_ in play_agents(pettingzoo.make("aec", id, **arguments))]
    agents = pettingzoo.make("aec", id, **arguments).possible_agents
    played = turns[: len(turns) - len(agents)]
    assert played == agents[: len(played)]
    assert turns[len(played) :] == agents


@every_aec_environment
def test_a_game_of_turns_is_not_one_of_simultaneous_moves(id, arguments):
    env = pettingzoo.make("aec", id, **arguments)
    with pytest.raises(AssertionError, match="not generally safe"):
        conversions.aec_to_parallel(env)


@every_aec_environment
def test_the_conversion_for_games_of_turns_plays_the_same_game(id, arguments):
    """One agent moves in each parallel step, and is paid there what its turn pays it."""
    parallel = conversions.turn_based_aec_to_parallel(pettingzoo.make("aec", id, **arguments))
    parallel_api_test(copy.deepcopy(parallel), num_cycles=20)
    env = pettingzoo.make("aec", id, **arguments)
    env.reset(seed=3)
    observations, _ = parallel.reset(seed=3)
    while env.agents and not any(env.terminations.values()) and not any(env.truncations.values()):
        agent = env.agent_selection
        assert same(observations[agent], env.observe(agent))
        action = env.action_space(agent).sample()
        env.step(action)
        observations, rewards, terminations, truncations, infos = parallel.step({agent: action})
        assert same(rewards, env.rewards)
        assert same([terminations, truncations], [env.terminations, env.truncations])
        told = {key: infos[agent][key] for key in env.infos[agent]}  # it also tells whose turn is next
        assert same(told, env.infos[agent])
    assert parallel.agents == []
