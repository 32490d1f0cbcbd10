"""Strange arguments for worlds and the game that is played in them; interfaces of `tests.faults.fuzz`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

import mesa_env
from mesa_env import GoalTraining
from mesa_env.worlds import WORLDS, compare_goals, fit_goal, make_world, plan, sample_plans
from tests.faults.strange import replaced, require, require_finite, strange

Generator = np.random.Generator
SHAPES: dict[str, tuple[int, ...]] = {
    "learning_rates": (3,),
    "pursuits": (2,),
    "initial_goal": (2,),
    **dict.fromkeys(("prior", "belief", "goal_bound", "weights", "goal", "other"), (2,)),
    "features": (5, 2),
}
MOST_EPISODES = 8


def parameters_of_goals(rng: Generator) -> dict[str, Any]:
    """Legal parameters of a short game, from the mild to the extreme."""
    return {
        "world": str(rng.choice(list(WORLDS))),
        "learning_rates": rng.choice([0.0, 0.3, 10.0 ** rng.integers(-9, 9)], size=rng.integers(1, 5)),
        "diversity": rng.choice([0.0, 0.5, 1.0, rng.random()]),
        "pursuits": [(0.0, 1.0), (1.0,), (0.2, 0.7, 1.0)][rng.integers(3)],
        "update": str(rng.choice(["behavior", "value"])),
        "data": str(rng.choice(["on-policy", "off-policy"])),
        "discount": rng.choice([0.0, 0.9, 1.0]),
        "regularization": rng.choice([0.0, 0.1, 10.0 ** rng.integers(-9, 9)]),
        "prior": rng.normal(size=2) * 10.0 ** rng.integers(-3, 4),
        "belief": rng.normal(size=2) * 10.0 ** rng.integers(-3, 4),
        "temperature": 10.0 ** rng.integers(-9, 9),
        "goal_bound": 10.0 ** rng.integers(0, 5),
        "initial_goal": rng.uniform(-1, 1, 2),
    }


def construct_goals(rng: Generator) -> None:
    """A game that is accepted is played, solved and audited."""
    given = parameters_of_goals(rng)
    if rng.random() < 0.8:
        given = replaced(rng, given, SHAPES)
    game = GoalTraining(**given)
    if game.episodes > MOST_EPISODES:
        return
    env = mesa_env.raw_env(game=game)
    env.reset(seed=0)
    for _ in range(game.episodes):
        observation, *_ = env.last()
        space = env.observation_space(env.agent_selection)
        require(space.contains(observation), f"observed {observation!r}")
        env.step(int(rng.integers(len(game.pursuits))))
    require_finite({agent: env.infos[agent] for agent in env.agents})
    oracle = mesa_env.oracle(game)
    goals = np.zeros((2, 2)) if rng.random() < 0.2 else rng.uniform(-1, 1, (2, 2))
    played = mesa_env.rollout(game, oracle, goals)
    audited = mesa_env.audit(game, oracle, played)
    require_finite((played.outputs, played.goals, audited.gains))
    require((audited.gains >= 0).all(), f"gains {audited.gains}")


def use_worlds(rng: Generator) -> None:
    """Worlds, their planner and their probe."""
    kind = rng.integers(6)
    plans = make_world(str(rng.choice(list(WORLDS))), deployed=bool(rng.integers(2))).plans()
    if kind == 0:
        made = make_world(
            **replaced(rng, {"world": "CookieElimination", "deployed": True, "delusion": 0.5}, {})
        )
        require_finite(made.plans().features)
    elif kind == 1:
        given = replaced(rng, {"plans": plans, "weights": (1, 2), "temperature": 1.0}, SHAPES)
        require_finite(plan(**given)[:4])
    elif kind == 2:
        given = {"plans": plans, "weights": (1, 2), "episodes": 5, "generator": None, "temperature": 1.0}
        require_finite(sample_plans(**replaced(rng, given, SHAPES)))
    elif kind == 3:
        given = {"plans": plans, "goal": (1, 2), "other": (2, 0), "temperature": 1.0, "error": 0.01}
        compare_goals(**replaced(rng, given, SHAPES))
    elif kind == 4:
        seen = sample_plans(plans, (1, 2), 5)
        given = {"plans": plans, "features": seen, "counts": None, "temperature": 1.0, "ridge": 0.01}
        require_finite(fit_goal(**replaced(rng, given, SHAPES)).weights)
    else:
        step_through(rng)


def step_through(rng: Generator) -> None:
    """A kitchen as an environment, with strange arguments, options or actions."""
    name = str(rng.choice(list(WORLDS)))
    arguments: dict[str, Any] = {"deployed": False, "goal": (0.0, 2.0)}
    if rng.random() < 0.5:
        arguments = replaced(rng, arguments, SHAPES)
    env = gymnasium.make(f"mesa_env/{name}-v0", **arguments)
    observation, _ = env.reset(seed=0)
    for _ in range(3):
        action = strange(rng) if rng.random() < 0.2 else env.action_space.sample()
        observation, reward, *_, info = env.step(action)
        require(env.observation_space.contains(observation), f"observed {observation!r}")
        require_finite((reward, info["features"], info["base_return"]))


INTERFACES: dict[str, Callable[[Generator], None]] = {
    "GoalTraining": construct_goals,
    "worlds": use_worlds,
}
