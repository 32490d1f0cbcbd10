"""The registered ids, and that the three interfaces are one game."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pettingzoo
import pytest

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.interfaces import control, decision

ID = "mesa_env/DeceptiveAlignment-v0"
BEST_RESPONSE = "mesa_env/BestResponse-v0"
DRAWN = Game(train_then_deploy(3, 4, 0.7), discount=0.9, regularization=0.1, initial_goal=(-1, 1))


def in_a_fresh_interpreter(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout


HEAVY = {
    *("agents", "scripts", "torch", "stable_baselines3", "pandas", "matplotlib", "pygame", "scipy.stats"),
    *("mesa_env.solutions", "mesa_env.evaluation"),
}


def test_importing_the_package_registers_its_ids_and_loads_no_solver_learner_or_window():
    code = (
        "import sys, mesa_env, gymnasium, pettingzoo\n"
        f"print({ID!r} in pettingzoo.aec_registry, {ID!r} in gymnasium.registry, "
        f"{BEST_RESPONSE!r} in gymnasium.registry)\n"
        f"print({HEAVY} & set(sys.modules))"
    )
    assert in_a_fresh_interpreter(code).splitlines() == ["True True True", "set()"]


@pytest.mark.parametrize("id", [ID, BEST_RESPONSE])
def test_an_id_with_its_module_needs_no_import(id):
    """As in a remote worker, which is told an id and plain arguments."""
    code = (
        "import gymnasium\n"
        "arguments = {'game': {'train': 2, 'deploy': 1}}\n"
        f"print(gymnasium.make('mesa_env:{id}', **arguments).unwrapped.problem.game.episodes)\n"
        f"print(gymnasium.make_vec('mesa_env:{id}', num_envs=2, **arguments).num_envs)"
    )
    assert in_a_fresh_interpreter(code).split() == ["3", "2"]


@pytest.mark.parametrize(
    ("id", "entry"),
    [
        (ID, (control.ControlEnv, control.ControlVectorEnv)),
        (BEST_RESPONSE, (decision.BestResponseEnv, decision.BestResponseVectorEnv)),
    ],
)
def test_gymnasium_ids_build_their_environments(id, entry):
    assert type(gymnasium.make(id).unwrapped) is entry[0]
    assert type(gymnasium.make_vec(id, num_envs=2).unwrapped) is entry[1]
    assert gymnasium.make_vec(id, num_envs=2).num_envs == 2
    assert gymnasium.spec(id).max_episode_steps is None


def test_the_pettingzoo_id_builds_its_environment():
    env = pettingzoo.make("aec", ID, game=DRAWN, render_mode="ansi")
    assert type(env.unwrapped) is type(mesa_env.raw_env())
    assert env.unwrapped.game is DRAWN
    assert env.render_mode == "ansi"
    assert env.unwrapped is not env


@pytest.mark.parametrize("name", mesa_env.__all__)
def test_public_names_exist_and_are_documented(name):
    assert getattr(mesa_env, name).__doc__


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31])
def test_the_same_seed_begins_the_same_game_in_every_interface(seed):
    aec = mesa_env.env(DRAWN)
    aec.reset(seed=seed)
    single = gymnasium.make(ID, game=DRAWN)
    batch = gymnasium.make_vec(ID, num_envs=3, game=DRAWN)
    first = single.reset(seed=seed)[0]
    np.testing.assert_array_equal(aec.observe("episode_0"), first)
    np.testing.assert_array_equal(batch.reset(seed=seed)[0][0], first)
    again = single.reset()[0]  # and so does every game that follows
    aec.reset()
    np.testing.assert_array_equal(aec.observe("episode_0"), again)
    np.testing.assert_array_equal(batch.reset()[0][0], again)


def test_the_same_coefficients_play_the_same_game_in_every_interface(game, coefficients):
    """Observations, outputs, goals and base losses agree bit for bit, and so do agent 0's rewards."""
    aec = mesa_env.env(game)
    aec.reset(seed=3)
    single = gymnasium.make(ID, game=game, judge="initial")
    batch = gymnasium.make_vec(ID, num_envs=2, game=game, judge="initial")
    single.reset(seed=3)
    batch.reset(seed=3)
    for n, action in enumerate(coefficients):
        aec.step(action)
        seen, reward, over, _, info = single.step(action)
        observations, rewards, ends, _, infos = batch.step(np.stack([action, action]))
        assert aec.infos[f"episode_{n}"] == info == {name: infos[name][0].item() for name in info}
        assert aec.rewards["episode_0"] == reward == rewards[0]
        assert aec.terminations["episode_0"] is over is bool(ends[0])
        np.testing.assert_array_equal(aec.state()[:4], seen)
        np.testing.assert_array_equal(observations[0], seen)


def test_the_games_settled_rewards_are_the_rules_mesa_costs(game, coefficients):
    """What agent n has received at the end of the AEC game is −J_n as `Game.mesa_costs` has it."""
    aec = mesa_env.env(game)
    aec.reset(seed=3)
    for action in coefficients:
        aec.step(action)
    infos = [aec.infos[agent] for agent in aec.agents]
    goals, outputs = (np.array([[info[name]] for info in infos]) for name in ("goal", "output"))
    received = [aec._cumulative_rewards[agent] for agent in aec.agents]
    np.testing.assert_allclose(received, -game.mesa_costs(goals, outputs)[:, 0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rules", mesa_env.GAMES)
def test_plain_parameters_build_the_game(rules):
    parameters = {"train": 2, "deploy": 1, "initial_goal": [-0.5, 0.5]}
    game = gymnasium.make(f"mesa_env/{rules}-v0", game=parameters).unwrapped.problem.game
    assert type(game) is mesa_env.GAMES[rules]
    assert tuple(game.initial_goal) == (-0.5, 0.5)
    assert pettingzoo.make("aec", f"mesa_env/{rules}-v0", game=parameters).unwrapped.game == game
    with pytest.raises(ValueError, match=r"has no parameter 'belif'; it has"):
        gymnasium.make(f"mesa_env/{rules}-v0", game={"belif": 0.3})
