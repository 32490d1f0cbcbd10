"""RLlib on what is registered, made by workers from plain values; run by `make test-clients`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mesa_env
from mesa_env.rules.parameters import describe_game
from tests.clients.environments import GAMES, NEEDS_CLIENTS

pytest.importorskip("tree", reason=NEEDS_CLIENTS)  # which Ray alone does not need, but RLlib does
pytest.importorskip("ray.rllib", reason=NEEDS_CLIENTS)
pytestmark = pytest.mark.filterwarnings("default")  # of Ray's own
SCRIPT = Path(__file__).with_name("rllib_training.py")
GAME = mesa_env.Game(mesa_env.train_then_deploy(3, 4), initial_goal=(-1.0, 1.0))


def train(id: str, arguments: dict[str, object]) -> tuple[float, float, float]:
    """Steps sampled, mean length and mean return of one iteration in a process of its own."""
    done = subprocess.run(
        [sys.executable, SCRIPT, id, json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps, length, total = json.loads(done.stdout.splitlines()[-1])
    return steps, length, total


@pytest.mark.parametrize(
    ("id", "arguments", "length"),
    [
        ("DeceptiveAlignment", {"judge": "current"}, GAME.episodes),
        ("BestResponse", {"successors": "equilibrium"}, 1),
    ],
)
def test_workers_build_environments_from_the_id_with_its_module(id, arguments, length):
    steps, mean_length, mean_return = train(
        f"mesa_env:mesa_env/{id}-v0", {"game": describe_game(GAME), **arguments}
    )
    assert steps >= 140
    assert mean_length == length
    assert mean_return < 0


@pytest.mark.parametrize("name", GAMES)
def test_games_of_agents_pay_minus_the_mesa_costs(name):
    wrapper = pytest.importorskip("ray.rllib.env.wrappers.pettingzoo_env")
    env, plain = wrapper.PettingZooEnv(mesa_env.env(GAMES[name])), mesa_env.env(GAMES[name])
    seen, _ = env.reset(seed=3)
    plain.reset(seed=3)
    paid = dict.fromkeys(plain.agents, 0.0)
    while plain.agents and not any([*plain.terminations.values(), *plain.truncations.values()]):
        (agent,) = seen
        assert agent == plain.agent_selection
        action = np.full(env.action_spaces[agent].shape, 0.5, dtype=np.float32)
        seen, rewards, *_ = env.step({agent: action})
        plain.step(action)
        for each, reward in rewards.items():
            paid[each] += reward
    assert paid == pytest.approx(plain._cumulative_rewards)
