"""The oracle of every kind of game, in one table to which a new game adds a line."""

from collections.abc import Callable
from typing import Any

from mesa_env import rules
from mesa_env.agent import GameAgent, Profile
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.decoupling import DecouplingOracle
from mesa_env.solutions.equilibrium import unwarned_equilibrium
from mesa_env.solutions.hidden_deployment import HiddenOracle
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import MisconceptionOracle

ORACLES: dict[type[ScalarGame], Callable[[Any], GameAgent]] = {
    rules.Game: lambda game: Profile(game, unwarned_equilibrium(game)),
    rules.InfiniteHorizon: lambda game: Profile(game, solve_infinite_horizon(game)),
    rules.Misconception: MisconceptionOracle,
    rules.LearnableDiscount: ForeseeingPlanner,
    rules.Decoupling: DecouplingOracle,
    rules.HiddenDeployment: HiddenOracle,
}


def oracle(game: ScalarGame) -> GameAgent:
    """The agent that plays the game's equilibrium, certified by deviations under the actual rules.

    Its `certificate` is the most that an agent could gain on the path from the game's first state, or from
    the ends and the middle of what the game draws it from (`mesa_env.evaluation.certificates`); it is found
    here, at once. Beyond 0.1 % of the cost of emitting 0 forever there is a warning.

    Raises:
        ValueError: If this kind of game has no oracle.
    """
    if type(game) not in ORACLES:
        known = ", ".join(kind.__name__ for kind in ORACLES)
        raise ValueError(f"there are oracles for {known}; got {type(game).__name__}")
    from mesa_env.evaluation.certificates import certify, warn_unless_certified

    agent = ORACLES[type(game)](game)
    agent.certificate = certify(game, agent)
    warn_unless_certified(game, agent.certificate)
    return agent
