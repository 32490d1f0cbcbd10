"""The solution of every kind of game, in one table to which a new game adds a line.

`mesa_env.oracle` certifies what it returns (`mesa_env.evaluation.certified_oracle`).
"""

from collections.abc import Callable
from typing import Any

from mesa_env import rules
from mesa_env.agent import GameAgent, Profile
from mesa_env.rules.rules import Rules
from mesa_env.solutions.adaptive_optimizer import make_oracle
from mesa_env.solutions.decoupling import DecouplingOracle
from mesa_env.solutions.equilibrium import unwarned_equilibrium
from mesa_env.solutions.goal_training import TreeOracle
from mesa_env.solutions.hidden_deployment import HiddenOracle
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import MisconceptionOracle
from mesa_env.solutions.preservation import unwarned_preservation

ORACLES: dict[type[Rules], Callable[[Any], GameAgent]] = {
    rules.Game: lambda game: Profile(game, unwarned_equilibrium(game)),
    rules.InfiniteHorizon: lambda game: Profile(game, solve_infinite_horizon(game)),
    rules.Misconception: MisconceptionOracle,
    rules.LearnableDiscount: ForeseeingPlanner,
    rules.Decoupling: DecouplingOracle,
    rules.HiddenDeployment: HiddenOracle,
    rules.AdaptiveOptimizer: make_oracle,
    rules.Preservation: lambda game: Profile(game, unwarned_preservation(game)),
    rules.GoalTraining: TreeOracle,
}
