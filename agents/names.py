"""Agents by name.

| name            | rule                                                                                    |
| --------------- | --------------------------------------------------------------------------------------- |
| `equilibrium`   | the oracle of the game (`mesa_env.oracle`)                                              |
| `grid`          | the post's grid oracle (`mesa_env.grid_search`), certified as the equilibrium is        |
| `myopic`        | c = 1: considers its own episode only                                                   |
| `compliant`     | c = 0: always emits the base optimum, or what it believes that to be                    |
| `guard`         | c = 0 in training, 1 in deployment: full deception                                      |
| `precommitment` | y = θ_0 always: what agent 0 would dictate to its successors                            |
| `random`        | uniform actions                                                                         |
| `best_of_K`     | the best of K uniform proposals by the agent's own J, given its successors' plan        |

The variants have all except those that know only the base game: `grid`, `precommitment` and `best_of_K`. Some
have agents of their own: `LearnableDiscount` has `naive`, the planner that does not foresee that γ moves, and
`HiddenDeployment`, where agents see signals, `filtering`, the oracle that remembers them. There `guard` knows
only the schedule, and so plays as `compliant` does. In `GoalTraining`, `sincere` pursues its goal as far as
it can, `myopic` chooses what serves the present episode best, and `compliant` and `guard` pursue as little as
they can.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from agents.reference import BestOfK, Precommitment, Random
from mesa_env.agent import Agent, Profile
from mesa_env.evaluation.certificates import attach_certificate
from mesa_env.evaluation.certified_oracle import oracle
from mesa_env.rules import Game, GoalTraining, HiddenDeployment, LearnableDiscount
from mesa_env.rules.rules import Rules
from mesa_env.solutions.goal_training import MyopicPlanner
from mesa_env.solutions.grid import grid_plan
from mesa_env.solutions.hidden_deployment import FilteringOracle
from mesa_env.solutions.learnable_discount import NaivePlanner
from mesa_env.validation import did_you_mean, require_kind, show, validate_whole

_RULES: dict[str, Callable[[Any, np.random.Generator], Agent]] = {
    "equilibrium": lambda game, _: oracle(game),
    "grid": lambda game, _: attach_certificate(game, Profile(game, grid_plan(game))),
    "myopic": lambda game, _: Profile(game, game.sincerity),
    "compliant": lambda game, _: Profile(game, np.zeros(game.episodes)),
    "guard": lambda game, _: Profile(game, np.where(game.training, 0, game.sincerity)),
    "precommitment": lambda game, _: Precommitment(game),
    "random": Random,
}
_OWN: dict[type[Rules], dict[str, Callable[[Any], Agent]]] = {
    LearnableDiscount: {"naive": NaivePlanner},
    HiddenDeployment: {"filtering": FilteringOracle},
    GoalTraining: {
        "sincere": lambda game: Profile(game, game.sincerity),
        "myopic": MyopicPlanner,
        "compliant": lambda game: Profile(game, np.full(game.episodes, min(game.pursuits))),
        "guard": lambda game: Profile(game, np.where(game.training, min(game.pursuits), game.sincerity)),
    },
}
_BEST_OF = re.compile(r"best_of_(\d{1,999})")
_BASE_ONLY = ("grid", "precommitment", "best_of_2", "best_of_8")

NAMES = (*_RULES, "best_of_2", "best_of_8")
"""The names that `make` accepts in the base game; K in `best_of_K` may be any other whole number, too."""

VARIANT_NAMES = tuple(name for name in NAMES if name not in _BASE_ONLY)
"""The names that `make` accepts in every game."""


def make(name: str, game: Rules, seed: int | None = 0) -> Agent:
    """Build an agent by name; a seed of None is a fresh one every time, for agents that draw random numbers.

    Raises:
        ValueError: If no agent of that game has that name; the message lists those that it has.
    """
    if seed is not None:
        validate_whole("seed", seed, 0)
    require_kind(game, Rules)
    given, name = name, name if isinstance(name, str) else ""
    generator, best_of = np.random.default_rng(seed), _BEST_OF.fullmatch(name)
    own = _OWN.get(type(game), {})
    known = NAMES if type(game) is Game else tuple(dict.fromkeys((*VARIANT_NAMES, *own)))
    if name in own:
        return own[name](game)
    if type(game) is not Game and (name in _BASE_ONLY or best_of):
        raise ValueError(
            f"{name} knows only the base game; agents of {type(game).__name__} are named {', '.join(known)}"
        )
    if name in _RULES:
        return _RULES[name](game, generator)
    if best_of and isinstance(game, Game):
        return BestOfK(game, int(best_of[1]), generator)
    raise ValueError(f"agents are named {', '.join(known)}; got {show(given)}{did_you_mean(name, known)}")
