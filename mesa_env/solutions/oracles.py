"""The oracle of every kind of game, in one table to which a new game adds a line."""

from collections.abc import Callable
from typing import Any

from mesa_env import rules
from mesa_env.agent import Agent, Profile
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.decoupling import DecouplingOracle
from mesa_env.solutions.equilibrium import solve_equilibrium
from mesa_env.solutions.hidden_deployment import HiddenOracle
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import MisconceptionOracle

ORACLES: dict[type[ScalarGame], Callable[[Any], Agent]] = {
    rules.Game: lambda game: Profile(game, solve_equilibrium(game)),
    rules.InfiniteHorizon: lambda game: Profile(game, solve_infinite_horizon(game)),
    rules.Misconception: MisconceptionOracle,
    rules.LearnableDiscount: ForeseeingPlanner,
    rules.Decoupling: DecouplingOracle,
    rules.HiddenDeployment: HiddenOracle,
}


def oracle(game: ScalarGame) -> Agent:
    """The agent that plays the game's equilibrium.

    Raises:
        ValueError: If this kind of game has no oracle.
    """
    if type(game) not in ORACLES:
        known = ", ".join(kind.__name__ for kind in ORACLES)
        raise ValueError(f"there are oracles for {known}; got {type(game).__name__}")
    return ORACLES[type(game)](game)
