"""Every registered environment with a short game of its kind, and what it takes to play and compare them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import pettingzoo
import pytest

from mesa_env.worlds import WORLDS
from tests.conftest import ONE_OF_EACH_KIND, goals_of

NEEDS_CLIENTS = "it is in the extra `clients`, which make test-clients installs"
BEST_RESPONSE = "mesa_env/BestResponse-v0"
GAMES = {
    name: replace(
        game, initial_goal=tuple(map(tuple, goals_of(game, -1.0, 1.0))) if game.goal_shape else (-1.0, 1.0)
    )
    for name, game in ONE_OF_EACH_KIND.items()
}
"""One short game of each kind, whose first goal is drawn."""


def cases(registry: Any, *alternatives: dict[str, Any]) -> list[Any]:
    """This package's ids in a registry, each with its short game and the alternatives, if it takes a game."""
    listed = []
    for id in registry:
        if not id.startswith("mesa_env/"):
            continue
        name = id.removeprefix("mesa_env/").removesuffix("-v0")
        if id == BEST_RESPONSE:
            listed += [pytest.param(id, {"game": game}, id=f"{name}-{kind}") for kind, game in GAMES.items()]
        elif name in WORLDS:
            for deployed in (False, True):
                label = f"{name}-deployed" if deployed else name
                listed.append(pytest.param(id, {"deployed": deployed}, id=label))
        elif name == "World":
            listed.append(pytest.param(id, {"world": "TableWiping"}, id=name))
        elif name in GAMES:
            for other in alternatives:
                label = "-".join([name, *other.values()])
                listed.append(pytest.param(id, {"game": GAMES[name]} | other, id=label))
        else:
            listed.append(pytest.param(id, {}, id=name))
    return listed


CASES = cases(gymnasium.registry, {"judge": "initial"}, {"judge": "current"})
AEC_CASES = cases(pettingzoo.aec_registry, {})
OF_GAMES = [case for case in CASES if "game" in case.values[1]]
every_environment = pytest.mark.parametrize(("id", "arguments"), CASES)
every_environment_of_games = pytest.mark.parametrize(("id", "arguments"), OF_GAMES)
every_aec_environment = pytest.mark.parametrize(("id", "arguments"), AEC_CASES)
wide_actions = pytest.mark.filterwarnings("ignore:.*symmetric and normalized:UserWarning")
"""Both checkers advise actions in ±1; a game's are in ± its bound."""


def make_batch(id: str, mode: Any, num_envs: Any = 3, **arguments: Any) -> Any:
    """A batch, of this package's where there is one, or else of Gymnasium's."""
    if gymnasium.spec(id).vector_entry_point is None:
        arguments["vector_kwargs"] = {"autoreset_mode": getattr(mode, "value", mode)}
        num_envs = int(num_envs)  # in their specs, only plain values are JSON
    else:
        arguments["autoreset_mode"] = mode
    return gymnasium.make_vec(id, num_envs=num_envs, **arguments)


def play(env: Any, steps: int = 12, seed: int = 3) -> list[Any]:
    """All that a Gymnasium environment, or a batch of them, returns for random actions of a seed."""
    env.action_space.seed(seed)
    returned = [env.reset(seed=seed)]
    for _ in range(steps):
        returned.append(env.step(env.action_space.sample()))
        if isinstance(env, gymnasium.Env) and (returned[-1][2] or returned[-1][3]):
            returned.append(env.reset())
    return returned


def play_agents(env: Any, seed: int = 3) -> list[Any]:
    """What every turn of a PettingZoo game shows, for random actions of a seed, to the last retirement."""
    env.reset(seed=seed)
    for agent in env.possible_agents:
        env.action_space(agent).seed(seed)
    shown = []
    for agent in env.agent_iter():
        shown.append((agent, *env.last()))
        over = env.terminations[agent] or env.truncations[agent]
        env.step(None if over else env.action_space(agent).sample())
    return shown
