"""TorchRL's wrappers on every environment; in the extra `clients`, run by `make test-clients`."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import mesa_env
from tests.clients.environments import CASES, GAMES, NEEDS_CLIENTS, every_environment, make_batch

torchrl = pytest.importorskip("torchrl.envs", reason=NEEDS_CLIENTS)
pytestmark = pytest.mark.filterwarnings("default")  # of TorchRL's own, such as on PettingZoo's version
CERTAIN = [case for case in CASES if not getattr(case.values[1].get("game"), "stochastic", True)]
"""Environments in which nothing is left to chance once the first goal is known."""


@every_environment
def test_single_environments_meet_their_specs(id, arguments):
    env = torchrl.GymWrapper(gymnasium.make(id, **arguments))
    torchrl.check_env_specs(env)
    assert env.rollout(5)["next", "reward"].isfinite().all()


@every_environment
@pytest.mark.parametrize(
    "mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED], ids=lambda mode: mode.value
)
def test_batches_meet_their_specs(id, arguments, mode):
    env = torchrl.GymWrapper(make_batch(id, mode, **arguments))
    torchrl.check_env_specs(env)
    played = env.rollout(20, break_when_any_done=False)
    assert played.shape == (3, 20)
    assert played["next", "done"].any()


@pytest.mark.parametrize("id", ["mesa_env/DeceptiveAlignment-v0", "mesa_env/BestResponse-v0"])
def test_batches_that_reset_in_the_next_step_are_recognized_and_refused(id):
    with pytest.raises(RuntimeError, match="SAME_STEP or DISABLED"):
        torchrl.GymWrapper(gymnasium.make_vec(id, num_envs=2, autoreset_mode="NextStep"))


@pytest.mark.parametrize(("id", "arguments"), [case for case in CERTAIN if "judge" in case.values[1]])
@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_rewards_are_those_of_the_same_actions_without_torchrl(id, arguments, mode):
    """Row by row, from the first goal on to the end of the first game."""
    batch = torchrl.GymWrapper(gymnasium.make_vec(id, num_envs=3, autoreset_mode=mode, **arguments))
    played = batch.rollout(arguments["game"].episodes, break_when_any_done=False)
    for row in played:
        env = gymnasium.make(id, **arguments)
        env.reset(options={"initial_goal": float(row["observation"][0, 0])})
        for turn in row:
            seen, reward, *_ = env.step(turn["action"].numpy())
            np.testing.assert_allclose(turn["next", "reward"], reward, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(turn["next", "observation"][1:4], seen[1:4])


@pytest.mark.parametrize("name", GAMES)
def test_games_of_agents_pay_minus_the_mesa_costs(name):
    env = torchrl.PettingZooWrapper(mesa_env.env(GAMES[name]), use_mask=True)
    torchrl.check_env_specs(env)
    played = env.rollout(GAMES[name].episodes)
    plain = mesa_env.env(GAMES[name])
    plain.reset(options={"initial_goal": float(played["episode_0", "observation"][0, 0, 0])})
    if GAMES[name].stochastic:
        return
    for n, turn in enumerate(played):
        plain.step(turn[f"episode_{n}", "action"][0].numpy())
    for agent, total in plain._cumulative_rewards.items():
        assert played["next", agent, "reward"].sum().item() == pytest.approx(total, rel=1e-4)
