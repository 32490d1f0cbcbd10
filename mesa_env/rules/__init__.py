"""The rules of the games: pure functions on arrays, one module a game."""

from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import Game, Outcome, State, train_then_deploy
from mesa_env.rules.hidden_deployment import HiddenDeployment
from mesa_env.rules.infinite_horizon import InfiniteHorizon
from mesa_env.rules.learnable_discount import LearnableDiscount
from mesa_env.rules.misconception import Misconception

BASE = "DeceptiveAlignment"
"""Name of the base game, whose id takes its variants, too."""

GAMES: dict[str, type[Game]] = {
    BASE: Game,
    "InfiniteHorizon": InfiniteHorizon,
    "Misconception": Misconception,
    "LearnableDiscount": LearnableDiscount,
    "HiddenDeployment": HiddenDeployment,
    "Decoupling": Decoupling,
}
"""Every game by the name in its environments' ids; all are variants of the first, which is the base game."""

__all__ = [
    "BASE",
    "GAMES",
    "Decoupling",
    "Game",
    "HiddenDeployment",
    "InfiniteHorizon",
    "LearnableDiscount",
    "Misconception",
    "Outcome",
    "State",
    "train_then_deploy",
]
