"""The rules of the games: pure functions on arrays, one module per game."""

from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import Game
from mesa_env.rules.goal_training import GoalTraining
from mesa_env.rules.hidden_deployment import HiddenDeployment
from mesa_env.rules.infinite_horizon import InfiniteHorizon
from mesa_env.rules.learnable_discount import LearnableDiscount
from mesa_env.rules.misconception import Misconception
from mesa_env.rules.preservation import Preservation
from mesa_env.rules.rules import Outcome, Rules, State
from mesa_env.rules.scalar import ScalarGame, train_then_deploy

BASE = "DeceptiveAlignment"
"""Name of the base game."""

_VARIANTS = (
    InfiniteHorizon,
    Misconception,
    LearnableDiscount,
    HiddenDeployment,
    Decoupling,
    AdaptiveOptimizer,
    Preservation,
)
SCALAR_GAMES: dict[str, type[ScalarGame]] = {BASE: Game} | {kind.__name__: kind for kind in _VARIANTS}
"""The games whose goal is a number, by the name in their environments' ids."""
GAMES: dict[str, type[Rules]] = SCALAR_GAMES | {"GoalTraining": GoalTraining}
"""Every game by the name in its environments' ids."""

__all__ = ["BASE", "GAMES", "SCALAR_GAMES", "AdaptiveOptimizer", "Decoupling", "Game", "GoalTraining"]
__all__ += ["HiddenDeployment", "InfiniteHorizon", "LearnableDiscount", "Misconception", "Outcome"]
__all__ += ["Preservation", "Rules", "ScalarGame", "State", "train_then_deploy"]
