"""An environment's spec is JSON, and makes the environment again: what stores and remote workers rely on."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium import wrappers
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

import mesa_env
from mesa_env.rules.parameters import describe_game
from tests.clients.environments import (
    BEST_RESPONSE,
    GAMES,
    every_aec_environment,
    every_environment,
    every_environment_of_games,
    make_batch,
    play,
    play_agents,
)
from tests.conftest import same

ID = "mesa_env/DeceptiveAlignment-v0"
GAME = GAMES["DeceptiveAlignment"]


def through_json(env):
    """An environment's spec, written and read."""
    return EnvSpec.from_json(env.spec.to_json())


# -- One environment ----------------------------------------------------------------------------------


@every_environment
def test_an_environment_is_made_again_from_its_own_json(id, arguments):
    env = gymnasium.make(id, **arguments)
    again = gymnasium.make(through_json(env))
    assert again.spec == env.spec
    assert same(play(again), play(env))


@every_environment
def test_a_spec_holds_plain_values_as_soon_as_it_is_made(id, arguments):
    kwargs = gymnasium.make(id, **arguments).unwrapped.spec.kwargs
    assert json.loads(json.dumps(kwargs)) == kwargs
    if "game" in arguments:
        assert kwargs["game"] == describe_game(arguments["game"])


@every_environment_of_games
def test_a_game_and_its_parameters_make_the_same_spec(id, arguments):
    plain = arguments | {"game": describe_game(arguments["game"])}
    assert gymnasium.make(id, **plain).spec == gymnasium.make(id, **arguments).spec


@pytest.mark.parametrize("judge", ["initial", "current"])
def test_all_arguments_come_back(judge):
    env = gymnasium.make(ID, game=GAME, judge=judge, render_mode="ansi", max_episode_steps=3)
    again = gymnasium.make(through_json(env))
    assert again.unwrapped.problem.judge == judge
    assert again.render_mode == "ansi"
    assert same(play(again), play(env))


def test_wrappers_come_back():
    env = wrappers.TimeLimit(wrappers.RecordEpisodeStatistics(gymnasium.make(ID, game=GAME)), 2)
    again = gymnasium.make(through_json(env))
    assert again.spec == env.spec
    assert [step[3] for step in play(again, steps=2)[1:3]] == [False, True]


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rates": np.array([1, 0.5, 0]), "discount": np.float32(0.5)},
        {"learning_rates": (1, 0), "initial_goal": np.array([-0.5, 0.5])},
        {"train": 2, "deploy": 1, "initial_goal": [-0.5, 0.5]},
    ],
    ids=["arrays", "tuples", "schedule"],
)
def test_parameters_in_any_container_become_plain(parameters):
    env = gymnasium.make(ID, game=parameters)
    again = gymnasium.make(through_json(env))
    assert again.unwrapped.problem.game == env.unwrapped.problem.game
    assert same(play(again), play(env))


def test_a_spec_keeps_what_was_given_whatever_becomes_of_it():
    parameters, successors = {"train": 2, "deploy": 1}, np.ones(3)
    env = gymnasium.make(BEST_RESPONSE, game=parameters, successors=successors)
    before = env.spec.to_json()
    parameters["train"], successors[:] = 5, 0
    assert (
        gymnasium.make(BEST_RESPONSE, game={"train": 2, "deploy": 1}, successors=[1, 1, 1]).spec == env.spec
    )
    assert env.spec.to_json() == before


def test_the_registered_spec_stays_as_it_was():
    before = asdict(gymnasium.spec(BEST_RESPONSE))
    gymnasium.make(BEST_RESPONSE, game=GAME, successors="equilibrium").unwrapped.spec = gymnasium.spec(ID)
    assert asdict(gymnasium.spec(BEST_RESPONSE)) == before
    assert gymnasium.spec(ID).kwargs == {"rules": "DeceptiveAlignment"}


def test_an_environment_that_gymnasium_did_not_make_has_no_spec():
    assert mesa_env.interfaces.control.ControlEnv(GAME).spec is None
    assert mesa_env.interfaces.decision.BestResponseVectorEnv(2, GAME).spec is None


# -- Batches ------------------------------------------------------------------------------------------


@every_environment
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, "SameStep"], ids=str)
def test_a_batch_is_made_again_from_its_own_json(id, arguments, mode):
    batch = make_batch(id, mode, np.int64(3), **arguments)
    again = gymnasium.make_vec(through_json(batch))
    assert again.spec == batch.spec
    assert again.num_envs == 3
    assert again.autoreset_mode is AutoresetMode(mode)
    assert same(play(again), play(batch))


@pytest.mark.parametrize("id", [ID, BEST_RESPONSE])
def test_a_batch_of_gymnasiums_own_is_made_again_from_plain_parameters(id):
    """It is not ours and keeps its arguments as they are given: the mapping is what makes them JSON."""
    batch = gymnasium.make_vec(id, num_envs=2, vectorization_mode="sync", game=describe_game(GAME))
    again = gymnasium.make_vec(through_json(batch))
    assert type(again) is gymnasium.vector.SyncVectorEnv
    assert same(play(again), play(batch))


# -- Successors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
@pytest.mark.parametrize(
    "successors", [[1.0, 0, 1, 0.5], (1, 0, 1, 0.5), np.array([1, 0, 1, 0.5], "f4"), None]
)
def test_coefficients_come_back(make, successors):
    env = make(BEST_RESPONSE, game=GAME, successors=successors)
    again = make(through_json(env))
    assert again.spec == env.spec
    assert same(play(again), play(env))


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_the_equilibrium_by_name_is_the_oracle_and_comes_back(make, name):
    env = make(BEST_RESPONSE, game=GAMES[name], successors="equilibrium")
    oracle = make(BEST_RESPONSE, game=GAMES[name], successors=mesa_env.oracle(GAMES[name]))
    again = make(through_json(env))
    assert env.unwrapped.spec.kwargs["successors"] == "equilibrium"
    assert same(play(env), play(oracle))
    assert same(play(again), play(env))


class Silent:
    """An agent of someone else's."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros((len(observation), 1), dtype=np.float32), None


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
@pytest.mark.parametrize("successors", [Silent(), mesa_env.oracle(GAME)], ids=["own", "oracle"])
def test_an_agent_is_made_again_here_but_cannot_be_written(make, successors):
    env = make(BEST_RESPONSE, game=GAME, successors=successors)
    assert same(play(make(env.spec)), play(env))
    with pytest.raises(ValueError, match="'equilibrium' or as None; got " + type(successors).__name__):
        env.spec.to_json()


class Mine(mesa_env.Game):
    """A game of someone else's, which this package cannot name."""


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
@pytest.mark.parametrize("id", [ID, BEST_RESPONSE])
def test_a_game_without_a_name_is_made_again_here_but_cannot_be_written(make, id):
    env = make(id, game=Mine([1, 0, 0], initial_goal=(-1, 1)))
    assert same(play(make(env.spec)), play(env))
    with pytest.raises(ValueError, match=r"of the kinds DeceptiveAlignment, .*; got Mine$"):
        env.spec.to_json()


@pytest.mark.parametrize("successors", ["oracle", "Equilibrium", "", "[1, 0]"])
def test_other_names_of_successors_are_refused(successors):
    with pytest.raises(ValueError, match=f"or 'equilibrium' .*; got {re.escape(repr(successors))}"):
        gymnasium.make(BEST_RESPONSE, game=GAME, successors=successors)


# -- PettingZoo ---------------------------------------------------------------------------------------


@every_aec_environment
def test_a_pettingzoo_environment_is_made_again_from_plain_arguments(id, arguments):
    """PettingZoo's environments know no spec: what is stored is the registry's entry and the arguments."""
    plain = {"game": describe_game(arguments["game"])} if arguments else {}
    spec = pettingzoo.spec("aec", id)
    stored = json.loads(json.dumps({"id": spec.id, "kwargs": spec.kwargs | plain}))
    again = pettingzoo.make("aec", stored["id"], **stored["kwargs"])
    assert same(play_agents(again), play_agents(pettingzoo.make("aec", id, **arguments)))
